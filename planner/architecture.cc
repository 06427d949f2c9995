#include "planner/architecture.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

namespace mrs {
namespace {

constexpr std::string_view kQuantized = "quantized checkpoints are";
constexpr std::string_view kExperts = "mixtures of experts are";

// Keys that change the computation; null, false and 0 mean that the model does without.
struct RefusedKey {
  std::string_view key;
  std::string_view what;
};
constexpr RefusedKey kRefusedKeys[] = {
    {"quantization_config", kQuantized},
    {"compression_config", kQuantized},
    {"quantization", kQuantized},
    {"text_config", "multimodal models are"},
    {"vision_config", "multimodal models are"},
    {"audio_config", "multimodal models are"},
    {"num_experts", kExperts},
    {"num_local_experts", kExperts},
    {"n_routed_experts", kExperts},
    {"moe_intermediate_size", kExperts},
    {"clip_qkv", "clipped projections are"},
    {"attn_output_gate", "gated attention is"},
    {"attention_chunk_size", "chunked attention is"},
    {"use_bidirectional_attention", "attention to later tokens is"},
    {"qk_layernorm", "layer norms of queries and keys are"},
};

// What other architectures have. These keys tell of it; a supported one has no use for them.
constexpr RefusedKey kOfOthers[] = {
    {"is_encoder_decoder", "encoders with decoders are"},
    {"n_experts", kExperts},
    {"ffn_config", kExperts},  // of DBRX
    {"vision_tower", "multimodal models are"},
    {"mm_vision_tower", "multimodal models are"},
    {"visual", "multimodal models are"},
    {"kv_lora_rank", "latent attention is"},
    {"index_topk", "sparse attention is"},
    {"hybrid_override_pattern", "state-space and linear-attention layers are"},
    {"mamba_d_state", "state-space and linear-attention layers are"},
    {"mamba_num_heads", "state-space and linear-attention layers are"},
    {"ssm_state_size", "state-space and linear-attention layers are"},
    {"state_size", "state-space and linear-attention layers are"},
    {"linear_num_key_heads", "state-space and linear-attention layers are"},
    {"conv_L_cache", "state-space and linear-attention layers are"},
};

// What a name ends with that is no model of text to come.
struct Ending {
  std::string_view ending;
  std::string_view what;
};
constexpr Ending kEndings[] = {
    {"ForMaskedLM", "encoders are"},
    {"ForSequenceClassification", "classifiers are"},
    {"ForTokenClassification", "classifiers are"},
    {"ForQuestionAnswering", "classifiers are"},
    {"RewardModel", "classifiers are"},
    {"EncoderModel", "encoders are"},
    {"BertModel", "encoders are"},
    {"RobertaModel", "encoders are"},
};

// Names that mean a family's, as transformers takes both for it.
struct Alias {
  std::string_view name;
  std::string_view architecture;
};
constexpr Alias kAliases[] = {
    {"LLaMAForCausalLM", "LlamaForCausalLM"},  // of conversions before transformers had the model
};

// "(quant_method "fp8")", or nothing.
std::string QuantizationOf(const Json& value) {
  for (const char* key : {"quant_method", "quant_algo", "bits"}) {
    if (const Json* said = FindValue(value, key)) return fmt::format(" ({} {})", key, DescribeJson(*said));
  }
  return "";
}

// "mixtures of experts: 'num_local_experts'"; each such thing once, by the key that tells of it.
class Reasons {
 public:
  void AddKeys(const Json& config, std::string_view inside) {
    for (const RefusedKey& row : kRefusedKeys) AddKey(config, row, inside);
    for (const RefusedKey& row : kOfOthers) AddKey(config, row, inside);
  }
  void Add(std::string_view what, std::string_view because) {
    const std::string_view thing = what.substr(0, what.rfind(' '));  // without its verb
    if (std::find(things_.begin(), things_.end(), thing) != things_.end()) return;
    things_.push_back(thing);
    reasons_.push_back(because.empty() ? std::string(thing) : fmt::format("{}: {}", thing, because));
  }
  std::string Text() const { return reasons_.empty() ? "" : fmt::format(" ({})", fmt::join(reasons_, "; ")); }

 private:
  void AddKey(const Json& config, const RefusedKey& row, std::string_view inside) {
    const Json* value = FindValue(config, row.key);
    if (value != nullptr && !MeansNothing(*value)) {
      Add(row.what, fmt::format("'{}{}'{}", inside, row.key, row.what == kQuantized ? QuantizationOf(*value) : ""));
    }
  }

