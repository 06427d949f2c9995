// A small Llama by hand: its plan for any number of ranks and stages, and a checkpoint of seeded random numbers to run
// it on.
//
//   const TestModel model = MakeTestModel({.tp = 2}, directory);   // writes directory/model.safetensors
//   model.plan();                                                  // as a reader would give it out
//
// Tests of the runtime run on it, so that none needs the planner. Nothing is reused in its activation arena.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs::testing {

// head_dim 16, odd widths elsewhere: chunks of 6, vocabulary not divisible by the ranks.
struct TestModelConfig {
  uint32_t tp = 1;
  uint32_t stages = 1;  // each the same number of layers
  plan::DType file_dtype = plan::DType::f32;
  plan::DType dtype = plan::DType::f32;  // matrices, matrix inputs and KV
  plan::Chain chain = plan::Chain::pair2;
  plan::CollectiveAlgorithm sum = plan::CollectiveAlgorithm::doubling;  // of every all-reduce
  uint32_t layers = 2;
  uint32_t window = 0;  // of every second layer, from the second; 0: none
  uint32_t hidden = 48;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  uint32_t head_dim = 16;
  uint32_t ffn = 96;
  uint32_t vocab = 67;
  bool qk_norm = true;
  bool bias = true;  // of q, k, v and o
  uint32_t max_len = 128;
  uint32_t max_seqs = 4;
  uint32_t max_tokens = 128;  // of the largest bucket
  uint64_t seed = 1;
};

// A tensor as the checkpoint file holds it, in f32.
struct TestTensor {
  uint64_t rows = 0;
  uint64_t columns = 0;  // 1: a vector
  uint64_t file_offset = 0;
  std::vector<float> values;  // exactly what the file's type holds
};

struct TestModel {
  TestModelConfig config;
  std::map<std::string, TestTensor> tensors;
  std::vector<float> inv_freq;
  std::string directory;
  std::string file;  // directory/model.safetensors
  uint64_t header_bytes = 0;
  plan::PlanT tree;
  std::vector<uint8_t> bytes;  // tree as a FlatBuffer

  const plan::Plan& plan() const { return *plan::GetPlan(bytes.data()); }
};

// The window of one layer; 0: none.
inline uint32_t WindowOf(const TestModelConfig& config, uint32_t layer) { return layer % 2 == 1 ? config.window : 0; }

inline constexpr float kTestEps = 1e-5F;

// Writes the checkpoint into `directory`, which exists.
TestModel MakeTestModel(const TestModelConfig& config, const std::string& directory);

// Serializes `model->tree` again after a change.
void Repack(TestModel* model);

}  // namespace mrs::testing
