// The program of one stage: steps, buffers, weights and caches, as vectors of structs.
#pragma once

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

// Appends the stage, its KV class and the names it uses to `plan`. The module of `program` passed ir::VerifyFinal.
Status EmitStage(mlir::func::FuncOp program, plan::PlanT* plan);

}  // namespace mrs::planner