  std::vector<std::string_view> things_;
  std::vector<std::string> reasons_;
};

// Everything that stands in the way, as far as the file tells.
std::string WhyNot(const Json& config, const std::string& architecture) {
  Reasons reasons;
  reasons.AddKeys(config, "");
  for (const char* key : {"text_config", "llm_config", "language_config", "thinker_config"}) {
    const Json* text = FindValue(config, key);
    if (text != nullptr && text->is_object()) reasons.AddKeys(*text, fmt::format("{}.", key));
  }
  for (const Ending& row : kEndings) {
    if (architecture.ends_with(row.ending)) reasons.Add(row.what, "");
  }
  constexpr std::string_view kBare = "Model";
  if (architecture.ends_with(kBare)) {
    const std::string_view stem = std::string_view(architecture).substr(0, architecture.size() - kBare.size());
    if (FindFamily(fmt::format("{}ForCausalLM", stem)) != nullptr) reasons.Add("models without a head are", "");
  }
  return reasons.Text();
}

const Family* FindFamilyOfType(std::string_view model_type) {
  const auto families = Families();
  const auto found = std::find_if(families.begin(), families.end(),
                                  [&](const Family& family) { return family.model_type == model_type; });
  return found == families.end() ? nullptr : &*found;
}

// A file without `architectures`: transformers' AutoModelForCausalLM goes by `model_type`.
Result<const Family*> ReadFamilyByType(const Json& config, std::string_view where, std::vector<std::string>* warnings) {
  const Json* type = FindValue(config, "model_type");
  const bool named = type != nullptr && type->is_string();
  const Family* family = named ? FindFamilyOfType(type->get_ref<const std::string&>()) : nullptr;
  if (family != nullptr) {
    warnings->push_back(fmt::format("{}: 'architectures' is missing; 'model_type' {} means {}, as in transformers",
                                    where, DescribeJson(*type), family->architecture));
    return family;
  }
  if (type == nullptr && FindValue(config, "n_layers") != nullptr && FindValue(config, "dim") != nullptr) {
    return Refuse(
        "{}: 'architectures' is missing; 'dim' and 'n_layers' are those of a params.json, of a checkpoint in its "
        "maker's own format; give one converted to Hugging Face's",
        where);
  }
  std::string why =
      type == nullptr ? "" : fmt::format(", and 'model_type' {} is no supported one", DescribeJson(*type));
  if (type != nullptr) why += WhyNot(config, "");
  return Refuse("{}: 'architectures' is missing; expected an array with the name of one{}; supported: {}", where, why,
                SupportedArchitectures());
}

}  // namespace

bool MeansNothing(const Json& value) {
  return (value.is_boolean() && !value.get<bool>()) || (value.is_number() && value.get<double>() == 0);
}

Result<const Family*> ReadFamily(const Json& config, std::string_view where, std::vector<std::string>* warnings) {
  if (config.is_object() && FindValue(config, "architectures") == nullptr) {
    return ReadFamilyByType(config, where, warnings);
  }
  MRS_ASSIGN_OR_RETURN(const Json* names, GetArray(config, "architectures", where));
  if (names->empty() || !names->front().is_string()) {
    return Refuse("{}: 'architectures': expected the name of an architecture, got {}", where, DescribeJson(*names));
  }
  const std::string& name = names->front().get_ref<const std::string&>();
  const auto* alias =
      std::find_if(std::begin(kAliases), std::end(kAliases), [&](const Alias& row) { return row.name == name; });
  const Family* family = FindFamily(alias == std::end(kAliases) ? name : alias->architecture);
  if (family != nullptr) return family;
  return Refuse("{}: architecture {} is not supported yet{}; supported: {}", where, DescribeJson(names->front()),
                WhyNot(config, name), SupportedArchitectures());
}

Status RefuseUnplanned(const Json& config, std::string_view where) {
  for (const RefusedKey& refused : kRefusedKeys) {
    const Json* value = FindValue(config, refused.key);
    if (value == nullptr || MeansNothing(*value)) continue;
    if (refused.what != kQuantized) return Refuse("{}: '{}': {} not supported yet", where, refused.key, refused.what);
    return Refuse("{}: '{}'{}: {} not supported yet; give one in bf16, f16 or f32", where, refused.key,
                  QuantizationOf(*value), refused.what);
  }
  return {};
}

}  // namespace mrs
