// Completes every partial sum and gathers every split value that an output, or an operation that needs it whole, reads.
//
//   %y = mrs.matmul "l0.o_proj" ... : partial          %y = mrs.matmul "l0.o_proj" ... : partial
//   %z = mrs.add "l0.attn_add" %x, %y            ->    %r = mrs.all_reduce "l0.o_proj.all_reduce" %y
//                                                      %z = mrs.add "l0.attn_add" %x, %r
#include "ir/sharding_rules.h"
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

// Whether some user needs all of the value on every rank.
bool NeededWhole(mlir::Value value) {
  for (mlir::OpOperand& use : value.getUses()) {
    if (mlir::isa<ir::OutputOp>(use.getOwner())) return true;
    auto map = ir::FactorMapOf(use.getOwner());
    if (mlir::failed(map) || !*map) continue;
    for (auto [dim, rule] : llvm::enumerate((*map)->operands[use.getOperandNumber()])) {
      if (rule.whole && TensorTypeOf(value).getSlices()[dim].split()) return true;
    }
  }
  return false;
}

// Where all users run in one variant only, so does the collective.
mlir::StringAttr CommonVariant(mlir::Value value) {
  mlir::StringAttr common;
  for (mlir::Operation* user : value.getUsers()) {
    auto variant = user->getAttrOfType<mlir::StringAttr>("variant");
    if (!variant || variant.getValue().empty() || (common && common != variant)) return nullptr;
    common = variant;
  }
  return common;
}

struct InsertCollectives : ModulePass<InsertCollectives> {
  static constexpr llvm::StringLiteral kArgument = "mrs-insert-collectives";
  static constexpr llvm::StringLiteral kDescription = "complete partial sums and gather split values";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    auto program = ir::ProgramOf(module);
    if (!program) return mlir::failure();
    auto reduction = module->getAttrOfType<mlir::StringAttr>("mrs.reduction");
    const bool rank_order = reduction && reduction.getValue() == "rank_order";
    for (mlir::Operation* op : OpsOf(program)) {
      if (mlir::isa<ir::WeightOp, ir::AllReduceOp>(op)) continue;
      for (mlir::Value result : op->getResults()) {
        mlir::OpBuilder builder(op->getContext());
        builder.setInsertionPointAfter(op);
        const std::string name = ir::NameOf(op).str();
        if (TensorTypeOf(result).getPartial()) {
          auto reduce = ir::AllReduceOp::create(builder, op->getLoc(), TensorTypeOf(result).withPartial(false),
                                                builder.getStringAttr(name + ".all_reduce"), result,
                                                builder.getStringAttr(rank_order ? "rank_order" : "doubling"), nullptr);
          result.replaceAllUsesExcept(reduce.getResult(), reduce);
          result = reduce.getResult();
          builder.setInsertionPointAfter(reduce);
        }
        if (TensorTypeOf(result).isSharded() && NeededWhole(result)) InsertGather(builder, name, result);
      }
    }
    return mlir::success();
  }

  static void InsertGather(mlir::OpBuilder& builder, const std::string& name, mlir::Value value) {
    const ir::TensorType type = TensorTypeOf(value);
    // Only users that need it whole read the gathered value; the others keep their slice.
    llvm::SmallVector<mlir::OpOperand*> uses;
    for (mlir::OpOperand& use : value.getUses()) {
      if (mlir::isa<ir::OutputOp>(use.getOwner())) uses.push_back(&use);
    }
    if (uses.empty()) {
      for (mlir::OpOperand& use : value.getUses()) uses.push_back(&use);
    }
    auto gather = ir::AllGatherOp::create(builder, value.getLoc(),
                                          ir::TensorType::get(type.getContext(), type.getShape(), type.getElementType()),
                                          builder.getStringAttr(name + ".all_gather"), value, nullptr);
    for (mlir::OpOperand* use : uses) use->set(gather.getResult());
    if (auto variant = CommonVariant(gather.getResult())) gather->setAttr("variant", variant);
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateInsertCollectivesPass() { return std::make_unique<InsertCollectives>(); }

}  // namespace mrs::planner
