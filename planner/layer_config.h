// A model's layers, as its config.json states them: attention, windows, rotation and MLP of each, with the rules that
// the layers turn by.
//
//   gemma3, 12 layers, sliding_window 512   ->  layers 5 and 11 {window 0, rope 0}, the others {window 512, rope 1}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "planner/families.h"
#include "plans/status.h"

namespace mrs {

// Fills layers, ropes and longest of `spec`, whose hidden and max_position are there. `max_len`: of the plan.
Status ReadLayers(const Json& config, std::string_view where, const Family& family, int64_t max_len, ModelSpec& spec,
                  std::vector<std::string>* warnings);

// A number that may be null, which gives `null`; `absent` where the key is not there.
Result<double> NumberOr(const Json& config, const char* key, std::string_view where, double absent, double null,
                        double least, double most);

// What scores or logits are capped to; 0, like null, is no cap.
Result<float> CapOr(const Json& config, const char* key, std::string_view where, double absent);

}  // namespace mrs
