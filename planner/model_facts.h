// Reads a model folder into the facts of a plan: config, headers, tokenizer, and the options checked against them.
#pragma once

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "planner/build.h"
#include "planner/layout.h"
#include "planner/plan_facts.h"

namespace mrs::planner {

struct ModelFacts {
  PlanFacts facts;
  Checkpoint checkpoint;
  Layout layout;
  std::vector<std::string> warnings;
};

Result<ModelFacts> ReadModelFacts(const BuildOptions& options);
// What a build starts from: the unsharded graph, with the facts and the layout as attributes.
mlir::OwningOpRef<mlir::ModuleOp> UnshardedModule(mlir::MLIRContext& context, const ModelFacts& model);

}  // namespace mrs::planner
