// The program of the one stage: steps, buffers, weights and caches, as vectors of structs.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "planner/plan_facts.h"
#include "plans/plan_generated.h"

namespace mrs::planner {

// Appends the stage, its KV class and the names it uses to `plan`. The module passed ir::VerifyFinal.
Status EmitStage(mlir::ModuleOp module, const PlanFacts& facts, plan::PlanT* plan);

}  // namespace mrs::planner
