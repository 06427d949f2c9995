#include "planner/generation_config.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "planner/fact_keys.h"
#include "planner/optional_file.h"
#include "plans/contract.h"

namespace mrs {
namespace {

constexpr const char* kFile = "generation_config.json";

Status ReadTokenId(const Json& config, const char* key, std::string_view where, int64_t vocab, int32_t& id) {
  if (!config.contains(key)) return {};
  MRS_ASSIGN_OR_RETURN(const int64_t value, GetIntOr(config, key, where, -1, -1, vocab - 1));
  id = static_cast<int32_t>(value);
  return {};
}

// Configs name tokens that their model has not: one that was added for training alone, or those of the large model
// where the small one is a cut of it. transformers and vLLM run such a model: no id that is drawn is as large.
bool IsPastVocabulary(const Json& value, int64_t vocab) {
  return value.is_number_unsigned() && !std::cmp_less(value.get<uint64_t>(), vocab);
}

// An id that nothing computes with; `why`.
Status ReadUnusedId(const Json& config, const char* key, std::string_view where, int64_t vocab, const char* why,
                    int32_t& id, std::vector<std::string>* warnings) {
  const Json* value = FindValue(config, key);
  const bool past = value != nullptr && IsPastVocabulary(*value, vocab);
  if (!past && (value == nullptr || !value->is_number_integer() || value->get<int64_t>() >= -1)) {
    return ReadTokenId(config, key, where, vocab, id);
  }
  id = -1;
  warnings->push_back(fmt::format("{}: '{}' {} is not used: the model has {} tokens, and {}", where, key,
                                  DescribeJson(*value), vocab, why));
  return {};
}

Result<float> ReadNumber(const Json& config, const char* key, double fallback, double min, double max) {
  MRS_ASSIGN_OR_RETURN(const double value, GetDoubleOr(config, key, kFile, fallback));
  if (!(value >= min && value <= max)) {
    const Json* written = FindValue(config, key);
    return Refuse("{}: '{}': expected a number from {} to {}, got {}", kFile, key, min, max, DescribeJson(*written));
  }
  return static_cast<float>(value);
}

// A string or a list of them.
Status ReadStops(const Json& config, std::vector<std::string>& stops) {
  constexpr const char* kKey = "stop_strings";
  const Json* value = FindValue(config, kKey);
  if (value == nullptr) return {};
  const Json list = value->is_array() ? *value : Json::array({*value});
  size_t all_bytes = 0;
  for (const Json& item : list) {
    const auto* text = item.get_ptr<const Json::string_t*>();
    if (text == nullptr || text->empty() || text->size() > contract::kMaxStopBytes) {
      return Refuse("{}: '{}': expected strings of 1 to {} bytes, got {}", kFile, kKey, contract::kMaxStopBytes,
                    DescribeJson(item));
    }
    all_bytes += text->size();
    stops.push_back(*text);
  }
  if (stops.size() > contract::kMaxStops || all_bytes > contract::kMaxAllStopBytes) {
    return Refuse("{}: '{}': {} strings of {} bytes; at most {} of {} together are accepted", kFile, kKey, stops.size(),
                  all_bytes, contract::kMaxStops, contract::kMaxAllStopBytes);
  }
  return {};
}

Status ReadSampling(const Json& config, SamplingSpec& sampling) {
  MRS_ASSIGN_OR_RETURN(sampling.temperature, ReadNumber(config, "temperature", 1, 0, 100));
  MRS_ASSIGN_OR_RETURN(sampling.top_p, ReadNumber(config, "top_p", 1, 0, 1));
  sampling.top_p =
      std::max(sampling.top_p, std::numeric_limits<float>::min());  // 0 leaves the best token, as does this
  MRS_ASSIGN_OR_RETURN(const int64_t top_k, GetIntOr(config, "top_k", kFile, 0, 0, INT32_MAX));
  sampling.top_k = static_cast<uint32_t>(top_k);
  MRS_ASSIGN_OR_RETURN(sampling.min_p, ReadNumber(config, "min_p", 0, 0, 1));
  MRS_ASSIGN_OR_RETURN(sampling.repetition_penalty, ReadNumber(config, "repetition_penalty", 1, 0.01, 100));
  MRS_ASSIGN_OR_RETURN(sampling.presence_penalty, ReadNumber(config, "presence_penalty", 0, -2, 2));
  MRS_ASSIGN_OR_RETURN(sampling.frequency_penalty, ReadNumber(config, "frequency_penalty", 0, -2, 2));
  if (FindValue(config, "max_new_tokens") != nullptr) {
    MRS_ASSIGN_OR_RETURN(const int64_t tokens, GetInt(config, "max_new_tokens", kFile, 1, INT32_MAX));
    sampling.max_tokens = static_cast<uint32_t>(tokens);
  }
  MRS_RETURN_IF_ERROR(ReadStops(config, sampling.stop));
  MRS_ASSIGN_OR_RETURN(const bool do_sample, GetBoolOr(config, "do_sample", kFile, true));
  if (!do_sample) sampling.temperature = 0;
  return {};
}

// Prompt and answer together. Where max_new_tokens is said, transformers does not read it; where it is as long as the
// model's context, it bounds nothing.
Status WarnOfMaxLength(const Json& config, const ModelSpec& spec, std::vector<std::string>* warnings) {
  if (FindValue(config, "max_length") == nullptr) return {};
  MRS_ASSIGN_OR_RETURN(const int64_t length, GetInt(config, "max_length", kFile, 0));
  if (spec.sampling.max_tokens > 0 || length >= spec.max_position) return {};
  warnings->push_back(
      fmt::format("{}: 'max_length' {} is not used: --max-len bounds prompt and answer together", kFile, length));
  return {};
}

}  // namespace

Status AddEndTokens(const std::vector<int32_t>& ids, std::string_view where, ModelSpec& spec) {
  spec.eos.insert(spec.eos.end(), ids.begin(), ids.end());
  std::sort(spec.eos.begin(), spec.eos.end());
  spec.eos.erase(std::unique(spec.eos.begin(), spec.eos.end()), spec.eos.end());
  if (spec.eos.size() <= contract::kMaxEndTokens) return {};
  return Refuse("{}: makes {} end-of-text tokens; at most {} are accepted", where, spec.eos.size(),
                contract::kMaxEndTokens);
}

Status ReadTokenIds(const Json& config, std::string_view where, ModelSpec& spec, std::vector<std::string>* warnings) {
  MRS_RETURN_IF_ERROR(ReadUnusedId(config, "bos_token_id", where, spec.vocab, "prompts begin as tokenizer.json has it",
                                   spec.bos, warnings));
  MRS_RETURN_IF_ERROR(ReadUnusedId(config, "pad_token_id", where, spec.vocab, "nothing pads", spec.pad, warnings));
  constexpr const char* kEos = "eos_token_id";
  const Json* value = FindValue(config, kEos);
  if (value == nullptr) return {};
  std::vector<int32_t> ids;
  const auto past = [&](const Json& item) {
    if (!IsPastVocabulary(item, spec.vocab)) return false;
    warnings->push_back(fmt::format("{}: '{}' {} ends no answer: the model has {} tokens", where, kEos,
                                    DescribeJson(item), spec.vocab));
    return true;
  };
  if (!value->is_array()) {
    if (past(*value)) return {};
    int32_t id = -1;
    MRS_RETURN_IF_ERROR(ReadTokenId(config, kEos, where, spec.vocab, id));
    if (id >= 0) ids.push_back(id);
    return AddEndTokens(ids, where, spec);
  }
  for (const Json& item : *value) {
    if (past(item)) continue;
    if (!item.is_number_unsigned()) {
      return Refuse("{}: '{}': expected integers from 0 to {}, got {}", where, kEos, spec.vocab - 1,
                    DescribeJson(item));
    }
    ids.push_back(item.get<int32_t>());
  }
  return AddEndTokens(ids, where, spec);
}

Status ReadGenerationConfig(const std::string& folder, ModelSpec& spec, std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const std::optional<Json> config, ReadJsonIfThere(folder, kFile));
  if (!config) return {};
  MRS_RETURN_IF_ERROR(ReadTokenIds(*config, kFile, spec, warnings));
  MRS_RETURN_IF_ERROR(ReadSampling(*config, spec.sampling));
  MRS_RETURN_IF_ERROR(WarnOfMaxLength(*config, spec, warnings));
  WarnOfKeys(FactFile::kGeneration, *config, kFile, warnings);
  return {};
}

}  // namespace mrs
