// Writes down the final module as a plan. Reads nothing but the module: what a plan says, its module said.
//
//   MRS_ASSIGN_OR_RETURN(plan::PlanT plan, EmitPlan(*module));
//   MRS_ASSIGN_OR_RETURN(const std::string bytes, SerializePlan(plan));
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

// Refuses a module that ir::VerifyFinal refuses; that error goes to the context's diagnostics, this one says where to
// look.
Result<plan::PlanT> EmitPlan(mlir::ModuleOp module);

}  // namespace mrs::planner
