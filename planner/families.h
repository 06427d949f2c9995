// The model families that mrs plans, one row of data each: what is fixed, what config.json may say, what tensors are
// named.
//
//   FindFamily("Qwen3ForCausalLM")->qk_norm                     ->  true
//   ExpectedTensors(spec)[1]  ->  {kInputNorm, layer 0, "model.layers.0.input_layernorm.weight", {256}, not a matrix}
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

enum class TensorRole : uint8_t {
  kEmbedding,  // [vocab, hidden]
  kInputNorm,
  kQ,  // [heads x head_dim, hidden], as every matrix: [out, in]
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,  // [head_dim]
  kKNorm,
  kPostNorm,
  kGate,
  kUp,
  kDown,
  kGateBias,
  kUpBias,
  kDownBias,
  kFinalNorm,
  kHead,  // [vocab, hidden]; the embedding where they are tied
};

enum class Bias : uint8_t { kNever, kAlways, kByConfig };  // kByConfig: `attention_bias`, `mlp_bias`
enum class Window : uint8_t {
  kNone,      // the family knows no sliding windows
  kByLength,  // `sliding_window` alone says it; absent means Family::default_window, null means none
  kBySwitch,  // only with `use_sliding_window`, and then from layer `max_window_layers` on
};

struct TensorPattern {
  TensorRole role;
  std::string_view name;  // "{}" stands for the layer
};

// Defaults are what transformers 5.23 takes where the key is absent.
struct Family {
  std::string_view architecture;
  std::string_view model_type;
  Bias qkv_bias;
  Bias o_bias;
  Bias mlp_bias;
  bool qk_norm;
  int64_t default_kv_heads;  // 0: as many as heads
  int64_t default_head_dim;  // 0: hidden / heads
  Window window;
  int64_t default_window;
  int32_t default_bos;  // -1: none
  int32_t default_eos;
  std::span<const TensorPattern> tensors;  // in the order of the computation
};

std::span<const Family> Families();                       // by name
const Family* FindFamily(std::string_view architecture);  // null: not supported
std::string SupportedArchitectures();                     // "LlamaForCausalLM, MistralForCausalLM, ..."

// A tensor that the model cannot run without.
struct ModelTensor {
  TensorRole role = TensorRole::kEmbedding;
  int64_t layer = -1;  // -1: belongs to no layer
  std::string name;
  std::vector<int64_t> shape;
  bool matrix = false;  // matrices (and the embedding) share one element type; norms and biases are vectors of any
};

// All of them in the order of the computation; a tied head is not listed. spec.architecture must be supported.
std::vector<ModelTensor> ExpectedTensors(const ModelSpec& spec);

// The name of one, "" where this model has none; a tied kHead is the embedding's. `layer` matters for roles in layers.
std::string TensorName(const ModelSpec& spec, TensorRole role, int64_t layer = -1);

struct TensorReport {
  ElementType matrix_type = ElementType::kF32;  // of every matrix
  std::vector<std::string> warnings;            // tensors of the checkpoint that the model does not know
};

// What `tie_word_embeddings` means for this checkpoint, as in transformers: where it holds both the embedding and
// lm_head.weight, they are not tied after all, which is warned of; where it holds lm_head.weight alone, that is the
// embedding, too, and is listed under its name.
void ResolveTiedHead(ModelSpec& spec, Checkpoint& checkpoint, std::vector<std::string>* warnings);

// Every expected tensor is there, of the right shape and type. Leftovers of old exports (rotary_emb.inv_freq) are
// passed over in silence, other unknown tensors warned of.
Result<TensorReport> CheckTensors(const ModelSpec& spec, const Checkpoint& checkpoint);

}  // namespace mrs
