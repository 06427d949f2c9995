#include "planner/model_config.h"

#include <algorithm>

#include "formats/text/utf8.h"
#include "planner/fact_keys.h"
#include "planner/families.h"
#include "planner/generation_config.h"
#include "planner/model_name.h"
#include "planner/model_text.h"
#include "planner/model_tokenizer.h"
#include "planner/optional_file.h"
#include "planner/rope.h"

namespace mrs {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

// Far above any model known, low enough that products of two or three of them cannot overflow.
constexpr int64_t kMaxWidth = int64_t{1} << 24;  // hidden, ffn, vocab
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxPosition = int64_t{1} << 30;

// Keys that change the computation; null, false and 0 mean that the model does without.
struct RefusedKey {
  const char* key;
  const char* what;
};
constexpr RefusedKey kRefusedKeys[] = {
    {"quantization_config", "quantized checkpoints are"},
    {"compression_config", "quantized checkpoints are"},
    {"quantization", "quantized checkpoints are"},
    {"text_config", "multimodal models are"},
    {"vision_config", "multimodal models are"},
    {"audio_config", "multimodal models are"},
    {"num_experts", "mixtures of experts are"},
    {"num_local_experts", "mixtures of experts are"},
    {"n_routed_experts", "mixtures of experts are"},
    {"moe_intermediate_size", "mixtures of experts are"},
    {"attn_logit_softcapping", "capped attention scores are"},
    {"final_logit_softcapping", "capped logits are"},
    {"clip_qkv", "clipped projections are"},
    {"attn_output_gate", "gated attention is"},
    {"attention_chunk_size", "chunked attention is"},
};

bool MeansNothing(const Json& value) {
  return (value.is_boolean() && !value.get<bool>()) || (value.is_number() && value.get<double>() == 0);
}

Result<const Family*> ReadFamily(const Json& config, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const Json* names, GetArray(config, "architectures", where));
  if (names->empty() || !names->front().is_string()) {
    return Refuse("{}: 'architectures': expected the name of an architecture, got {}", where, DescribeJson(*names));
  }
  const std::string& name = names->front().get_ref<const std::string&>();
  const Family* family = FindFamily(name);
  if (family == nullptr) {
    return Refuse("{}: architecture {} is not supported yet; supported: {}", where, DescribeJson(names->front()),
                  SupportedArchitectures());
  }
  return family;
}

Status RefuseUnplanned(const Json& config, std::string_view where) {
  for (const RefusedKey& refused : kRefusedKeys) {
    const Json* value = FindValue(config, refused.key);
    if (value != nullptr && !MeansNothing(*value)) {
      return Refuse("{}: '{}': {} not supported yet", where, refused.key, refused.what);
    }
  }
  MRS_ASSIGN_OR_RETURN(const std::string activation, GetStringOr(config, "hidden_act", where, "silu"));
  if (activation != "silu") {
    return Refuse("{}: hidden_act {} is not supported yet; supported: silu", where, DescribeJson(Json(activation)));
  }
  MRS_ASSIGN_OR_RETURN(const Json* types, GetArrayOrNull(config, "layer_types", where));
  for (size_t i = 0; types != nullptr && i < types->size(); ++i) {
    if ((*types)[i] != "full_attention") {
      return Refuse("{}: layer_types[{}] {} is not supported yet; supported: full_attention", where, i,
                    DescribeJson((*types)[i]));
    }
  }
  return {};
}

// A window that reaches over the whole context, or that no layer uses, changes nothing.
Status RefuseWindow(const Json& config, std::string_view where, const Family& family, const ModelSpec& spec) {
  if (family.window == Window::kNone) return {};
  if (family.window == Window::kBySwitch) {
    MRS_ASSIGN_OR_RETURN(const bool used, GetBoolOr(config, "use_sliding_window", where, false));
    if (!used || FindValue(config, "layer_types") != nullptr) return {};  // layer_types were all full attention
    MRS_ASSIGN_OR_RETURN(const int64_t first, GetIntOr(config, "max_window_layers", where, 28, 0));
    if (first >= spec.layers) return {};
  }
  const bool absent = !config.contains("sliding_window");
  if (!absent && config["sliding_window"].is_null()) return {};
  MRS_ASSIGN_OR_RETURN(const int64_t window, GetIntOr(config, "sliding_window", where, family.default_window, 1));
  if (window >= spec.max_position) return {};
  if (absent) {
    return Refuse(
        "{}: 'sliding_window' is absent, which means {} for {}; sliding windows are not supported yet: write null if "
        "the model was trained without",
        where, window, family.architecture);
  }
  return Refuse("{}: a sliding window of {} in a context of {} is not supported yet", where, window, spec.max_position);
}

// null means as many as heads; absent means the family's default.
Result<int64_t> ReadKvHeads(const Json& config, std::string_view where, const Family& family, int64_t heads) {
  constexpr const char* kKey = "num_key_value_heads";
  const int64_t absent = family.default_kv_heads == 0 ? heads : family.default_kv_heads;
  MRS_ASSIGN_OR_RETURN(const int64_t kv_heads,
                       GetIntOr(config, kKey, where, config.contains(kKey) ? heads : absent, 1, kMaxHeads));
  if (heads % kv_heads != 0) {
    return Refuse("{}: num_attention_heads {} does not divide by num_key_value_heads {}", where, heads, kv_heads);
  }
  return kv_heads;
}

