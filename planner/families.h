// The model families that mrs plans, one row of data each: what is fixed, which keys config.json may say it with, and
// of which blocks a layer consists.
//
//   FindFamily("Qwen3ForCausalLM")->qk_norm   ->  QkNorm::kPerHead
//   FindFamily("Olmo2ForCausalLM")->layer     ->  attention, its norm, gated MLP, its norm
//
// A block is rows of tensors. The checker of checkpoints (model_tensors.h) and the graph read the same rows, so that a
// shape stands once.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "planner/model_spec.h"

namespace mrs {

// What a tensor is to the computation.
enum class TensorRole : uint8_t {
  kEmbedding,
  kAttentionNorm,  // before attention; its bias follows, as with every norm
  kAttentionNormBias,
  kQ,
  kK,
  kV,
  kQBias,
  kKBias,
  kVBias,
  kQNorm,
  kKNorm,
  kO,
  kOBias,
  kAttentionPostNorm,  // of what attention gives, before it is added
  kAttentionPostNormBias,
  kMlpNorm,  // before the MLP
  kMlpNormBias,
  kGate,
  kUp,
  kGateBias,
  kUpBias,
  kDown,
  kDownBias,
  kMlpPostNorm,  // of what the MLP gives, before it is added
  kMlpPostNormBias,
  kFinalNorm,
  kFinalNormBias,
  kHead,  // the embedding where they are tied
};

// A size of the model; kOne where a shape has no further dimension.
enum class Size : uint8_t { kOne, kVocab, kHidden, kHeads, kKvHeads, kHeadDim, kFfn };

using Condition = bool (*)(const ModelSpec& spec, const LayerSpec& layer);

// A matrix [out..., in...] or a vector [out...], as the computation has it. Rows of one block with the same name are
// parts of one tensor of the checkpoint, one after the other: qkv_proj is q, k and v.
struct TensorRow {
  TensorRole role;
  std::string_view name;    // in a layer: after "model.layers.N."
  std::array<Size, 2> out;  // in the checkpoint they are one dimension
  std::array<Size, 2> in = {Size::kOne, Size::kOne};
  Condition when = nullptr;  // null: always
};
using Block = std::span<const TensorRow>;

enum class Bias : uint8_t { kNever, kAlways, kByConfig };

enum class Windows : uint8_t {
  kNone,        // the family knows no sliding windows
  kEveryLayer,  // `sliding_window` alone says it
  kByType,      // of the layers that `layer_types` calls "sliding_attention"; where it is absent, by TypeRule
};

// The layer_types of a config.json without any.
enum class TypeRule : uint8_t {
  kFull,
  kFromLayer,  // sliding from layer `max_window_layers` on
  kEveryNth,   // full every n-th layer, the others sliding; n is `sliding_window_pattern` or fixed
  kUnrotated,  // sliding where there is no rotation, and only with `use_sliding_window`
  kSliding,
};

enum class NoRope : uint8_t {
  kNever,
  kByList,      // where `no_rope_layers` has 0; without it every `no_rope_layer_interval`-th layer
  kFullLayers,  // in layers with full attention, of models that have a window
};

enum class ScoreScale : uint8_t { kHeadDim, kQueryScalar, kMultiplier };  // 1/sqrt(dim), 1/sqrt(key), key
enum class EmbeddingScale : uint8_t { kNone, kSqrtHidden, kByConfig };

// Defaults are what transformers takes where the key is absent.
struct Family {
  std::string_view architecture;
  std::string_view model_type;
  std::span<const Block> layer;  // in the order of the computation

  NormKind norm = NormKind::kRms;
  double default_eps = 1e-6;  // `rms_norm_eps`; `layer_norm_eps` with NormKind::kLayer
  std::string_view activation_key = "hidden_act";
  std::string_view default_activation = "silu";
  bool gelu_means_tanh = false;  // an old spelling of it

  int64_t default_positions = 0;   // `max_position_embeddings`
  int64_t default_kv_heads = 0;    // 0: as many as heads
  int64_t default_head_dim = 0;    // 0: hidden / heads
  bool head_dim_is_fixed = false;  // at hidden / heads: `head_dim` is not read
  std::string_view qkv_bias_key = "attention_bias";
  Bias qkv_bias = Bias::kNever;
  bool default_qkv_bias = false;
  Bias o_bias = Bias::kNever;    // `attention_bias`
  Bias mlp_bias = Bias::kNever;  // `mlp_bias`
  QkNorm qk_norm = QkNorm::kNone;
  bool parallel_key = false;  // reads `use_parallel_residual`

  Windows windows = Windows::kNone;
  int64_t default_window = 0;  // 0: none
  bool window_switch = false;  // `use_sliding_window` false, its default, takes the window away
  TypeRule types = TypeRule::kFull;
  int64_t default_pattern = 0;  // n of kEveryNth
  bool pattern_key = false;     // `sliding_window_pattern` says n

  NoRope no_rope = NoRope::kNever;
  double default_theta = 10000;
  double default_local_theta = 0;  // 0: as the others'; layers with a window turn by a rule of their own
  bool rope_by_type = false;       // `rope_parameters` has a rule for each layer type
  double default_rotary = 0;       // `partial_rotary_factor`; 0: the family turns whole heads
  bool interleaved = false;
  bool longrope_alone = false;         // scaled rules are longrope, whatever they call themselves
  int64_t default_original = 0;        // `original_max_position_embeddings`; 0: max_position_embeddings
  std::string_view default_rope = {};  // `rope_parameters` of a config.json without any, as JSON
  bool query_scaling = false;          // `llama_4_scaling_beta` of the rule

  ScoreScale score_scale = ScoreScale::kHeadDim;
  bool score_cap_key = false;  // reads `attn_logit_softcapping`
  double default_score_cap = 0;
  bool logit_cap_key = false;  // reads `final_logit_softcapping`
  double default_logit_cap = 0;
  EmbeddingScale embedding = EmbeddingScale::kNone;
  bool multiplier_keys = false;  // reads `residual_multiplier` and `logits_scaling`

  bool default_tied = false;
  int32_t default_bos = -1;  // -1: none
  std::array<int32_t, 3> default_eos = {-1, -1, -1};
};

std::span<const Family> Families();                       // by name
const Family* FindFamily(std::string_view architecture);  // null: not supported
std::string SupportedArchitectures();                     // "LlamaForCausalLM, MistralForCausalLM, ..."

// Around the layers, the same for every family.
Block BeforeLayers();
Block AfterLayers();

}  // namespace mrs
