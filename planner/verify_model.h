// Is this plan the plan of that model? Anybody with the folder can ask; nothing that the plan claims is believed.
//
//   VerifyPlanOfModel(opened.plan(), "models/mini")   ->   {"erasure", "checkpoint headers"}, or why not
#pragma once

#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

// Builds the unsharded graph from the folder anew, with the choices that the plan states (tp, max_len, numerics, ...),
// and holds the plan against it (erasure.h); then holds what the plan reads against the files' headers. `plan` was
// given out by OpenPlan, so plans/verify has passed. Gives the names of the checks that passed.
Result<std::vector<std::string>> VerifyPlanOfModel(const plan::Plan& plan, const std::string& model_dir);

}  // namespace mrs::planner
