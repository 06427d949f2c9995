// Joins products of the same rows into one operation, as the kernels want them: one fork of the threads for q, k and v,
// one for gate and up. Each keeps its own weight, result and sums, so no bit changes.
//
//   %q = mrs.matmul "l0.q_proj" %x, [%wq]           %q, %k, %v =
//   %k = mrs.matmul "l0.k_proj" %x, [%wk]     ->      mrs.matmul "l0.q_proj+k_proj+v_proj" %x, [%wq, %wk, %wv]
//   %v = mrs.matmul "l0.v_proj" %x, [%wv]
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

bool Fusable(ir::MatmulOp a, ir::MatmulOp b) {
  return a.getX() == b.getX() && a.getBiases().empty() == b.getBiases().empty() &&
         ir::VariantOf(a) == ir::VariantOf(b) && ir::LayerOf(a) == ir::LayerOf(b) &&
         !TensorTypeOf(a.getResults()[0]).getPartial() &&
         !TensorTypeOf(b.getResults()[0]).getPartial();
}

// "l0.q_proj" and "l0.k_proj" give "l0.q_proj+k_proj".
std::string JoinNames(llvm::StringRef first, llvm::StringRef next) {
  const llvm::StringRef last = next.contains('.') ? next.rsplit('.').second : next;
  return (first + "+" + last).str();
}

void Join(llvm::ArrayRef<ir::MatmulOp> siblings) {
  // At the last sibling all weights are there; results are used after it, or by nothing in between.
  ir::MatmulOp first = siblings.front();
  mlir::OpBuilder builder(first);
  std::string name = first.getName().str();
  llvm::SmallVector<mlir::Value> weights, biases;
  llvm::SmallVector<mlir::Type> types;
  for (ir::MatmulOp op : siblings) {
    if (op != first) name = JoinNames(name, op.getName());
    for (mlir::Value value : op.getWeights()) weights.push_back(value);
    for (mlir::Value value : op.getBiases()) biases.push_back(value);
    llvm::append_range(types, op.getResultTypes());
  }
  for (mlir::Value value : llvm::concat<mlir::Value>(weights, biases)) value.getDefiningOp()->moveBefore(first);
  auto joined = ir::MatmulOp::create(builder, first.getLoc(), types, builder.getStringAttr(name), first.getX(), weights, biases);
  for (const char* kept : {"layer", "variant"}) {
    if (mlir::Attribute value = first->getAttr(kept)) joined->setAttr(kept, value);
  }
  unsigned next = 0;
  for (ir::MatmulOp op : siblings) {
    for (mlir::Value result : op.getResults()) result.replaceAllUsesWith(joined.getResult(next++));
    op.erase();
  }
}

struct Fuse : ModulePass<Fuse> {
  static constexpr llvm::StringLiteral kArgument = "mrs-fuse";
  static constexpr llvm::StringLiteral kDescription = "join sibling products into one operation";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    for (mlir::func::FuncOp program : programs) FuseIn(program);
    return mlir::success(!programs.empty());
  }

  static void FuseIn(mlir::func::FuncOp program) {
    llvm::SmallVector<llvm::SmallVector<ir::MatmulOp>> groups;
    llvm::DenseMap<mlir::Value, size_t> group_of_x;
    for (auto op : program.getOps<ir::MatmulOp>()) {
      const auto [found, added] = group_of_x.try_emplace(op.getX(), groups.size());
      if (added) groups.emplace_back();
      auto& group = groups[found->second];
      if (group.empty() || Fusable(group.front(), op)) group.push_back(op);
    }
    for (const auto& group : groups) {
      if (group.size() > 1) Join(group);
    }
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateFusePass() { return std::make_unique<Fuse>(); }

}  // namespace mrs::planner
