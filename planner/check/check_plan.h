// Is a plan sound in itself, made by this version, and still that of its model?
//
//   CheckPlan("mini.mrsplan", {.producer = "mrs-plan 0.1.0", .model_dir = "models/mini", .prove = ...})
//     ->  mini.mrsplan: error: model.safetensors: its header does not match the plan ... [plan.stale-files]
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "planner/check/diagnostic.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::check {

struct PlanContext {
  std::string producer;   // of this version, as plans name theirs
  std::string model_dir;  // "": not held against a model
  std::string cluster;    // a cluster file; "": not held against one
  // The proof that a plan is that of a model folder (planner/verify_model.h), which needs the compiler.
  std::function<Status(const plan::Plan& plan, const std::string& model_dir)> prove;
};

std::vector<Diagnostic> CheckPlan(const std::string& path, const PlanContext& context);

}  // namespace mrs::check
