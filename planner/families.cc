#include "planner/families.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace mrs {
namespace {

using enum TensorRole;
using enum Size;

constexpr bool HasBeta(const ModelSpec& spec, const LayerSpec&) { return spec.norm == NormKind::kLayer; }
constexpr bool HasQkvBias(const ModelSpec&, const LayerSpec& layer) { return layer.qkv_bias; }
constexpr bool HasOBias(const ModelSpec&, const LayerSpec& layer) { return layer.o_bias; }
constexpr bool HasMlpBias(const ModelSpec&, const LayerSpec& layer) { return layer.mlp_bias; }
constexpr bool NormsHeads(const ModelSpec&, const LayerSpec& layer) { return layer.qk_norm == QkNorm::kPerHead; }
constexpr bool NormsWhole(const ModelSpec&, const LayerSpec& layer) { return layer.qk_norm == QkNorm::kWhole; }
constexpr bool InSequence(const ModelSpec&, const LayerSpec& layer) { return !layer.parallel; }
constexpr bool InSequenceWithBeta(const ModelSpec& spec, const LayerSpec& layer) {
  return InSequence(spec, layer) && HasBeta(spec, layer);
}
constexpr bool HasHead(const ModelSpec& spec, const LayerSpec&) { return !spec.tied_embeddings; }

constexpr TensorRow kBeforeLayers[] = {
    {.role = kEmbedding, .name = "model.embed_tokens.weight", .out = {kVocab}, .in = {kHidden}},
};
constexpr TensorRow kAfterLayers[] = {
    {.role = kFinalNorm, .name = "model.norm.weight", .out = {kHidden}},
    {.role = kFinalNormBias, .name = "model.norm.bias", .out = {kHidden}, .when = HasBeta},
    {.role = kHead, .name = "lm_head.weight", .out = {kVocab}, .in = {kHidden}, .when = HasHead},
};

constexpr TensorRow kInputNorm[] = {
    {.role = kAttentionNorm, .name = "input_layernorm.weight", .out = {kHidden}},
    {.role = kAttentionNormBias, .name = "input_layernorm.bias", .out = {kHidden}, .when = HasBeta},
};
constexpr TensorRow kPostAttentionNorm[] = {
    {.role = kAttentionPostNorm, .name = "post_attention_layernorm.weight", .out = {kHidden}},
};
constexpr TensorRow kPostSelfAttentionNorm[] = {
    {.role = kAttentionPostNorm, .name = "post_self_attn_layernorm.weight", .out = {kHidden}},
};
// Llama calls the norm before the MLP so.
constexpr TensorRow kMlpNormAfterAttention[] = {
    {.role = kMlpNorm, .name = "post_attention_layernorm.weight", .out = {kHidden}, .when = InSequence},
    {.role = kMlpNormBias, .name = "post_attention_layernorm.bias", .out = {kHidden}, .when = InSequenceWithBeta},
};
constexpr TensorRow kPreFeedforwardNorm[] = {
    {.role = kMlpNorm, .name = "pre_feedforward_layernorm.weight", .out = {kHidden}},
};
constexpr TensorRow kPostFeedforwardNorm[] = {
    {.role = kMlpPostNorm, .name = "post_feedforward_layernorm.weight", .out = {kHidden}},
};
constexpr TensorRow kPostMlpNorm[] = {
    {.role = kMlpPostNorm, .name = "post_mlp_layernorm.weight", .out = {kHidden}},
};

constexpr TensorRow kAttention[] = {
    {.role = kQ, .name = "self_attn.q_proj.weight", .out = {kHeads, kHeadDim}, .in = {kHidden}},
    {.role = kK, .name = "self_attn.k_proj.weight", .out = {kKvHeads, kHeadDim}, .in = {kHidden}},
    {.role = kV, .name = "self_attn.v_proj.weight", .out = {kKvHeads, kHeadDim}, .in = {kHidden}},
    {.role = kQBias, .name = "self_attn.q_proj.bias", .out = {kHeads, kHeadDim}, .when = HasQkvBias},
    {.role = kKBias, .name = "self_attn.k_proj.bias", .out = {kKvHeads, kHeadDim}, .when = HasQkvBias},
    {.role = kVBias, .name = "self_attn.v_proj.bias", .out = {kKvHeads, kHeadDim}, .when = HasQkvBias},
    {.role = kQNorm, .name = "self_attn.q_norm.weight", .out = {kHeadDim}, .when = NormsHeads},
    {.role = kKNorm, .name = "self_attn.k_norm.weight", .out = {kHeadDim}, .when = NormsHeads},
    {.role = kQNorm, .name = "self_attn.q_norm.weight", .out = {kHeads, kHeadDim}, .when = NormsWhole},
    {.role = kKNorm, .name = "self_attn.k_norm.weight", .out = {kKvHeads, kHeadDim}, .when = NormsWhole},
    {.role = kO, .name = "self_attn.o_proj.weight", .out = {kHidden}, .in = {kHeads, kHeadDim}},
    {.role = kOBias, .name = "self_attn.o_proj.bias", .out = {kHidden}, .when = HasOBias},
};
constexpr TensorRow kFusedAttention[] = {
    {.role = kQ, .name = "self_attn.qkv_proj.weight", .out = {kHeads, kHeadDim}, .in = {kHidden}},
    {.role = kK, .name = "self_attn.qkv_proj.weight", .out = {kKvHeads, kHeadDim}, .in = {kHidden}},
    {.role = kV, .name = "self_attn.qkv_proj.weight", .out = {kKvHeads, kHeadDim}, .in = {kHidden}},
    {.role = kO, .name = "self_attn.o_proj.weight", .out = {kHidden}, .in = {kHeads, kHeadDim}},
};
constexpr TensorRow kGatedMlp[] = {
    {.role = kGate, .name = "mlp.gate_proj.weight", .out = {kFfn}, .in = {kHidden}},
    {.role = kUp, .name = "mlp.up_proj.weight", .out = {kFfn}, .in = {kHidden}},
    {.role = kGateBias, .name = "mlp.gate_proj.bias", .out = {kFfn}, .when = HasMlpBias},
    {.role = kUpBias, .name = "mlp.up_proj.bias", .out = {kFfn}, .when = HasMlpBias},
    {.role = kDown, .name = "mlp.down_proj.weight", .out = {kHidden}, .in = {kFfn}},
    {.role = kDownBias, .name = "mlp.down_proj.bias", .out = {kHidden}, .when = HasMlpBias},
};
constexpr TensorRow kFusedMlp[] = {
    {.role = kGate, .name = "mlp.gate_up_proj.weight", .out = {kFfn}, .in = {kHidden}},
    {.role = kUp, .name = "mlp.gate_up_proj.weight", .out = {kFfn}, .in = {kHidden}},
    {.role = kDown, .name = "mlp.down_proj.weight", .out = {kHidden}, .in = {kFfn}},
};

constexpr Block kPreNorm[] = {kInputNorm, kAttention, kMlpNormAfterAttention, kGatedMlp};
constexpr Block kPreNormFusedMlp[] = {kInputNorm, kAttention, kMlpNormAfterAttention, kFusedMlp};
constexpr Block kPreNormFused[] = {kInputNorm, kFusedAttention, kMlpNormAfterAttention, kFusedMlp};
constexpr Block kPostNorm[] = {kAttention, kPostAttentionNorm, kGatedMlp, kPostFeedforwardNorm};
constexpr Block kSandwich[] = {kInputNorm,          kAttention, kPostAttentionNorm,
                               kPreFeedforwardNorm, kGatedMlp,  kPostFeedforwardNorm};
constexpr Block kGlm4Sandwich[] = {kInputNorm, kAttention,  kPostSelfAttentionNorm, kMlpNormAfterAttention,
                                   kFusedMlp,  kPostMlpNorm};

constexpr std::array<int32_t, 3> kGlmEnds = {151329, 151336, 151338};

constexpr Family kFamilies[] = {
    {.architecture = "Exaone4ForCausalLM",
     .model_type = "exaone4",
     .layer = kPostNorm,
     .default_eps = 1e-5,
     .default_positions = 2048,
     .default_kv_heads = 32,
     .qk_norm = QkNorm::kPerHead,
     .windows = Windows::kByType,
     .default_window = 4096,
     .types = TypeRule::kEveryNth,
     .default_pattern = 4,
     .pattern_key = true,
     .no_rope = NoRope::kFullLayers,
     .default_bos = 0,
     .default_eos = {2, -1, -1}},
    {.architecture = "Gemma2ForCausalLM",
     .model_type = "gemma2",
     .layer = kSandwich,
     .norm = NormKind::kRmsOfWeightPlusOne,
     .activation_key = "hidden_activation",
     .default_activation = "gelu_pytorch_tanh",
     .default_positions = 8192,
     .default_kv_heads = 4,
     .default_head_dim = 256,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .windows = Windows::kByType,
     .default_window = 4096,
     .types = TypeRule::kEveryNth,
     .default_pattern = 2,
     .score_scale = ScoreScale::kQueryScalar,
     .score_cap_key = true,
     .default_score_cap = 50,
     .logit_cap_key = true,
     .default_logit_cap = 30,
     .embedding = EmbeddingScale::kSqrtHidden,
     .default_tied = true,
     .default_bos = 2,
     .default_eos = {1, -1, -1}},
    {.architecture = "Gemma3ForCausalLM",
     .model_type = "gemma3_text",
     .layer = kSandwich,
     .norm = NormKind::kRmsOfWeightPlusOne,
     .activation_key = "hidden_activation",
     .default_activation = "gelu_pytorch_tanh",
     .default_positions = 131072,
     .default_kv_heads = 4,
     .default_head_dim = 256,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .qk_norm = QkNorm::kPerHead,
     .windows = Windows::kByType,
     .default_window = 4096,
     .types = TypeRule::kEveryNth,
     .default_pattern = 6,
     .pattern_key = true,
     .default_theta = 1e6,
     .default_local_theta = 1e4,
     .rope_by_type = true,
     .score_scale = ScoreScale::kQueryScalar,
     .logit_cap_key = true,
     .embedding = EmbeddingScale::kSqrtHidden,
     .default_tied = true,
     .default_bos = 2,
     .default_eos = {1, -1, -1}},
    {.architecture = "GemmaForCausalLM",
     .model_type = "gemma",
     .layer = kPreNorm,
     .norm = NormKind::kRmsOfWeightPlusOne,
     .default_activation = "gelu_pytorch_tanh",
     .gelu_means_tanh = true,
     .default_positions = 8192,
     .default_kv_heads = 16,
     .default_head_dim = 256,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .embedding = EmbeddingScale::kSqrtHidden,
     .default_tied = true,
     .default_bos = 2,
     .default_eos = {1, -1, -1}},
    {.architecture = "Glm4ForCausalLM",
     .model_type = "glm4",
     .layer = kGlm4Sandwich,
     .default_eps = 1.5625e-7,
     .default_positions = 131072,
     .default_kv_heads = 2,
     .default_head_dim = 128,
     .qkv_bias = Bias::kByConfig,
     .default_qkv_bias = true,
     .default_rotary = 0.5,
     .interleaved = true,
     .default_eos = kGlmEnds},
    {.architecture = "GlmForCausalLM",
     .model_type = "glm",
     .layer = kPreNormFusedMlp,
     .default_eps = 1.5625e-7,
     .default_positions = 131072,
     .default_kv_heads = 2,
     .default_head_dim = 128,
     .qkv_bias = Bias::kByConfig,
     .default_qkv_bias = true,
     .default_rotary = 0.5,
     .interleaved = true,
     .default_eos = kGlmEnds},
    {.architecture = "GraniteForCausalLM",
     .model_type = "granite",
     .layer = kPreNorm,
     .default_positions = 2048,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .mlp_bias = Bias::kByConfig,
     .score_scale = ScoreScale::kMultiplier,
     .embedding = EmbeddingScale::kByConfig,
     .multiplier_keys = true,
     .default_bos = 1,
     .default_eos = {2, -1, -1}},
    {.architecture = "LlamaForCausalLM",
     .model_type = "llama",
     .layer = kPreNorm,
     .default_positions = 2048,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .mlp_bias = Bias::kByConfig,
     .default_bos = 1,
     .default_eos = {2, -1, -1}},
    {.architecture = "Ministral3ForCausalLM",
     .model_type = "ministral3",
     .layer = kPreNorm,
     .default_eps = 1e-5,
     .default_positions = 262144,
     .default_kv_heads = 8,
     .default_head_dim = 128,
     .windows = Windows::kEveryLayer,
     .default_rope = R"({"type": "yarn", "rope_theta": 1000000.0, "factor": 16.0, "beta_fast": 32.0, "beta_slow": 1.0,
                         "original_max_position_embeddings": 16384, "mscale": 1.0, "mscale_all_dim": 1.0,
                         "llama_4_scaling_beta": 0.1})",
     .query_scaling = true,
     .default_bos = 1,
     .default_eos = {2, -1, -1}},
    {.architecture = "MinistralForCausalLM",
     .model_type = "ministral",
     .layer = kPreNorm,
     .default_positions = 131072,
     .default_kv_heads = 8,
     .windows = Windows::kByType,
     .default_window = 4096,
     .types = TypeRule::kSliding,
     .default_bos = 1,
     .default_eos = {2, -1, -1}},
    {.architecture = "MistralForCausalLM",
     .model_type = "mistral",
     .layer = kPreNorm,
     .default_positions = 131072,
     .default_kv_heads = 8,
     .windows = Windows::kEveryLayer,
     .default_window = 4096,
     .default_bos = 1,
     .default_eos = {2, -1, -1}},
    {.architecture = "Olmo2ForCausalLM",
     .model_type = "olmo2",
     .layer = kPostNorm,
     .default_eps = 1e-5,
     .default_positions = 2048,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .qk_norm = QkNorm::kWhole,
     .default_eos = {50279, -1, -1}},
    {.architecture = "Olmo3ForCausalLM",
     .model_type = "olmo3",
     .layer = kPostNorm,
     .default_eps = 1e-5,
     .default_positions = 2048,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .qk_norm = QkNorm::kWhole,
     .windows = Windows::kByType,
     .default_window = 4096,
     .types = TypeRule::kEveryNth,
     .default_pattern = 4,
     .default_theta = 5e5,
     .rope_by_type = true,
     .default_eos = {50279, -1, -1}},
    {.architecture = "Phi3ForCausalLM",
     .model_type = "phi3",
     .layer = kPreNormFused,
     .default_eps = 1e-5,
     .default_positions = 4096,
     .windows = Windows::kEveryLayer,
     .default_rotary = 1,
     .longrope_alone = true,
     .default_original = 4096,
     .default_bos = 1,
     .default_eos = {32000, -1, -1}},
    {.architecture = "Qwen2ForCausalLM",
     .model_type = "qwen2",
     .layer = kPreNorm,
     .default_positions = 32768,
     .default_kv_heads = 32,
     .qkv_bias = Bias::kAlways,
     .windows = Windows::kByType,
     .default_window = 4096,
     .window_switch = true,
     .types = TypeRule::kFromLayer},
    {.architecture = "Qwen3ForCausalLM",
     .model_type = "qwen3",
     .layer = kPreNorm,
     .default_positions = 32768,
     .default_kv_heads = 32,
     .default_head_dim = 128,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .qk_norm = QkNorm::kPerHead,
     .windows = Windows::kByType,
     .default_window = 4096,
     .window_switch = true,
     .types = TypeRule::kFromLayer},
    {.architecture = "SmolLM3ForCausalLM",
     .model_type = "smollm3",
     .layer = kPreNorm,
     .default_positions = 32768,
     .default_kv_heads = 4,
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .mlp_bias = Bias::kByConfig,
     .windows = Windows::kByType,
     .types = TypeRule::kUnrotated,
     .no_rope = NoRope::kByList,
     .default_theta = 2e6,
     .default_tied = true,
     .default_bos = 128000,
     .default_eos = {128001, -1, -1}},
    {.architecture = "StableLmForCausalLM",
     .model_type = "stablelm",
     .layer = kPreNorm,
     .norm = NormKind::kLayer,
     .default_eps = 1e-5,
     .default_positions = 4096,
     .default_kv_heads = 32,
     .head_dim_is_fixed = true,
     .qkv_bias_key = "use_qkv_bias",
     .qkv_bias = Bias::kByConfig,
     .parallel_key = true,
     .default_rotary = 0.25,
     .default_bos = 0,
     .default_eos = {0, -1, -1}},
};

}  // namespace

std::span<const Family> Families() { return kFamilies; }

const Family* FindFamily(std::string_view architecture) {
  const auto* found = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                   [&](const Family& family) { return family.architecture == architecture; });
  return found == std::end(kFamilies) ? nullptr : found;
}

std::string SupportedArchitectures() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies) names.push_back(family.architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

Block BeforeLayers() { return kBeforeLayers; }
Block AfterLayers() { return kAfterLayers; }

}  // namespace mrs
