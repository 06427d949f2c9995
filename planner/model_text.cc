#include "planner/model_text.h"

#include <algorithm>
#include <map>
#include <optional>

#include "formats/json.h"
#include "formats/text/chat_template.h"
#include "planner/fact_keys.h"
#include "planner/generation_config.h"
#include "planner/optional_file.h"
#include "plans/contract.h"

namespace mrs {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kTokensMap = "special_tokens_map.json";
constexpr const char* kTemplate = "chat_template.jinja";
constexpr const char* kProcessorTemplate = "chat_template.json";
constexpr const char* kMoreTemplates = "additional_chat_templates";

using NamedTokens = std::map<std::string, std::string>;

// Names that transformers gives to other things that a template sees.
bool IsTaken(std::string_view name) {
  for (const std::string_view taken : {"messages", "tools", "documents", "add_generation_prompt"}) {
    if (name == taken) return true;
  }
  return false;
}

Status AddToken(const std::string& name, const Json& value, const std::string& place, NamedTokens* tokens) {
  std::string text;
  if (value.is_object()) {
    MRS_ASSIGN_OR_RETURN(text, GetString(value, "content", place));
  } else {
    text = value.get_ref<const std::string&>();
  }
  if (std::max(name.size(), text.size()) > contract::kMaxTemplateTokenBytes) {
    return Refuse("{}: {} bytes; at most {} are accepted", place, std::max(name.size(), text.size()),
                  contract::kMaxTemplateTokenBytes);
  }
  if (!IsTaken(name)) tokens->emplace(name, std::move(text));  // the first file to name it wins
  if (tokens->size() > contract::kMaxTemplateTokens) {
    return Refuse("{}: more than {} special tokens have names", place, contract::kMaxTemplateTokens);
  }
  return {};
}

// Every "..._token" that is a string or an object with its text in `content`, and those that the model's makers named
// themselves in an object of `extra_special_tokens`.
Status ReadNamedTokens(const Json& config, const char* where, NamedTokens* tokens) {
  constexpr std::string_view kStandard[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};
  for (const auto& [key, value] : *config.get_ptr<const Json::object_t*>()) {
    if (value.is_null() || !key.ends_with("_token")) continue;
    if (value.is_string() || value.is_object()) {
      MRS_RETURN_IF_ERROR(AddToken(key, value, fmt::format("{}: {}", where, key), tokens));
    } else if (std::find(std::begin(kStandard), std::end(kStandard), key) != std::end(kStandard)) {
      return Refuse("{}: '{}': expected a string, got {}", where, key, DescribeJson(value));
    }
  }
  for (const char* key : {"extra_special_tokens", "model_specific_special_tokens"}) {
    const Json* extra = FindValue(config, key);
    if (extra == nullptr || !extra->is_object()) continue;  // a list names nothing
    for (const auto& [name, value] : *extra->get_ptr<const Json::object_t*>()) {
      if (!value.is_string() && !value.is_object()) continue;
      MRS_RETURN_IF_ERROR(AddToken(name, value, fmt::format("{}: {}", where, key), tokens));
    }
  }
  return {};
}

// The id of a token by its text: in tokenizer.json, else as tokenizer_config.json lists added tokens.
std::optional<int64_t> FindToken(const text::Tokenizer* tokenizer, const Json& config, const std::string& text) {
  if (tokenizer != nullptr) {
    if (const std::optional<int32_t> id = text::TokenToId(*tokenizer, text)) return *id;
  }
  const Json* added = FindValue(config, "added_tokens_decoder");
  if (added == nullptr || !added->is_object()) return std::nullopt;
  for (const auto& [id, token] : *added->get_ptr<const Json::object_t*>()) {
    const Json* content = FindValue(token, "content");
    const bool number = !id.empty() && id.size() < 10 && id.find_first_not_of("0123456789") == id.npos;
    if (content != nullptr && *content == text && number) return std::stoll(id);
  }
  return std::nullopt;
}

Status AddEosToken(const NamedTokens& tokens, const text::Tokenizer* tokenizer, const Json& config, ModelSpec& spec,
                   std::vector<std::string>* warnings) {
  const auto eos = tokens.find("eos_token");
  if (eos == tokens.end()) return {};
  const char* file = FindValue(config, "eos_token") != nullptr ? kTokenizerConfig : kTokensMap;
  const std::string place = fmt::format("{}: eos_token {}", file, DescribeJson(Json(eos->second)));
  const std::optional<int64_t> id = FindToken(tokenizer, config, eos->second);
  if (!id) {
    warnings->push_back(
        fmt::format("{} is no token of {}; it ends no answer", place,
                    tokenizer == nullptr ? "this folder, which has no tokenizer.json" : "tokenizer.json"));
  } else if (*id >= spec.vocab) {
    warnings->push_back(
        fmt::format("{} is token {}, past the model's vocabulary of {}; it ends no answer", place, *id, spec.vocab));
  } else {
    return AddEndTokens({static_cast<int32_t>(*id)}, place, spec);
  }
  return {};
}

// What tokenizer_config.json says of tokens around a text, where tokenizer.json, which decides, does otherwise.
Status WarnOfAddedTokens(const Json& config, const NamedTokens& tokens, const text::Tokenizer& tokenizer,
                         std::vector<std::string>* warnings) {
  struct Side {
    const char* key;
    const char* token;
    const std::vector<int32_t>& ids;
  };
  for (const Side& side : {Side{"add_bos_token", "bos_token", tokenizer.prefix_ids},
                           Side{"add_eos_token", "eos_token", tokenizer.suffix_ids}}) {
    if (FindValue(config, side.key) == nullptr) continue;
    MRS_ASSIGN_OR_RETURN(const bool wanted, GetBool(config, side.key, kTokenizerConfig));
    const auto token = tokens.find(side.token);
    if (token == tokens.end()) continue;
    const std::optional<int32_t> id = text::TokenToId(tokenizer, token->second);
    const bool added = id && std::find(side.ids.begin(), side.ids.end(), *id) != side.ids.end();
    if (added == wanted) continue;
    warnings->push_back(fmt::format("{}: '{}' {} is not used: tokenizer.json decides, and {} {}", kTokenizerConfig,
                                    side.key, wanted, added ? "adds" : "does not add",
                                    DescribeJson(Json(token->second))));
  }
  return {};
}

Status CheckTemplate(const std::string& text, const std::string& place) {
  if (text.size() > kMaxTemplateBytes) {
    return Refuse("{}: {} bytes; at most {} are accepted", place, text.size(), kMaxTemplateBytes);
  }
  if (text.empty()) return {};
  const Result<text::ChatTemplate> parsed = text::ParseTemplate(text);
  if (!parsed.ok()) return Refuse("{}: {}", place, parsed.message());
  return {};
}

// A string, or a list of named templates: the one called "default", or the only one. `another`: chat_template.jinja is
// there, so none need be the default.
Result<std::string> ReadTemplate(const Json& config, bool another, std::vector<std::string>* warnings) {
  const Json* value = FindValue(config, "chat_template");
  if (value == nullptr) return std::string();
  const std::string place = fmt::format("{}: chat_template", kTokenizerConfig);
  if (!value->is_array()) {
    MRS_ASSIGN_OR_RETURN(std::string text, GetString(config, "chat_template", kTokenizerConfig));
    MRS_RETURN_IF_ERROR(CheckTemplate(text, kTokenizerConfig));
    return text;
  }
  std::optional<std::string> chosen;
  std::string names, unused;
  for (const Json& item : *value) {
    MRS_ASSIGN_OR_RETURN(const std::string name, GetString(item, "name", place));
    MRS_ASSIGN_OR_RETURN(std::string text, GetString(item, "template", place));
    const std::string shown = DescribeJson(Json(name));
    MRS_RETURN_IF_ERROR(CheckTemplate(text, fmt::format("{}: {}", place, shown)));
    names += fmt::format("{}{}", names.empty() ? "" : ", ", shown);
    if (name == "default" || value->size() == 1) {
      chosen = std::move(text);
    } else {
      unused += fmt::format("{}{}", unused.empty() ? "" : ", ", shown);
    }
  }
  if (!chosen && !names.empty() && !another) {
    return Refuse("{}: none of the templates {} is \"default\"; put the one to use into {}", place, names, kTemplate);
  }
  if (!unused.empty() && !another)
    warnings->push_back(fmt::format("{}: {} is not used, \"default\" is", place, unused));
  return chosen.value_or("");
}

Status ReadTemplates(const std::string& folder, const Json& config, ModelSpec& spec,
                     std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const std::optional<std::string> file, ReadIfThere(folder, kTemplate, kMaxTemplateBytes));
  MRS_ASSIGN_OR_RETURN(spec.chat_template, ReadTemplate(config, file.has_value(), warnings));
  if (file) {
    MRS_RETURN_IF_ERROR(CheckTemplate(*file, kTemplate));
    const Json* other = FindValue(config, "chat_template");
    if (other != nullptr && *other != *file) {
      warnings->push_back(
          fmt::format("{}: 'chat_template' is not used: {} is there, and wins", kTokenizerConfig, kTemplate));
    }
    spec.chat_template = *file;
  }
  if (IsThere(folder, kMoreTemplates)) {
    warnings->push_back(fmt::format("{}: not used, chats have one template", kMoreTemplates));
  }
  if (spec.chat_template.empty() && IsThere(folder, kProcessorTemplate)) {
    warnings->push_back(fmt::format(
        "{}: not used, it is for processors of images and sound; if chats are to have this template, put it into {}",
        kProcessorTemplate, kTemplate));
  }
  return {};
}

}  // namespace

