// Reads a model folder into the facts of a plan: config, headers, tokenizer, and the options checked against them.
#pragma once

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "planner/build.h"
#include "planner/decision.h"
#include "planner/fit.h"
#include "planner/layout.h"
#include "planner/plan_facts.h"
#include "planner/visible_devices.h"

namespace mrs::planner {

struct ModelFacts {
  PlanFacts facts;
  Checkpoint checkpoint;
  Layout layout;
  Wish wish;          // as it was typed, with the batches that numerics chose
  LayoutFlags flags;  // said or chosen
  Budget budget;
  std::vector<VisibleDevice> devices;  // of the cluster, in groups of tp, which layout.stages[].device counts
  bool auto_bf16 = true;               // what --dtype auto is
  std::string index;                   // what the index beside a dry run's config.json says, or ""
  std::vector<std::string> places;     // where ranks are, with a cluster
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

// Checked, but for whether it fits.
Result<ModelFacts> ReadModelFacts(const BuildOptions& options);
// The facts of a plan that fits, or why none does and what would; --solve is decided.
struct FittingFacts {
  ModelFacts model;
  FitVerdict verdict;
};
Result<FittingFacts> ReadFittingFacts(const BuildOptions& options);
// What a build starts from: the unsharded graph, with the facts and the layout as attributes.
mlir::OwningOpRef<mlir::ModuleOp> UnshardedModule(mlir::MLIRContext& context, const ModelFacts& model);

}  // namespace mrs::planner