Result<int64_t> ReadHeadDim(const Json& config, std::string_view where, const Family& family, const ModelSpec& spec) {
  int64_t fallback = family.default_head_dim;
  if (fallback == 0 && FindValue(config, "head_dim") == nullptr) {
    if (spec.hidden % spec.heads != 0) {
      return Refuse("{}: hidden_size {} does not divide by num_attention_heads {}, and there is no head_dim", where,
                    spec.hidden, spec.heads);
    }
    fallback = spec.hidden / spec.heads;
  }
  MRS_ASSIGN_OR_RETURN(const int64_t head_dim, GetIntOr(config, "head_dim", where, fallback, 1, kMaxHeadDim));
  if (head_dim % 2 != 0) return Refuse("{}: head_dim {} is odd; RoPE turns pairs of elements", where, head_dim);
  if (head_dim > kMaxHeadDim) return Refuse("{}: head_dim {}; at most {} is accepted", where, head_dim, kMaxHeadDim);
  return head_dim;
}

// What transformers does not read in this family, though others do.
void WarnOfOtherFamilies(const Json& config, std::string_view where, const Family& family,
                         std::vector<std::string>* warnings) {
  const auto idle = [&](const char* key, std::string_view why) {
    const Json* value = FindValue(config, key);
    if (value == nullptr || MeansNothing(*value)) return;
    warnings->push_back(fmt::format("{}: '{}' {} is not used: {} {}", where, key, DescribeJson(*value),
                                    family.architecture, why));
  };
  if (family.window == Window::kNone) {
    for (const char* key : {"sliding_window", "use_sliding_window"}) idle(key, "has no sliding windows");
  }
  if (family.window == Window::kByLength) idle("use_sliding_window", "goes by sliding_window alone");
  if (family.qkv_bias == Bias::kNever) idle("attention_bias", "has no such biases");
  if (family.mlp_bias == Bias::kNever) idle("mlp_bias", "has no such biases");
  const Json* type = FindValue(config, "model_type");
  if (type != nullptr && *type != family.model_type) {
    warnings->push_back(fmt::format("{}: 'model_type' {} is not used: architectures says {}, whose type is \"{}\"",
                                    where, DescribeJson(*type), family.architecture, family.model_type));
  }
}

// Facts of the rule that is not in use, or that a second place says otherwise.
void WarnOfRope(const Json& config, std::string_view where, const RopeConfig& rope,
                std::vector<std::string>* warnings) {
  const Json* scaling = FindValue(config, "rope_scaling");
  const Json* parameters = FindValue(config, "rope_parameters");
  const bool scaled = scaling != nullptr && !scaling->empty();
  if (scaled && parameters != nullptr && !parameters->empty() && *parameters != *scaling) {
    warnings->push_back(fmt::format("{}: 'rope_parameters' is not used: rope_scaling is there, and wins", where));
  }
  const Json* used = scaled ? scaling : parameters;
  if (used == nullptr) return;
  const std::string place = fmt::format("{}: {}", where, scaled ? "rope_scaling" : "rope_parameters");
  WarnOfKeys(FactFile::kRope, *used, place, warnings);
  const auto idle = [&](const char* key, std::string_view why) {
    if (const Json* value = FindValue(*used, key)) {
      warnings->push_back(fmt::format("{}: '{}' {} is not used: {}", place, key, DescribeJson(*value), why));
    }
  };
  const Json* factor = FindValue(*used, "factor");
  if (rope.scaling == RopeScaling::kNone && factor != nullptr && *factor != 1) idle("factor", "the rule is default");
  if (rope.scaling != RopeScaling::kLlama3) {
    for (const char* key : {"low_freq_factor", "high_freq_factor"}) idle(key, "the rule is not llama3");
  }
  const Json* inner = FindValue(*used, "rope_theta");
  const Json* outer = FindValue(config, "rope_theta");
  if (inner != nullptr && outer != nullptr && *inner != *outer) {
    warnings->push_back(fmt::format("{}: 'rope_theta' {} is not used: that of {} wins", where, DescribeJson(*outer),
                                    scaled ? "rope_scaling" : "rope_parameters"));
  }
}

// No file names a token that ends an answer.
void EndByDefault(const Json& config, const Family& family, ModelSpec& spec, std::vector<std::string>* warnings) {
  if (!spec.eos.empty()) return;
  std::string ends = "nothing ends an answer but a stop string and its length";
  if (!config.contains("eos_token_id") && family.default_eos >= 0 && family.default_eos < spec.vocab) {
    spec.eos = {family.default_eos};
    ends = fmt::format("answers end at token {}, the default of {}", family.default_eos, family.architecture);
  }
  warnings->push_back(
      fmt::format("no file names an end-of-text token (eos_token_id of config.json or generation_config.json, eos_token "
                  "of tokenizer_config.json): {}",
                  ends));
}

