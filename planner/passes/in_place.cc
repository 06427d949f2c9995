// Lets a sum take over the bytes of its first operand where nobody reads that operand again: the residual stream is one
// buffer, and an all-reduce needs no second one.
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

struct InPlace : ModulePass<InPlace> {
  static constexpr llvm::StringLiteral kArgument = "mrs-in-place";
  static constexpr llvm::StringLiteral kDescription = "sums overwrite an operand that nobody reads again";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    for (mlir::func::FuncOp program : programs) MarkIn(program);
    return mlir::success(!programs.empty());
  }

  static void MarkIn(mlir::func::FuncOp program) {
    mlir::Builder builder(program.getContext());
    mlir::Operation* step = nullptr;
    for (mlir::Operation& op : program.getBody().front()) {
      mlir::Operation* const before = step;
      if (ir::IsStep(&op)) step = &op;
      if (!mlir::isa<ir::AddOp, ir::AddBiasOp, ir::AllReduceOp, ir::AddRmsNormOp>(op)) continue;
      const mlir::Value operand = op.getOperand(0);
      // What the launch itself makes is no value before it, and what its first step reads is needed until it ends.
      if (ir::IsJoined(&op) && before != nullptr &&
          (operand.getDefiningOp() == before || llvm::is_contained(before->getOperands(), operand))) {
        continue;
      }
      bool read_later = false;
      for (mlir::Operation* user : operand.getUsers()) read_later |= op.isBeforeInBlock(user);
      const bool both = op.getNumOperands() > 1 && op.getOperand(1) == operand;
      if (!read_later && !both && !operand.getDefiningOp<ir::InputOp>()) {
        op.setAttr("inplace", builder.getI64IntegerAttr(0));
      }
    }
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateInPlacePass() { return std::make_unique<InPlace>(); }

}  // namespace mrs::planner
