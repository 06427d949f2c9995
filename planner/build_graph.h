// Builds the unsharded model in the mrs dialect: what a forward computes, and nothing of where.
//
//   BuildGraph(context, facts, checkpoint)  ->  module { func @forward { %x = mrs.embed ...; layers; logits } }
//
// What is of a layer says so: attribute `layer`.
#pragma once

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "planner/plan_facts.h"

namespace mrs::planner {

// The tensors were checked against the model (CheckTensors). `context` has the mrs and func
// dialects.
mlir::OwningOpRef<mlir::ModuleOp> BuildGraph(mlir::MLIRContext& context, const PlanFacts& facts,
                                             const Checkpoint& checkpoint);

}  // namespace mrs::planner
