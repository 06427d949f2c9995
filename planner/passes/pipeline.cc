#include "ir/verify.h"
#include "mlir/Pass/PassRegistry.h"
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

struct VerifyShardingPass : ModulePass<VerifyShardingPass> {
  static constexpr llvm::StringLiteral kArgument = "mrs-verify-sharding";
  static constexpr llvm::StringLiteral kDescription =
      "refuse a program that does not compute what the unsharded one does";
  mlir::LogicalResult Run(mlir::ModuleOp module) { return ir::VerifySharding(module); }
};

struct VerifyFinalPass : ModulePass<VerifyFinalPass> {
  static constexpr llvm::StringLiteral kArgument = "mrs-verify-final";
  static constexpr llvm::StringLiteral kDescription = "refuse a program in which something is not decided";
  mlir::LogicalResult Run(mlir::ModuleOp module) { return ir::VerifyFinal(module); }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateVerifyShardingPass() { return std::make_unique<VerifyShardingPass>(); }
std::unique_ptr<mlir::Pass> CreateVerifyFinalPass() { return std::make_unique<VerifyFinalPass>(); }

void AddPlanPipeline(mlir::OpPassManager& manager) {
  manager.addPass(CreateApplyLayoutPass());
  manager.addPass(CreatePropagatePass());
  manager.addPass(CreateInsertCollectivesPass());
  manager.addPass(CreateVerifyShardingPass());
  manager.addPass(CreateCutStagesPass());
  manager.addPass(CreateFusePass());
  manager.addPass(CreateFuseStepsPass());
  manager.addPass(CreateLocalizePass());
  manager.addPass(CreateSchedulePass());
  manager.addPass(CreateJoinLaunchesPass());
  manager.addPass(CreateInPlacePass());
  manager.addPass(CreatePlanMemoryPass());
}

void RegisterPasses() {
  for (auto create :
       {CreateApplyLayoutPass, CreatePropagatePass, CreateInsertCollectivesPass, CreateCutStagesPass, CreateFusePass,
        CreateFuseStepsPass, CreateLocalizePass, CreateSchedulePass, CreateJoinLaunchesPass, CreateInPlacePass,
        CreatePlanMemoryPass, CreateVerifyShardingPass, CreateVerifyFinalPass}) {
    mlir::registerPass(create);
  }
  mlir::PassPipelineRegistration<>("mrs-plan", "all passes of mrs-plan build", AddPlanPipeline);
}

}  // namespace mrs::planner
