// The passes that turn the unsharded graph into a program with addresses, in the order of the pipeline.
//
//   name                    required  what it decides
//   mrs-apply-layout        yes       the mesh, the buckets, and the seeds: heads, gated products, the vocabulary
//   mrs-propagate           yes       the slice of every value, from the seeds
//   mrs-insert-collectives  yes       where partial sums are completed and split values gathered
//   mrs-cut-stages          yes       which stage computes what, and what crosses a border
//   mrs-fuse                no        sibling products (q, k, v; gate, up) become one operation
//   mrs-fuse-steps          no        for GPUs: a sum and its norm; rotations and append; gate, up and their product
//   mrs-localize            yes       every rank's part of each weight, and its canonical chunks
//   mrs-schedule            yes       the order of steps, of collectives, and of transfers
//   mrs-join-launches       no        for GPUs: products, or sums by peer memory, and what follows, in one launch
//   mrs-in-place            no        sums that overwrite an operand nobody reads again
//   mrs-plan-memory         yes       every offset, and the KV block count
//
// Required: without it ir::VerifyFinal refuses the module. Optional: the same tokens with more operations or bytes.
#pragma once

#include <memory>

#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"

namespace mrs::planner {

std::unique_ptr<mlir::Pass> CreateApplyLayoutPass();
std::unique_ptr<mlir::Pass> CreatePropagatePass();
std::unique_ptr<mlir::Pass> CreateInsertCollectivesPass();
std::unique_ptr<mlir::Pass> CreateCutStagesPass();
std::unique_ptr<mlir::Pass> CreateFusePass();
std::unique_ptr<mlir::Pass> CreateFuseStepsPass();
std::unique_ptr<mlir::Pass> CreateLocalizePass();
std::unique_ptr<mlir::Pass> CreateSchedulePass();
std::unique_ptr<mlir::Pass> CreateJoinLaunchesPass();
std::unique_ptr<mlir::Pass> CreateInPlacePass();
std::unique_ptr<mlir::Pass> CreatePlanMemoryPass();
// ir::VerifySharding and ir::VerifyFinal as passes, for mrs-opt (mrs-verify-sharding, mrs-verify-final).
std::unique_ptr<mlir::Pass> CreateVerifyShardingPass();
std::unique_ptr<mlir::Pass> CreateVerifyFinalPass();

// The pipeline above. The emitter verifies its result again.
void AddPlanPipeline(mlir::OpPassManager& manager);
// For mrs-opt: each pass by name, and all of them as --mrs-plan.
void RegisterPasses();

}  // namespace mrs::planner
