// The frequencies of rotary position embeddings, as transformers computes them, with the same bits on every host.
//
//   theta 10000, head_dim 4            ->  {1, 0.01}
//   the same with linear factor 4      ->  {0.25, 0.0025}
#pragma once

#include <cstdint>
#include <string_view>

#include "formats/json.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

enum class RopeScaling : uint8_t { kNone, kLinear, kLlama3 };

struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;           // kLinear and kLlama3
  double low_freq_factor = 0;  // kLlama3, as the next two
  double high_freq_factor = 0;
  int64_t original_position = 0;  // context length before the scaling
};

// The rule that config.json states, in the spelling of transformers 4 (`rope_theta`, `rope_scaling`) or 5
// (`rope_parameters`). Another rule than default, linear or llama3 is refused by its name.
Result<RopeConfig> ReadRopeConfig(const Json& config, std::string_view where, int64_t max_position);

// head_dim / 2 frequencies: f32(1 / f32(theta ^ f32(2i / head_dim))), each step rounded to f32 as torch does, then
// scaled (transformers 5.23, modeling_rope_utils.py). Powers come from basic IEEE operations: libm's results differ by
// host.
RopeSpec ComputeRope(const RopeConfig& config, int64_t head_dim);

}  // namespace mrs
