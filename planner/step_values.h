// The values that one rank's forward computes in one stage, in the order of its steps: what the activation arena holds.
// Plain arithmetic on a ModelSpec, without the graph: the passes lay out the same values, and a test holds both to the
// same byte.
//
//   llama, tp 2, layers [0, 1)   ->   tokens i32 [T, 1]; ...; embed f32 [T, hidden], then its all-reduce in its place;
//   ... ActivationBytes(values, {512 tokens, 16 sequences, 16 logit rows})   ->   1912896
#pragma once

#include <cstdint>
#include <vector>

#include "planner/layout.h"
#include "planner/model_spec.h"

namespace mrs {

enum class RowsOf : uint8_t { kTokens, kSequences, kLogitRows };

struct StepValue {
  RowsOf rows = RowsOf::kTokens;
  int64_t row_bytes = 0;  // on this rank
  int64_t first = 0;      // the step that writes it, those of one launch counted as one; -1: an input
  int64_t last = 0;       // the last that reads it
  int64_t in_place = -1;  // the value whose bytes it takes over
};

struct StageValues {
  std::vector<StepValue> values;
  int64_t step_count = 0;
  int64_t exchange_count = 0;  // of these, what waits for other ranks
};

// What a stage is cut for. bf16: matrices and what goes into them are; else all is f32.
struct StageShape {
  int64_t tp = 1;
  bool first = true, last = true;  // of the stages
  int64_t layer_begin = 0;
  int64_t layer_end = 0;
  bool bf16 = true;
  int64_t max_len = 0;
  bool gpus = false;   // steps are one as mrs-fuse-steps has them, and launches as mrs-join-launches
  bool peers = false;  // GPUs that read each other's memory: also sums of ranks are in launches
};

StageValues ValuesOfStage(const ModelSpec& spec, const StageShape& shape);

// What they take in one batch: each at the lowest place that is free while it lives.
int64_t ActivationBytes(const StageValues& values, const ir::BucketSize& bucket);

// The window that bounds a layer's cache in a plan of `max_len` tokens; 0: none does.
int64_t WindowOf(const LayerSpec& layer, int64_t max_len);

}  // namespace mrs
