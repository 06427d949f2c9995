// The boilerplate that MLIR wants of a pass over the module, once.
#pragma once

#include "ir/program.h"
#include "mlir/Pass/Pass.h"

namespace mrs::planner {

// struct Fuse : ModulePass<Fuse> { kArgument, kDescription, mlir::LogicalResult Run(mlir::ModuleOp); };
template <typename Derived>
struct ModulePass : mlir::PassWrapper<Derived, mlir::OperationPass<mlir::ModuleOp>> {
  llvm::StringRef getArgument() const final { return Derived::kArgument; }
  llvm::StringRef getDescription() const final { return Derived::kDescription; }
  llvm::StringRef getName() const final { return Derived::kArgument; }
  void runOnOperation() final {
    if (mlir::failed(static_cast<Derived*>(this)->Run(this->getOperation()))) this->signalPassFailure();
  }
};

inline ir::TensorType TensorTypeOf(mlir::Value value) { return mlir::cast<ir::TensorType>(value.getType()); }

// The operations of the program, in order; a copy, so that a pass may change the block while it walks.
inline llvm::SmallVector<mlir::Operation*> OpsOf(mlir::func::FuncOp program) {
  llvm::SmallVector<mlir::Operation*> ops;
  for (mlir::Operation& op : program.getBody().front()) ops.push_back(&op);
  return ops;
}

// Attribute of the module that it reads: mrs.ranks, whose kinds are all one.
inline bool IsForGpus(mlir::ModuleOp module) {
  const auto ranks = module->getAttrOfType<mlir::ArrayAttr>("mrs.ranks");
  const auto first = ranks && !ranks.empty() ? mlir::dyn_cast<mlir::DictionaryAttr>(ranks[0]) : nullptr;
  const auto kind = first ? first.getAs<mlir::StringAttr>("kind") : nullptr;
  return kind && kind.getValue() == "cuda";
}

}  // namespace mrs::planner
