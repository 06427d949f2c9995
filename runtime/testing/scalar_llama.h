// The same model in plain double arithmetic, without plan, packing, cache or ranks: what the executor's numbers mean.
//
//   ScalarLogits(model, {5, 9, 12})[2][id]   // logit of `id` after the third token
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/testing/llama_plan.h"

namespace mrs::testing {

// [position][vocab]. Nothing is rounded on the way, so compare f32 models only.
std::vector<std::vector<double>> ScalarLogits(const TestModel& model, const std::vector<int32_t>& tokens);

}  // namespace mrs::testing
