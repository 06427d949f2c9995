// The rule of rotary position embeddings that a config.json states, in the spelling of transformers 4 (`rope_theta`,
// `rope_scaling`, `rope_local_base_freq`) or 5 (`rope_parameters`, with a rule for each layer type where the family has
// that).
//
//   ReadRope({"rope_theta": 500000, "rope_scaling": {"type": "linear", "factor": 2}}, llama, ...)
//     ->  {theta 500000, linear factor 2, rotary_dim 128}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "planner/families.h"
#include "planner/rope.h"
#include "plans/status.h"

namespace mrs {

struct RopeOfModel {
  const Family& family;
  int64_t head_dim = 0;
  int64_t max_position = 0;
  int64_t max_len = 0;  // what dynamic and longrope are fixed at, as vLLM does
  bool local = false;   // of layers with a window, in families where they have a rule of their own
};

struct RopeRead {
  RopeConfig config;
  int64_t longest = 0;  // how many tokens the scaling reaches; 0: it says nothing beyond max_position_embeddings
  QueryScaling query_scaling;
};

// Another rule than default, dynamic, linear, llama3, longrope or yarn is refused by its name. Keys that the rule does
// not read are warned of; `warnings` may be null.
Result<RopeRead> ReadRope(const Json& config, std::string_view where, const RopeOfModel& model,
                          std::vector<std::string>* warnings);

}  // namespace mrs
