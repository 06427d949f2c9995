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

// Whether this user needs all of the value on every rank.
mlir::FailureOr<bool> NeedsWhole(mlir::OpOperand& use) {
  if (mlir::isa<ir::OutputOp>(use.getOwner())) return true;
  auto map = ir::FactorMapOf(use.getOwner());
  if (mlir::failed(map)) return mlir::failure();
  if (!*map) return false;
  const ir::TensorType type = TensorTypeOf(use.get());
  return llvm::any_of(llvm::enumerate((*map)->operands[use.getOperandNumber()]), [&](const auto& dim) {
    return dim.value().whole && type.getSlices()[dim.index()].split();
  });
}

// Whether only all-reduces read the value: it is completed already.
bool IsCompleted(mlir::Value partial) {
  return !partial.use_empty() &&
         llvm::all_of(partial.getUsers(), [](mlir::Operation* user) { return mlir::isa<ir::AllReduceOp>(user); });
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
        if (TensorTypeOf(result).getPartial() && !IsCompleted(result)) {
          auto reduce = ir::AllReduceOp::create(builder, op->getLoc(), TensorTypeOf(result).withPartial(false),
                                                builder.getStringAttr(name + ".all_reduce"), result,
                                                builder.getStringAttr(rank_order ? "rank_order" : "doubling"), nullptr);
          result.replaceUsesWithIf(reduce.getResult(), [](mlir::OpOperand& use) {
            return !mlir::isa<ir::AllReduceOp>(use.getOwner());  // the new one, and those that were there
          });
          result = reduce.getResult();
          builder.setInsertionPointAfter(reduce);
        }
        if (TensorTypeOf(result).isSharded() && mlir::failed(InsertGather(builder, name, result))) {
          return mlir::failure();
        }
      }
    }
    return mlir::success();
  }

  // Only users that need it whole read the gathered value; the others keep their slice.
  static mlir::LogicalResult InsertGather(mlir::OpBuilder& builder, const std::string& name, mlir::Value value) {
    const ir::TensorType type = TensorTypeOf(value);
    llvm::SmallVector<mlir::OpOperand*> uses;
    for (mlir::OpOperand& use : value.getUses()) {
      const mlir::FailureOr<bool> whole = NeedsWhole(use);
      if (mlir::failed(whole)) return mlir::failure();
      if (*whole) uses.push_back(&use);
    }
    if (uses.empty()) return mlir::success();
    auto gather = ir::AllGatherOp::create(builder, value.getLoc(),
                                          ir::TensorType::get(type.getContext(), type.getShape(), type.getElementType()),
                                          builder.getStringAttr(name + ".all_gather"), value, nullptr);
    for (mlir::OpOperand* use : uses) use->set(gather.getResult());
    if (auto variant = CommonVariant(gather.getResult())) gather->setAttr("variant", variant);
    return mlir::success();
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateInsertCollectivesPass() { return std::make_unique<InsertCollectives>(); }

}  // namespace mrs::planner