Result<bool> ReadBias(const Json& config, std::string_view where, const char* key, Bias bias) {
  if (bias != Bias::kByConfig) return bias == Bias::kAlways;
  return GetBoolOr(config, key, where, false);
}

}  // namespace

Result<ModelSpec> ParseModelConfig(const Json& config, std::string_view where, std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const Family* family, ReadFamily(config, where));
  MRS_RETURN_IF_ERROR(RefuseUnplanned(config, where));

  ModelSpec spec;
  spec.architecture = family->architecture;
  MRS_ASSIGN_OR_RETURN(spec.hidden, GetInt(config, "hidden_size", where, 1, kMaxWidth));
  MRS_ASSIGN_OR_RETURN(spec.layers, GetInt(config, "num_hidden_layers", where, 1, kMaxLayers));
  MRS_ASSIGN_OR_RETURN(spec.heads, GetInt(config, "num_attention_heads", where, 1, kMaxHeads));
  MRS_ASSIGN_OR_RETURN(spec.kv_heads, ReadKvHeads(config, where, *family, spec.heads));
  MRS_ASSIGN_OR_RETURN(spec.head_dim, ReadHeadDim(config, where, *family, spec));
  MRS_ASSIGN_OR_RETURN(spec.ffn, GetInt(config, "intermediate_size", where, 1, kMaxWidth));
  MRS_ASSIGN_OR_RETURN(spec.vocab, GetInt(config, "vocab_size", where, 1, kMaxWidth));
  MRS_ASSIGN_OR_RETURN(spec.max_position, GetInt(config, "max_position_embeddings", where, 1, kMaxPosition));
  MRS_RETURN_IF_ERROR(RefuseWindow(config, where, *family, spec));

  MRS_ASSIGN_OR_RETURN(const double eps, GetDoubleOr(config, "rms_norm_eps", where, 1e-6));
  if (!(eps >= 1e-30 && eps <= 1)) {
    return Refuse("{}: 'rms_norm_eps': expected a number from 1e-30 to 1, got {}", where, eps);
  }
  spec.norm_eps = static_cast<float>(eps);
  MRS_ASSIGN_OR_RETURN(spec.tied_embeddings, GetBoolOr(config, "tie_word_embeddings", where, false));
  MRS_ASSIGN_OR_RETURN(spec.qkv_bias, ReadBias(config, where, "attention_bias", family->qkv_bias));
  MRS_ASSIGN_OR_RETURN(spec.o_bias, ReadBias(config, where, "attention_bias", family->o_bias));
  MRS_ASSIGN_OR_RETURN(spec.mlp_bias, ReadBias(config, where, "mlp_bias", family->mlp_bias));
  spec.qk_norm = family->qk_norm;

  MRS_ASSIGN_OR_RETURN(const RopeConfig rope, ReadRopeConfig(config, where, spec.max_position));
  spec.rope = ComputeRope(rope, spec.head_dim);

  if (family->default_bos >= 0 && family->default_bos < spec.vocab) spec.bos = family->default_bos;
  MRS_RETURN_IF_ERROR(ReadTokenIds(config, where, spec));
  WarnOfOtherFamilies(config, where, *family, warnings);
  WarnOfRope(config, where, rope, warnings);
  WarnOfKeys(FactFile::kConfig, config, where, warnings);
  return spec;
}

Result<ModelFolderFacts> ReadModelConfig(const std::string& folder, const ModelOptions& options) {
  const std::string name = options.name.empty() ? NameOfFolder(folder) : options.name;
  const bool printable =
      std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (name.size() > 255 || !printable || text::FindInvalidUtf8(name) != name.npos) {
    return Refuse("model name: expected 1 to 255 bytes of UTF-8 without control characters, got {}{}",
                  DescribeJson(Json(name)), options.name.empty() ? "; give another with --name" : "");
  }
  constexpr const char* kConfig = "config.json";
  const std::string path = fmt::format("{}/{}", folder, kConfig);
  MRS_ASSIGN_OR_RETURN(const std::string text,
                       ReadFile(path, kMaxConfigBytes, "give the folder of a Hugging Face checkpoint"));
  MRS_ASSIGN_OR_RETURN(const Json config, ParseJson(text, kConfig, kModelJsonLimits));
  ModelFolderFacts facts;
  MRS_ASSIGN_OR_RETURN(facts.spec, ParseModelConfig(config, kConfig, &facts.warnings));
  facts.spec.name = name;
  MRS_ASSIGN_OR_RETURN(const std::optional<ModelTokenizer> tokenizer, ReadModelTokenizer(folder, &facts.warnings));
  if (tokenizer) facts.tokenizer = tokenizer->file;
  MRS_RETURN_IF_ERROR(ReadGenerationConfig(folder, facts.spec, &facts.warnings));
  MRS_RETURN_IF_ERROR(
      ReadModelText(folder, tokenizer ? &tokenizer->tokenizer : nullptr, facts.spec, &facts.warnings));
  EndByDefault(config, *FindFamily(facts.spec.architecture), facts.spec, &facts.warnings);
  return facts;
}

}  // namespace mrs
