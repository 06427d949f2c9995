// Numbers the steps of each stage in the order they run, the collectives in the order all its ranks issue them, and what
// goes over a border in the order that both its sides have.
//
// The order is the program's, but for steps of one variant only, which come last: what both variants share is one run.
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

struct Schedule : ModulePass<Schedule> {
  static constexpr llvm::StringLiteral kArgument = "mrs-schedule";
  static constexpr llvm::StringLiteral kDescription = "number steps, collectives and transfers";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    for (mlir::func::FuncOp program : programs) Number(program);
    return mlir::success(!programs.empty());
  }

  static void Number(mlir::func::FuncOp program) {
    mlir::Operation* end = program.getBody().front().getTerminator();
    for (llvm::StringRef variant : {"candidates", "all_logits"}) {
      for (mlir::Operation* op : OpsOf(program)) {
        if (ir::VariantOf(op) == variant && !mlir::isa<ir::OutputOp>(op)) op->moveBefore(end);
      }
    }
    for (mlir::Operation* op : OpsOf(program)) {
      if (mlir::isa<ir::OutputOp>(op)) op->moveBefore(end);
    }
    mlir::Builder builder(program.getContext());
    int64_t step = 0, sends = 0, receives = 0;
    ir::CollectiveOrder order;
    for (mlir::Operation& op : program.getBody().front()) {
      if (!ir::IsStep(&op)) continue;
      op.setAttr("step", builder.getI64IntegerAttr(step++));
      if (mlir::isa<ir::AllReduceOp, ir::AllGatherOp>(op)) {
        op.setAttr("order", builder.getI64IntegerAttr(order.Next(ir::VariantOf(&op))));
      }
      if (mlir::isa<ir::SendOp>(op)) op.setAttr("order", builder.getI64IntegerAttr(sends++));
      if (mlir::isa<ir::RecvOp>(op)) op.setAttr("order", builder.getI64IntegerAttr(receives++));
    }
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateSchedulePass() { return std::make_unique<Schedule>(); }

}  // namespace mrs::planner
