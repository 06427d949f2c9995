#include "planner/model_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/ranges.h>

#include "formats/model_json.h"
#include "formats/text/utf8.h"
#include "planner/architecture.h"
#include "planner/fact_keys.h"
#include "planner/families.h"
#include "planner/generation_config.h"
#include "planner/layer_config.h"
#include "planner/model_name.h"
#include "planner/model_tensors.h"
#include "planner/model_text.h"
#include "planner/model_tokenizer.h"
#include "planner/optional_file.h"

namespace mrs {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

// Far above any model known, low enough that products of two or three of them cannot overflow.
constexpr int64_t kMaxWidth = int64_t{1} << 24;  // hidden, vocab
constexpr int64_t kMaxPosition = int64_t{1} << 30;
constexpr int64_t kMaxParameters = int64_t{1} << 50;  // which 63 bits count; their bytes, too, however padded

// Keys that some families read. `neutral`: values, as JSON, that say nothing.
struct FamilyKey {
  const char* key;
  bool (*read)(const Family& family);
  std::string_view neutral;
  std::string_view why;
};
constexpr FamilyKey kFamilyKeys[] = {
    {"sliding_window", [](const Family& f) { return f.windows != Windows::kNone; }, "", "has no sliding windows"},
    {"use_sliding_window", [](const Family& f) { return f.window_switch || f.types == TypeRule::kUnrotated; }, "",
     "has no switch for sliding windows"},
    {"sliding_window_pattern", [](const Family& f) { return f.pattern_key; }, "", "does not read it"},
    {"attention_bias", [](const Family& f) { return f.qkv_bias_key == "attention_bias" && f.qkv_bias != Bias::kNever; },
     "", "has no such biases"},
    {"use_qkv_bias", [](const Family& f) { return f.qkv_bias_key == "use_qkv_bias"; }, "", "has no such biases"},
    {"mlp_bias", [](const Family& f) { return f.mlp_bias == Bias::kByConfig; }, "", "has no such biases"},
    {"attn_logit_softcapping", [](const Family& f) { return f.score_cap_key; }, "", "does not cap attention scores"},
    {"final_logit_softcapping", [](const Family& f) { return f.logit_cap_key; }, "", "does not cap logits"},
    {"query_pre_attn_scalar", [](const Family& f) { return f.score_scale == ScoreScale::kQueryScalar; }, "",
     "does not read it"},
    {"attention_multiplier", [](const Family& f) { return f.score_scale == ScoreScale::kMultiplier; }, "1 1.0",
     "does not read it"},
    {"embedding_multiplier", [](const Family& f) { return f.embedding == EmbeddingScale::kByConfig; }, "1 1.0",
     "does not read it"},
    {"residual_multiplier", [](const Family& f) { return f.multiplier_keys; }, "1 1.0", "does not read it"},
    {"logits_scaling", [](const Family& f) { return f.multiplier_keys; }, "1 1.0", "does not read it"},
    {"no_rope_layers", [](const Family& f) { return f.no_rope == NoRope::kByList; }, "[]", "turns every layer"},
    {"no_rope_layer_interval", [](const Family& f) { return f.no_rope == NoRope::kByList; }, "", "turns every layer"},
    {"use_parallel_residual", [](const Family& f) { return f.parallel_key; }, "", "adds one after the other"},
    {"rope_local_base_freq", [](const Family& f) { return f.default_local_theta != 0; }, "",
     "turns all layers by one rule"},
    {"rms_norm_eps", [](const Family& f) { return f.norm != NormKind::kLayer; }, "", "goes by layer_norm_eps"},
    {"layer_norm_eps", [](const Family& f) { return f.norm == NormKind::kLayer; }, "", "goes by rms_norm_eps"},
};

// What transformers does not read in this family, though others do.
void WarnOfOtherFamilies(const Json& config, std::string_view where, const Family& family,
                         std::vector<std::string>* warnings) {
  for (const FamilyKey& row : kFamilyKeys) {
    const Json* value = FindValue(config, row.key);
    if (value == nullptr || row.read(family) || MeansNothing(*value) || HasWord(row.neutral, DumpJson(*value))) {
      continue;
    }
    warnings->push_back(fmt::format("{}: '{}' {} is not used: {} {}", where, row.key, DescribeJson(*value),
                                    family.architecture, row.why));
  }
  const char* other = family.activation_key == "hidden_act" ? "hidden_activation" : "hidden_act";
  const Json* activation = FindValue(config, other);
  const Json* used = FindValue(config, family.activation_key);
  if (activation != nullptr && *activation != (used != nullptr ? *used : Json(family.default_activation))) {
    warnings->push_back(fmt::format("{}: '{}' {} is not used: {} goes by {}", where, other, DescribeJson(*activation),
                                    family.architecture, family.activation_key));
  }
  const Json* type = FindValue(config, "model_type");
  if (type != nullptr && *type != family.model_type) {
    warnings->push_back(fmt::format("{}: 'model_type' {} is not used: architectures says {}, whose type is \"{}\"",
                                    where, DescribeJson(*type), family.architecture, family.model_type));
  }
}

// No file names a token that ends an answer.
void EndByDefault(const Json& config, const Family& family, ModelSpec& spec, std::vector<std::string>* warnings) {
  if (!spec.eos.empty()) return;
  std::string ends = "nothing ends an answer but a stop string and its length";
  std::vector<int32_t> ids;
  for (const int32_t id : family.default_eos) {
    if (id >= 0 && id < spec.vocab) ids.push_back(id);
  }
  if (!config.contains("eos_token_id") && !ids.empty()) {
    spec.eos = ids;
    ends = fmt::format("answers end at token {}, the default of {}", fmt::join(ids, ", "), family.architecture);
  }
  warnings->push_back(fmt::format(
      "no file names an end-of-text token (eos_token_id of config.json or generation_config.json, eos_token "
      "of tokenizer_config.json): {}",
      ends));
}

// `dtype`, before it `torch_dtype`; transformers computes in f32 where neither is there.
Result<ElementType> ReadType(const Json& config, std::string_view where) {
  const char* key = FindValue(config, "dtype") != nullptr ? "dtype" : "torch_dtype";
  MRS_ASSIGN_OR_RETURN(const std::string type, GetStringOr(config, key, where, "float32"));
  if (type == "bfloat16") return ElementType::kBf16;
  if (type == "float16") return ElementType::kF16;
  return ElementType::kF32;
}

Result<int64_t> ReadPositions(const Json& config, std::string_view where, const Family& family,
                              std::vector<std::string>* warnings) {
  constexpr const char* kKey = "max_position_embeddings";
  if (config.contains(kKey)) return GetInt(config, kKey, where, 1, kMaxPosition);
  warnings->push_back(fmt::format("{}: '{}' is missing: {}, the default of {}, in transformers, too", where, kKey,
                                  family.default_positions, family.architecture));
  return family.default_positions;
}

// The multipliers around the layers.
Status ReadMultipliers(const Json& config, std::string_view where, const Family& family, ModelSpec& spec) {
  const auto number = [&](const char* key, double absent, double null, double least) {
    return NumberOr(config, key, where, absent, null, least, 1e12);
  };
  if (family.embedding == EmbeddingScale::kSqrtHidden) {
    spec.embedding_multiplier = static_cast<float>(std::sqrt(static_cast<double>(spec.hidden)));
    spec.multiplier_as_matrices = true;
  }
  if (family.embedding == EmbeddingScale::kByConfig) {
    MRS_ASSIGN_OR_RETURN(const double by, number("embedding_multiplier", 1, 1, 1e-12));
    spec.embedding_multiplier = static_cast<float>(by);
  }
  if (family.multiplier_keys) {
    MRS_ASSIGN_OR_RETURN(const double by, number("logits_scaling", 1, 1, 1e-12));
    spec.logits_scaling = static_cast<float>(by);
  }
  if (family.logit_cap_key) {
    MRS_ASSIGN_OR_RETURN(spec.logit_cap, CapOr(config, "final_logit_softcapping", where, family.default_logit_cap));
  }
  return {};
}

}  // namespace