Status ReadModelText(const std::string& folder, const text::Tokenizer* tokenizer, ModelSpec& spec,
                     std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(std::optional<Json> config, ReadJsonIfThere(folder, kTokenizerConfig));
  MRS_ASSIGN_OR_RETURN(const std::optional<Json> map, ReadJsonIfThere(folder, kTokensMap));
  NamedTokens tokens;
  if (config) {
    MRS_RETURN_IF_ERROR(ReadNamedTokens(*config, kTokenizerConfig, &tokens));
    WarnOfKeys(FactFile::kTokenizerConfig, *config, kTokenizerConfig, warnings);
  } else {
    config = Json::object();
  }
  if (map) {
    MRS_RETURN_IF_ERROR(ReadNamedTokens(*map, kTokensMap, &tokens));
    WarnOfKeys(FactFile::kSpecialTokensMap, *map, kTokensMap, warnings);
  }
  spec.template_tokens.assign(tokens.begin(), tokens.end());
  MRS_RETURN_IF_ERROR(AddEosToken(tokens, tokenizer, *config, spec, warnings));
  if (tokenizer != nullptr) {
    MRS_RETURN_IF_ERROR(WarnOfAddedTokens(*config, tokens, *tokenizer, warnings));
    if (const int32_t size = text::VocabSize(*tokenizer); size > spec.vocab) {
      warnings->push_back(
          fmt::format("tokenizer.json: has tokens up to {}, past the model's vocabulary of {}; a prompt that holds one "
                      "of them is refused",
                      size - 1, spec.vocab));
    }
  }
  return ReadTemplates(folder, *config, spec, warnings);
}

}  // namespace mrs
