// What this version plans and cannot run yet, by name: mrs-plan says it of such a plan, mrs-exec refuses it.
//
//   Runnable(plan of 8 GPUs).message()
//     ->  "the plan is for 8 CUDA ranks, and mrs-exec has no CUDA backend yet: layout, shards, ..."
#pragma once

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

// Of a verified plan.
Status Runnable(const plan::Plan& plan);

}  // namespace mrs
