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
    const auto programs = ir::ProgramsOf(module);
    auto reduction = module->getAttrOfType<mlir::StringAttr>("mrs.reduction");
    const bool rank_order = reduction && reduction.getValue() == "rank_order";
    for (mlir::func::FuncOp program : programs) {
      for (mlir::Operation* op : OpsOf(program)) {
        if (mlir::isa<ir::WeightOp, ir::AllReduceOp>(op)) continue;
        for (mlir::Value result : op->getResults()) {
          mlir::OpBuilder builder(op->getContext());
          builder.setInsertionPointAfter(op);
          const mlir::Value complete = InsertReduces(builder, op, result, rank_order ? "rank_order" : "doubling");
          if (mlir::failed(InsertGathers(builder, op, complete))) return mlir::failure();
        }
      }
    }
    return mlir::success(!programs.empty());
  }

  // "l0.o_proj.all_reduce"; the second and further ones over a value say their axis.
  static mlir::StringAttr Name(mlir::OpBuilder& builder, mlir::Operation* of, llvm::StringRef what, ir::Axis axis,
                               bool first) {
    const std::string name = (ir::NameOf(of) + "." + what).str();
    return builder.getStringAttr(first ? name : (name + "." + llvm::StringRef(ir::NameOf(axis))).str());
  }

  // The value with its sum completed over every axis that it is partial over; users read that one.
  static mlir::Value InsertReduces(mlir::OpBuilder& builder, mlir::Operation* op, mlir::Value value,
                                   llvm::StringRef algorithm) {
    if (IsCompleted(value)) return value;
    bool first = true;
    for (const ir::Axis axis : ir::kAxes) {
      const ir::TensorType type = TensorTypeOf(value);
      if (!type.getPartial().Has(axis)) continue;
      auto reduce = ir::AllReduceOp::create(builder, op->getLoc(), type.withPartial(type.getPartial().Without(axis)),
                                            Name(builder, op, "all_reduce", axis, first), value,
                                            builder.getStringAttr(ir::NameOf(axis)), builder.getStringAttr(algorithm),
                                            nullptr);
      KeepLayer(op, reduce);
      value.replaceUsesWithIf(reduce.getResult(), [](mlir::OpOperand& use) {
        return !mlir::isa<ir::AllReduceOp>(use.getOwner());  // the new one, and those that were there
      });
      value = reduce.getResult();
      first = false;
    }
    return value;
  }

  static void KeepLayer(mlir::Operation* of, mlir::Operation* collective) {
    if (mlir::Attribute layer = of->getAttr("layer")) collective->setAttr("layer", layer);
  }

  // Only users that need it whole read the gathered value; the others keep their slice.
  static mlir::LogicalResult InsertGathers(mlir::OpBuilder& builder, mlir::Operation* op, mlir::Value value) {
    llvm::SmallVector<mlir::OpOperand*> uses;
    for (mlir::OpOperand& use : value.getUses()) {
      const mlir::FailureOr<bool> whole = NeedsWhole(use);
      if (mlir::failed(whole)) return mlir::failure();
      if (*whole) uses.push_back(&use);
    }
    if (uses.empty()) return mlir::success();
    llvm::SmallVector<ir::AllGatherOp> gathers;
    mlir::Value whole = value;
    for (const ir::Axis axis : ir::kAxes) {
      const ir::TensorType type = TensorTypeOf(whole);
      ir::TensorType without = type;
      for (auto [dim, slice] : llvm::enumerate(type.getSlices())) {
        if (slice.split() && slice.axis == axis) without = without.withSlice(dim, ir::DimSlice());
      }
      if (without == type) continue;
      gathers.push_back(ir::AllGatherOp::create(builder, value.getLoc(), without,
                                                Name(builder, op, "all_gather", axis, gathers.empty()), whole,
                                                builder.getStringAttr(ir::NameOf(axis)), nullptr));
      KeepLayer(op, gathers.back());
      whole = gathers.back().getResult();
    }
    if (gathers.empty()) return mlir::success();
    for (mlir::OpOperand* use : uses) use->set(whole);
    if (auto variant = CommonVariant(whole)) {
      for (ir::AllGatherOp gather : gathers) gather->setAttr("variant", variant);
    }
    return mlir::success();
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateInsertCollectivesPass() { return std::make_unique<InsertCollectives>(); }

}  // namespace mrs::planner