int64_t PlannedLength(std::optional<int64_t> asked, int64_t max_position) {
  constexpr int64_t kDefault = 8192;
  return asked.value_or(std::min(max_position, kDefault));
}

Result<ModelSpec> ParseModelConfig(const Json& config, std::string_view where, std::optional<int64_t> max_len,
                                   std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const Family* family, ReadFamily(config, where, warnings));
  MRS_RETURN_IF_ERROR(RefuseUnplanned(config, where));

  ModelSpec spec;
  spec.architecture = family->architecture;
  spec.norm = family->norm;
  MRS_ASSIGN_OR_RETURN(spec.hidden, GetInt(config, "hidden_size", where, 1, kMaxWidth));
  MRS_ASSIGN_OR_RETURN(spec.vocab, GetInt(config, "vocab_size", where, 1, kMaxWidth));
  MRS_ASSIGN_OR_RETURN(spec.max_position, ReadPositions(config, where, *family, warnings));
  MRS_ASSIGN_OR_RETURN(spec.tied_embeddings, GetBoolOr(config, "tie_word_embeddings", where, family->default_tied));
  MRS_RETURN_IF_ERROR(ReadMultipliers(config, where, *family, spec));
  MRS_ASSIGN_OR_RETURN(spec.config_type, ReadType(config, where));
  if (family->default_bos >= 0 && family->default_bos < spec.vocab) spec.bos = family->default_bos;
  MRS_RETURN_IF_ERROR(ReadTokenIds(config, where, spec, warnings));

  std::vector<std::string> of_ropes;
  MRS_RETURN_IF_ERROR(ReadLayers(config, where, *family, PlannedLength(max_len, spec.max_position), spec, &of_ropes));
  const char* eps_key = family->norm == NormKind::kLayer ? "layer_norm_eps" : "rms_norm_eps";
  MRS_ASSIGN_OR_RETURN(const double eps, GetDoubleOr(config, eps_key, where, family->default_eps));
  if (!(eps >= 1e-30 && eps <= 1)) {
    return Refuse("{}: '{}': expected a number from 1e-30 to 1, got {}", where, eps_key, eps);
  }
  spec.norm_eps = static_cast<float>(eps);
  if (const int64_t count = CountParameters(spec); count > kMaxParameters) {
    return Refuse("{}: its sizes make {} parameters; at most {} are accepted", where, count, kMaxParameters);
  }
  WarnOfOtherFamilies(config, where, *family, warnings);
  warnings->insert(warnings->end(), of_ropes.begin(), of_ropes.end());
  WarnOfKeys(FactFile::kConfig, config, where, warnings);
  return spec;
}

