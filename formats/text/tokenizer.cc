#include "formats/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "formats/model_json.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

constexpr size_t kMaxTemplateIds = 1024;

// The ids around the text in a TemplateProcessing's "single".
Status ParseTemplate(const Json& json, const std::string& where, Tokenizer* tokenizer) {
  MRS_ASSIGN_OR_RETURN(const Json* single, GetArray(json, "single", where));
  MRS_ASSIGN_OR_RETURN(const Json* specials, GetObjectOrNull(json, "special_tokens", where));
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  int text_count = 0;
  for (const Json& item : *single) {
    if (FindValue(item, "Sequence") != nullptr) {
      MRS_ASSIGN_OR_RETURN(const Json* sequence, GetObject(item, "Sequence", where));
      MRS_ASSIGN_OR_RETURN(const std::string id, GetString(*sequence, "id", where));
      if (id != "A") return Refuse("{}: 'single' names the sequence '{}'; expected 'A'", where, id);
      ++text_count;
      continue;
    }
    MRS_ASSIGN_OR_RETURN(const Json* special, GetObject(item, "SpecialToken", where));
    MRS_ASSIGN_OR_RETURN(const std::string name, GetString(*special, "id", where));
    const Json* definition = specials == nullptr ? nullptr : FindValue(*specials, name);
    if (definition == nullptr) return Refuse("{}: special_tokens lacks '{}', which 'single' names", where, name);
    MRS_ASSIGN_OR_RETURN(const Json* ids, GetArray(*definition, "ids", where));
    for (const Json& id : *ids) {
      if (!id.is_number_integer() || id < 0 || id > kMaxTokenId) {
        return Refuse("{}: special_tokens '{}': expected ids from 0 to {}, got {}", where, name, kMaxTokenId,
                      DescribeJson(id));
      }
      (text_count == 0 ? before : after).push_back(id.get<int32_t>());
    }
  }
  if (text_count != 1) return Refuse("{}: 'single' holds the text {} times; expected once", where, text_count);
  tokenizer->prefix_ids.insert(tokenizer->prefix_ids.begin(), before.begin(), before.end());
  tokenizer->suffix_ids.insert(tokenizer->suffix_ids.end(), after.begin(), after.end());
  if (tokenizer->prefix_ids.size() + tokenizer->suffix_ids.size() > kMaxTemplateIds) {
    return Refuse("{}: more than {} special tokens around the text", where, kMaxTemplateIds);
  }
  return {};
}

Status ParsePostProcessor(const Json& json, const std::string& where, Tokenizer* tokenizer) {
  if (json.is_null()) return {};
  MRS_ASSIGN_OR_RETURN(const std::string type, GetString(json, "type", where));
  if (type == "ByteLevel") return {};  // concerns offsets alone
  if (type == "TemplateProcessing") return ParseTemplate(json, where, tokenizer);
  if (type != "Sequence") {
    return Refuse("{} type '{}' is not supported; supported: ByteLevel, TemplateProcessing, Sequence", where, type);
  }
  MRS_ASSIGN_OR_RETURN(const Json* inner, GetArray(json, "processors", where));
  for (const Json& one : *inner) MRS_RETURN_IF_ERROR(ParsePostProcessor(one, where, tokenizer));
  return {};
}

const Json& Member(const Json& object, std::string_view key) {
  static const Json null;
  const Json* value = FindValue(object, key);
  return value == nullptr ? null : *value;
}

}  // namespace

Result<Tokenizer> LoadTokenizer(const std::string& path) {
  MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kTokenizerLimits.max_bytes));
  return ParseTokenizer(text, path);
}

Result<Tokenizer> ParseTokenizer(std::string_view json_text, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const Json file, ParseModelJson(json_text, where, kTokenizerLimits));
  return MakeTokenizer(file, where);
}

