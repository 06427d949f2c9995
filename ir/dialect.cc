#include "ir/dialect.h"

#include "llvm/ADT/TypeSwitch.h"
#include "mlir/IR/DialectImplementation.h"

#include "ir/mrs_dialect.cc.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/mrs_types.cc.inc"
#define GET_OP_CLASSES
#include "ir/mrs_ops.cc.inc"

namespace mrs::ir {

void MrsDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "ir/mrs_types.cc.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "ir/mrs_ops.cc.inc"
      >();
}

llvm::StringRef NameOf(mlir::Operation* op) {
  if (auto name = op->getAttrOfType<mlir::StringAttr>("name")) return name.getValue();
  return "";
}

llvm::StringRef VariantOf(mlir::Operation* op) {
  if (auto variant = op->getAttrOfType<mlir::StringAttr>("variant")) return variant.getValue();
  return "";
}

int64_t TpOf(mlir::Operation* op) {
  auto module = mlir::isa<mlir::ModuleOp>(op) ? mlir::cast<mlir::ModuleOp>(op) : op->getParentOfType<mlir::ModuleOp>();
  if (!module) return 1;
  auto tp = module->getAttrOfType<mlir::IntegerAttr>("mrs.tp");
  return tp ? tp.getInt() : 1;
}

mlir::InFlightDiagnostic NamedError(mlir::Operation* op) {
  return mlir::emitError(op->getLoc()) << "'" << NameOf(op) << "' (" << op->getName() << "): ";
}

bool IsStep(mlir::Operation* op) {
  return op->getDialect() && op->getDialect()->getNamespace() == "mrs" &&
         !mlir::isa<InputOp, WeightOp, OutputOp>(op);
}

int64_t LocalRowElements(TensorType type, int64_t tp) {
  int64_t elements = 1;
  for (int64_t dim = 1; dim < type.rank(); ++dim) elements *= type.localSize(dim);
  if (auto candidates = mlir::dyn_cast<CandidatesType>(type.getElementType())) {
    // `elements` counts vocabulary chunks; a rank's record holds k candidates and one partial a chunk.
    const int64_t records = type.isSharded() ? 1 : tp;
    return records * candidates.getK() * 8 + elements * 8;
  }
  return elements;
}

int64_t LocalRowBytes(TensorType type, int64_t tp) {
  const int64_t elements = LocalRowElements(type, tp);
  if (mlir::isa<CandidatesType>(type.getElementType())) return elements;
  return elements * (type.getElementType().getIntOrFloatBitWidth() / 8);
}

}  // namespace mrs::ir
