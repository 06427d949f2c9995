// Lets GPUs that read each other's memory run a sum of ranks in one launch with the residual's sum and the norm after
// it: each block norms the rows that it has summed. The steps stay what they are, as does the collective schedule; what
// the first leaves for the second need not be written, where its size lets the kernel do without (peer_exchange.h).
//
//   %s = mrs.all_reduce "l0.o_proj.all_reduce" %y                     the same, and the second is {joined}
//   %r, %n = mrs.add_rms_norm "l0.attention_add+post_norm" %x, %s
//
// Attribute of the module that it reads: mrs.collectives.
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

struct JoinLaunches : ModulePass<JoinLaunches> {
  static constexpr llvm::StringLiteral kArgument = "mrs-join-launches";
  static constexpr llvm::StringLiteral kDescription =
      "for peer memory, sums of ranks and the norms after them in one launch";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    const auto collectives = module->getAttrOfType<mlir::StringAttr>("mrs.collectives");
    if (!collectives || collectives.getValue() != "ipc") return mlir::success(!programs.empty());
    for (mlir::func::FuncOp program : programs) Join(program);
    return mlir::success(!programs.empty());
  }

  static void Join(mlir::func::FuncOp program) {
    mlir::Operation* before = nullptr;
    for (mlir::Operation& op : program.getBody().front()) {
      if (!ir::IsStep(&op)) continue;
      auto sum = mlir::dyn_cast_or_null<ir::AllReduceOp>(before);
      auto norm = mlir::dyn_cast<ir::AddRmsNormOp>(op);
      before = &op;
      if (!sum || !norm || !sum.getResult().hasOneUse() || ir::VariantOf(sum) != ir::VariantOf(norm)) continue;
      if (norm.getA() != sum.getResult() && norm.getB() != sum.getResult()) continue;
      op.setAttr("joined", mlir::UnitAttr::get(op.getContext()));
    }
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateJoinLaunchesPass() { return std::make_unique<JoinLaunches>(); }

}  // namespace mrs::planner
