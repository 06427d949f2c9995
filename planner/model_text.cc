#include "planner/model_text.h"

#include <algorithm>
#include <optional>

#include "formats/input_file.h"

namespace mrs {
namespace {

constexpr size_t kMaxJsonBytes = size_t{64} << 20;  // tokenizer_config.json lists every added token
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxTokenBytes = 1024;

constexpr const char* kGeneration = "generation_config.json";
constexpr const char* kTokenizer = "tokenizer_config.json";
constexpr const char* kTemplate = "chat_template.jinja";

// The text of a file that need not be there.
Result<std::optional<std::string>> ReadOptional(const std::string& folder, const char* name, size_t max_bytes) {
  const std::string path = fmt::format("{}/{}", folder, name);
  if (!IsNamed(path)) return std::optional<std::string>();
  MRS_ASSIGN_OR_RETURN(std::string text, ReadFile(path, max_bytes));
  return std::optional<std::string>(std::move(text));
}

// -1 and null: none.
Status ReadTokenId(const Json& config, const char* key, std::string_view where, int64_t vocab, int32_t& id) {
  if (!config.contains(key)) return {};
  MRS_ASSIGN_OR_RETURN(const int64_t value, GetIntOr(config, key, where, -1, -1, vocab - 1));
  id = static_cast<int32_t>(value);
  return {};
}

Result<float> ReadNumber(const Json& config, const char* key, double fallback, double min, double max) {
  MRS_ASSIGN_OR_RETURN(const double value, GetDoubleOr(config, key, kGeneration, fallback));
  if (!(value >= min && value <= max)) {
    return Refuse("{}: '{}': expected a number from {} to {}, got {}", kGeneration, key, min, max, value);
  }
  return static_cast<float>(value);
}

Status ReadSampling(const Json& config, SamplingSpec& sampling) {
  MRS_ASSIGN_OR_RETURN(sampling.temperature, ReadNumber(config, "temperature", 1, 0, 100));
  MRS_ASSIGN_OR_RETURN(sampling.top_p, ReadNumber(config, "top_p", 1, 0, 1));
  MRS_ASSIGN_OR_RETURN(const int64_t top_k, GetIntOr(config, "top_k", kGeneration, 0, 0, INT32_MAX));
  sampling.top_k = static_cast<uint32_t>(top_k);
  MRS_ASSIGN_OR_RETURN(sampling.repetition_penalty, ReadNumber(config, "repetition_penalty", 1, 0.01, 100));
  MRS_ASSIGN_OR_RETURN(const bool do_sample, GetBoolOr(config, "do_sample", kGeneration, true));
  if (!do_sample) sampling.temperature = 0;
  return {};
}

// A token is a string or an object with its text in `content`; null and absent mean none.
Result<std::string> ReadTokenText(const Json& config, const char* key) {
  const Json* value = FindValue(config, key);
  if (value == nullptr) return std::string();
  const std::string place = fmt::format("{}: {}", kTokenizer, key);
  MRS_ASSIGN_OR_RETURN(std::string text,
                       value->is_object() ? GetString(*value, "content", place) : GetString(config, key, kTokenizer));
  if (text.size() > kMaxTokenBytes) {
    return Refuse("{}: {} bytes; at most {} are accepted", place, text.size(), kMaxTokenBytes);
  }
  return text;
}

// A string, or a list of named templates: the one called "default", or the only one.
Result<std::string> ReadTemplate(const Json& config) {
  const Json* value = FindValue(config, "chat_template");
  if (value == nullptr) return std::string();
  if (!value->is_array()) return GetString(config, "chat_template", kTokenizer);
  std::string names;
  for (const Json& item : *value) {
    const std::string place = fmt::format("{}: chat_template", kTokenizer);
    MRS_ASSIGN_OR_RETURN(const std::string name, GetString(item, "name", place));
    MRS_ASSIGN_OR_RETURN(std::string text, GetString(item, "template", place));
    if (name == "default" || value->size() == 1) return text;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", DescribeJson(Json(name)));
  }
  if (names.empty()) return std::string();
  return Refuse("{}: chat_template: none of the templates {} is \"default\"; put the one to use into {}", kTokenizer,
                names, kTemplate);
}

}  // namespace

Status ReadTokenIds(const Json& config, std::string_view where, ModelSpec& spec) {
  MRS_RETURN_IF_ERROR(ReadTokenId(config, "bos_token_id", where, spec.vocab, spec.bos));
  MRS_RETURN_IF_ERROR(ReadTokenId(config, "pad_token_id", where, spec.vocab, spec.pad));
  constexpr const char* kEos = "eos_token_id";
  if (!config.contains(kEos)) return {};
  spec.eos.clear();
  const Json* value = FindValue(config, kEos);
  if (value == nullptr) return {};
  if (!value->is_array()) {
    int32_t id = -1;
    MRS_RETURN_IF_ERROR(ReadTokenId(config, kEos, where, spec.vocab, id));
    if (id >= 0) spec.eos = {id};
    return {};
  }
  for (const Json& item : *value) {
    const bool fits = item.is_number_unsigned() && item.get<uint64_t>() < static_cast<uint64_t>(spec.vocab);
    if (!fits || spec.eos.size() >= 1024) {
      return Refuse("{}: '{}': expected at most 1024 integers from 0 to {}, got {}", where, kEos, spec.vocab - 1,
                    DescribeJson(item));
    }
    spec.eos.push_back(item.get<int32_t>());
  }
  std::sort(spec.eos.begin(), spec.eos.end());
  spec.eos.erase(std::unique(spec.eos.begin(), spec.eos.end()), spec.eos.end());
  return {};
}

Status ReadModelText(const std::string& folder, ModelSpec& spec) {
  MRS_ASSIGN_OR_RETURN(const std::optional<std::string> generation_text,
                       ReadOptional(folder, kGeneration, kMaxJsonBytes));
  if (generation_text) {
    MRS_ASSIGN_OR_RETURN(const Json generation, ParseJson(*generation_text, kGeneration));
    if (!generation.is_object()) return Refuse("{}: expected an object, got {}", kGeneration, DescribeJson(generation));
    MRS_RETURN_IF_ERROR(ReadTokenIds(generation, kGeneration, spec));
    MRS_RETURN_IF_ERROR(ReadSampling(generation, spec.sampling));
  }
  MRS_ASSIGN_OR_RETURN(const std::optional<std::string> tokenizer_text,
                       ReadOptional(folder, kTokenizer, kMaxJsonBytes));
  MRS_ASSIGN_OR_RETURN(const std::optional<std::string> template_text,
                       ReadOptional(folder, kTemplate, kMaxTemplateBytes));
  if (tokenizer_text) {
    MRS_ASSIGN_OR_RETURN(const Json tokenizer, ParseJson(*tokenizer_text, kTokenizer));
    if (!tokenizer.is_object()) return Refuse("{}: expected an object, got {}", kTokenizer, DescribeJson(tokenizer));
    MRS_ASSIGN_OR_RETURN(spec.template_bos, ReadTokenText(tokenizer, "bos_token"));
    MRS_ASSIGN_OR_RETURN(spec.template_eos, ReadTokenText(tokenizer, "eos_token"));
    if (!template_text) {
      MRS_ASSIGN_OR_RETURN(spec.chat_template, ReadTemplate(tokenizer));
    }
  }
  if (template_text) spec.chat_template = *template_text;
  if (spec.chat_template.size() > kMaxTemplateBytes) {
    return Refuse("{}: chat_template: {} bytes; at most {} are accepted", kTokenizer, spec.chat_template.size(),
                  kMaxTemplateBytes);
  }
  return {};
}

}  // namespace mrs
