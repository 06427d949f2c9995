// What mrs knows of a model before it plans: plain facts, read from config.json and checkpoint headers, checked.
//
//   {"architectures": ["LlamaForCausalLM"], "hidden_size": 256, ...}  ->  ModelSpec{.hidden = 256, ...}
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mrs {

enum class ElementType : uint8_t { kF32, kBf16, kF16 };

struct CheckpointFile {
  std::string name;  // relative to the model folder
  uint64_t size_bytes = 0;
  uint64_t header_bytes = 0;  // what header_sha256 covers, from the start of the file
  std::string header_sha256;  // 32 raw bytes
};

struct RopeSpec {
  std::vector<float> inv_freq;    // rotary_dim / 2 frequencies, scaling applied
  float attention_factor = 1.0f;  // multiplies cos and sin
  std::string rule;               // "theta 10000" or "theta 500000, llama3 factor 8 low 1 high 4 original 8192"
  bool operator==(const RopeSpec&) const = default;
};

struct SamplingSpec {        // from generation_config.json; the neutral values where it says nothing
  float temperature = 1.0f;  // 0 where do_sample is false
  float top_p = 1.0f;
  uint32_t top_k = 0;  // 0: off
  float repetition_penalty = 1.0f;
  float min_p = 0.0f;  // 0: off
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  uint32_t max_tokens = 0;        // of an answer; 0: not said
  std::vector<std::string> stop;  // texts that end an answer
};

enum class NormKind : uint8_t { kRms, kRmsOfWeightPlusOne, kLayer };  // kLayer: less the mean, and with a bias
enum class QkNorm : uint8_t { kNone, kPerHead, kWhole };               // RMS norms of q and k, before RoPE
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };

// Queries grow with their position p: q * (1 + beta * log(1 + floor(p / original))).
struct QueryScaling {
  float beta = 0;  // 0: they do not
  int64_t original = 0;
  bool operator==(const QueryScaling&) const = default;
};

// One layer: attention and a gated MLP, each added to the residual. Which norms stand before and after them, and how the
// tensors are named, is the family's (families.h).
struct LayerSpec {
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;        // a token sees itself and the window - 1 before it; 0: all before it
  std::optional<uint32_t> rope;  // index into ModelSpec::ropes; none: positions turn nothing
  bool interleaved = false;  // RoPE turns (2i, 2i + 1) instead of (i, i + half)
  bool qkv_bias = false;
  bool o_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  float score_scale = 0;  // q k^T is multiplied by it
  float score_cap = 0;    // and s becomes cap * tanh(s / cap); 0: it does not
  QueryScaling query_scaling;

  int64_t ffn = 0;
  Activation activation = Activation::kSilu;
  bool mlp_bias = false;

  bool parallel = false;  // the MLP reads what attention reads, and both are added to the same residual
  float residual_multiplier = 1;
  bool operator==(const LayerSpec&) const = default;
};

// A dense decoder: embed, layers, norm, lm_head.
struct ModelSpec {
  std::string name;          // what clients call it: --name, else after the folder
  std::string architecture;  // "LlamaForCausalLM"
  int64_t hidden = 0;
  int64_t vocab = 0;
  int64_t max_position = 0;  // max_position_embeddings
  int64_t longest = 0;       // tokens that a sequence may have: past max_position where RoPE scaling reaches further
  std::vector<LayerSpec> layers;  // at least one
  std::vector<RopeSpec> ropes;    // those that layers turn by
  NormKind norm = NormKind::kRms;
  float norm_eps = 0;
  ElementType config_type = ElementType::kF32;  // of the tensors, as config.json says; their headers know better
  bool tied_embeddings = false;
  float embedding_multiplier = 1;
  bool multiplier_as_matrices = false;  // the embedding multiplier is rounded to the type of the matrices
  float logits_scaling = 1;             // logits are divided by it,
  float logit_cap = 0;                  // then capped; 0: they are not

  int32_t bos = -1;
  std::vector<int32_t> eos;  // sorted, unique
  int32_t pad = -1;
  std::string chat_template;  // "": none
  std::vector<std::pair<std::string, std::string>> template_tokens;  // {"eos_token", "</s>"}, sorted by name
  SamplingSpec sampling;
  std::optional<CheckpointFile> tokenizer;  // tokenizer.json; header_sha256 covers the whole file
};

// One tensor of a checkpoint, by its header.
struct TensorInfo {
  std::string name;
  ElementType dtype = ElementType::kF32;
  std::vector<int64_t> shape;
  uint32_t file = 0;         // index into Checkpoint.files
  uint64_t file_offset = 0;  // absolute offset of the first byte
  uint64_t bytes = 0;
};

struct Checkpoint {
  std::vector<CheckpointFile> files;  // sorted by name
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> other_dtypes;  // tensors mrs cannot read: name -> "F8_E4M3"; refused when needed
  std::map<std::string, std::string> only_in_index; // tensor -> the file that lacks it; refused when needed
};

// What the time of a stage follows from: elements of the weights that the forward of one token reads.
struct TokenReads {
  std::vector<int64_t> layers;
  int64_t head = 0;  // of the product that gives logits
};

}  // namespace mrs