Result<ModelSpec> ReadModelConfig(const std::string& folder, const ModelOptions& options,
                                  std::vector<std::string>* warnings) {
  const std::string name = options.name.empty() ? NameOfFolder(folder) : options.name;
  const bool printable =
      std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (name.size() > 255 || !printable || text::FindInvalidUtf8(name) != name.npos) {
    return Refuse("model name: expected 1 to 255 bytes of UTF-8 without control characters, got {}{}",
                  DescribeJson(Json(name)), options.name.empty() ? "; give another with --name" : "");
  }
  constexpr const char* kConfig = "config.json";
  std::error_code error;
  const bool file_alone = options.layout_alone && std::filesystem::is_regular_file(folder, error);
  const std::string path = file_alone ? folder : fmt::format("{}/{}", folder, kConfig);
  MRS_ASSIGN_OR_RETURN(const std::string text,
                       ReadFile(path, kMaxConfigBytes, "give the folder of a Hugging Face checkpoint"));
  MRS_ASSIGN_OR_RETURN(const Json config, ParseModelJson(text, kConfig, kModelJsonLimits));
  MRS_ASSIGN_OR_RETURN(ModelSpec spec, ParseModelConfig(config, kConfig, options.max_len, warnings));
  spec.name = name;
  if (file_alone) return spec;
  if (options.layout_alone && TokenizerIsGitLfsPointer(folder)) {
    warnings->push_back(
        "tokenizer.json: is a git-lfs pointer, not the file that it stands for; layout and memory need none, and a "
        "plan "
        "does: run 'git lfs pull' where it was cloned");
    MRS_RETURN_IF_ERROR(ReadGenerationConfig(folder, spec, warnings));
    return spec;
  }
  MRS_ASSIGN_OR_RETURN(const std::optional<ModelTokenizer> tokenizer, ReadModelTokenizer(folder, warnings));
  if (tokenizer) spec.tokenizer = tokenizer->file;
  MRS_RETURN_IF_ERROR(ReadGenerationConfig(folder, spec, warnings));
  MRS_RETURN_IF_ERROR(ReadModelText(folder, tokenizer ? &tokenizer->tokenizer : nullptr, spec, warnings));
  EndByDefault(config, *FindFamily(spec.architecture), spec, warnings);
  return spec;
}

}  // namespace mrs
