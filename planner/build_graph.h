// Builds the unsharded model in the mrs dialect: what a forward computes, and nothing of where.
//
//   BuildGraph(context, facts, checkpoint)  ->  module { func @forward { %x = mrs.embed ...; layers; logits } }
//
// Besides shapes it plants the seeds of tensor parallelism: query heads, FFN width and vocabulary. All else follows.
#pragma once

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "planner/plan_facts.h"

namespace mrs::planner {

// The tensors were checked against the model (CheckTensors), and tp by CheckTp. `context` has the mrs and func
// dialects.
mlir::OwningOpRef<mlir::ModuleOp> BuildGraph(mlir::MLIRContext& context, const PlanFacts& facts,
                                             const Checkpoint& checkpoint);

}  // namespace mrs::planner