Result<Tokenizer> MakeTokenizer(const Json& file, std::string_view where) {
  const auto part = [&](std::string_view name) { return fmt::format("{}: {}", where, name); };
  Tokenizer tokenizer;
  MRS_ASSIGN_OR_RETURN(const Json* model, GetObject(file, "model", where));
  MRS_ASSIGN_OR_RETURN(tokenizer.bpe, ParseBpe(*model, part("model")));
  MRS_ASSIGN_OR_RETURN(tokenizer.normalizer, ParseNormalizer(Member(file, "normalizer"), part("normalizer")));
  MRS_ASSIGN_OR_RETURN(tokenizer.pre_tokenizer,
                       ParsePreTokenizer(Member(file, "pre_tokenizer"), part("pre_tokenizer")));
  MRS_RETURN_IF_ERROR(ParsePostProcessor(Member(file, "post_processor"), part("post_processor"), &tokenizer));
  MRS_ASSIGN_OR_RETURN(tokenizer.decoder, ParseDecoder(Member(file, "decoder"), part("decoder")));
  MRS_ASSIGN_OR_RETURN(const Json* added, GetArrayOrNull(file, "added_tokens", where));
  MRS_ASSIGN_OR_RETURN(tokenizer.added,
                       ParseAddedTokens(added, tokenizer.bpe, tokenizer.normalizer, part("added_tokens")));
  return tokenizer;
}

Result<std::vector<int32_t>> Encode(const Tokenizer& tokenizer, std::string_view text, bool add_special_tokens,
                                    const std::atomic<bool>* stop) {
  if (text.size() > kMaxTextBytes) {
    return Refuse("a text of {} bytes cannot be tokenized; at most {} are accepted", text.size(), kMaxTextBytes);
  }
  if (const size_t invalid = FindInvalidUtf8(text); invalid != std::string_view::npos) {
    return Refuse("the text is not UTF-8 at byte {}", invalid);
  }
  MRS_ASSIGN_OR_RETURN(std::vector<Piece> pieces, SplitAtAddedTokens(tokenizer.added, tokenizer.normalizer, text));
  MRS_RETURN_IF_ERROR(PreTokenize(tokenizer.pre_tokenizer, &pieces));
  std::vector<int32_t> ids;
  if (add_special_tokens) ids = tokenizer.prefix_ids;
  for (const Piece& piece : pieces) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
      return Error{ErrorKind::kCancelled, "the ids are not needed any more"};
    }
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else if (!piece.text.empty()) {
      MRS_RETURN_IF_ERROR(TokenizeWord(tokenizer.bpe, piece.text, &ids));
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), tokenizer.suffix_ids.begin(), tokenizer.suffix_ids.end());
  return ids;
}

Result<std::string> Decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special_tokens) {
  DecodeStream stream(tokenizer.decoder);
  std::string text;
  for (const int32_t id : ids) {
    const std::optional<std::string_view> token = IdToToken(tokenizer, id);
    if (!token || (skip_special_tokens && IsSpecial(tokenizer, id))) continue;
    MRS_ASSIGN_OR_RETURN(const std::string part, stream.Push(*token));
    text.append(part);
  }
  MRS_ASSIGN_OR_RETURN(const std::string rest, stream.Finish());
  return text.append(rest);
}

std::optional<std::string_view> IdToToken(const Tokenizer& tokenizer, int32_t id) {
  if (const auto added = tokenizer.added.by_id.find(id); added != tokenizer.added.by_id.end()) {
    return tokenizer.added.tokens[added->second].decoded;
  }
  const auto index = static_cast<size_t>(id);
  if (id < 0 || index >= tokenizer.bpe.tokens.size() || tokenizer.bpe.tokens[index].empty()) return std::nullopt;
  return tokenizer.bpe.tokens[index];
}

std::optional<int32_t> TokenToId(const Tokenizer& tokenizer, std::string_view token) {
  const std::string key(token);
  if (const auto added = tokenizer.added.by_content.find(key); added != tokenizer.added.by_content.end()) {
    return tokenizer.added.tokens[added->second].id;
  }
  const auto found = tokenizer.bpe.vocab.find(key);
  return found == tokenizer.bpe.vocab.end() ? std::nullopt : std::optional(found->second);
}

bool IsSpecial(const Tokenizer& tokenizer, int32_t id) {
  const auto added = tokenizer.added.by_id.find(id);
  return added != tokenizer.added.by_id.end() && tokenizer.added.tokens[added->second].special;
}

Result<std::string> TokenBytes(const Tokenizer& tokenizer, int32_t id) {
  const std::optional<std::string_view> token = IdToToken(tokenizer, id);
  if (!token) return std::string();
  return DecodeTokenBytes(tokenizer.decoder, *token);
}

int32_t VocabSize(const Tokenizer& tokenizer) {
  auto size = static_cast<int32_t>(tokenizer.bpe.tokens.size());
  for (const AddedToken& token : tokenizer.added.tokens) size = std::max(size, token.id + 1);
  return size;
}

}  // namespace mrs::text
