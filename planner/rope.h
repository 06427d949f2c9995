// The frequencies of rotary position embeddings, as transformers computes them, with the same bits on every host.
//
//   theta 10000, 4 dimensions          ->  {1, 0.01}
//   the same with linear factor 4      ->  {0.25, 0.0025}
#pragma once

#include <cstdint>
#include <vector>

#include "planner/model_spec.h"

namespace mrs {

enum class RopeScaling : uint8_t { kNone, kLinear, kDynamic, kLlama3, kYarn, kLongRope };

// One rule, every default filled in.
struct RopeConfig {
  double theta = 10000;
  int64_t rotary_dim = 0;  // the first dimensions of a head, which turn; even
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;              // of all but kLongRope
  int64_t original_position = 0;  // context length before the scaling; of kDynamic, kLlama3, kYarn, kLongRope
  double low_freq_factor = 0;     // kLlama3, as the next
  double high_freq_factor = 0;
  double beta_fast = 32;  // kYarn, as the next two
  double beta_slow = 1;
  bool truncate = true;
  double attention_factor = 1;        // kYarn and kLongRope
  int64_t length = 0;                 // kDynamic and kLongRope depend on the length: of the plan's longest sequence
  std::vector<double> divisors = {};  // kLongRope: the factors of that length, one a frequency
};

// rotary_dim / 2 frequencies: f32(1 / f32(theta ^ f32(2i / rotary_dim))), each step rounded to f32 as torch does, then
// scaled (transformers 5.24, modeling_rope_utils.py). Powers come from basic IEEE operations: libm's results differ by
// host.
RopeSpec ComputeRope(const RopeConfig& config);

// The attention factor that yarn and longrope have where none is stated.
double YarnAttentionFactor(double factor, double mscale, double mscale_all_dim);  // 0: not stated
double LongRopeAttentionFactor(double factor, int64_t original_position);

}  // namespace mrs
