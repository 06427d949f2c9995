// What mrs knows of a model before it plans: plain facts, read from config.json and checkpoint headers, checked.
//
//   {"architectures": ["LlamaForCausalLM"], "hidden_size": 256, ...}  ->  ModelSpec{.hidden = 256, ...}
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mrs {

enum class ElementType : uint8_t { kF32, kBf16, kF16 };

struct RopeSpec {
  std::vector<float> inv_freq;    // rotary_dim / 2 frequencies, scaling applied
  float attention_factor = 1.0f;  // multiplies cos and sin
  std::string rule;               // "theta 10000" or "theta 500000, llama3 factor 8 low 1 high 4 original 8192"
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

// A dense decoder: embed, layers of (norm, attention, norm, gated MLP), norm, lm_head.
struct ModelSpec {
  std::string name;          // what clients call it: --name, else after the folder
  std::string architecture;  // "LlamaForCausalLM"
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // even
  int64_t ffn = 0;
  int64_t vocab = 0;
  int64_t max_position = 0;
  float norm_eps = 0;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // RMS norm over head_dim of q and k, before RoPE
  RopeSpec rope;

  int32_t bos = -1;
  std::vector<int32_t> eos;  // sorted, unique
  int32_t pad = -1;
  std::string chat_template;  // "": none
  std::vector<std::pair<std::string, std::string>> template_tokens;  // {"eos_token", "</s>"}, sorted by name
  SamplingSpec sampling;
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

struct CheckpointFile {
  std::string name;  // relative to the model folder
  uint64_t size_bytes = 0;
  uint64_t header_bytes = 0;  // what header_sha256 covers, from the start of the file
  std::string header_sha256;  // 32 raw bytes
};

struct Checkpoint {
  std::vector<CheckpointFile> files;  // sorted by name
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> other_dtypes;  // tensors mrs cannot read: name -> "F8_E4M3"; refused when needed
  std::map<std::string, std::string> only_in_index; // tensor -> the file that lacks it; refused when needed
};

}  // namespace mrs
