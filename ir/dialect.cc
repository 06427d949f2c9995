#include "ir/dialect.h"

#include "llvm/ADT/TypeSwitch.h"
#include "mlir/IR/DialectImplementation.h"

#include "ir/mrs_dialect.cc.inc"
#include "ir/mrs_interfaces.cc.inc"
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

int64_t LayerOf(mlir::Operation* op) {
  auto layer = op->getAttrOfType<mlir::IntegerAttr>("layer");
  return layer ? layer.getInt() : -1;
}

bool IsJoined(mlir::Operation* op) { return op->hasAttr("joined"); }

namespace {
int64_t* SizeIn(Mesh& mesh, Axis axis) {
  switch (axis) {
    case Axis::kTp:
      return &mesh.tp;
    case Axis::kEp:
      return &mesh.ep;
    case Axis::kDp:
      return &mesh.dp;
    case Axis::kStage:
      return &mesh.stage;
  }
  return nullptr;
}
}  // namespace

Mesh MeshOf(mlir::Operation* op) {
  auto module = mlir::isa<mlir::ModuleOp>(op) ? mlir::cast<mlir::ModuleOp>(op) : op->getParentOfType<mlir::ModuleOp>();
  auto sizes = module ? module->getAttrOfType<mlir::DictionaryAttr>("mrs.mesh") : nullptr;
  return sizes ? MeshOf(sizes) : Mesh();
}

Mesh MeshOf(mlir::DictionaryAttr sizes) {
  Mesh mesh;
  for (const Axis axis : kAxes) {
    auto size = sizes.getAs<mlir::IntegerAttr>(NameOf(axis));
    if (size) *SizeIn(mesh, axis) = size.getInt();
  }
  return mesh;
}

mlir::DictionaryAttr MeshAttr(mlir::Builder& builder, const Mesh& mesh) {
  llvm::SmallVector<mlir::NamedAttribute> sizes;
  for (const Axis axis : kAxes) {
    if (mesh.Size(axis) == 1 && axis != Axis::kTp) continue;
    sizes.push_back(builder.getNamedAttr(NameOf(axis), builder.getI64IntegerAttr(mesh.Size(axis))));
  }
  return builder.getDictionaryAttr(sizes);
}

mlir::LogicalResult VerifyMesh(mlir::ModuleOp module, mlir::Attribute mesh) {
  auto sizes = mlir::dyn_cast<mlir::DictionaryAttr>(mesh);
  if (!sizes) return module.emitError() << "the mesh is " << mesh << ", expected {tp = 4 : i64, stage = 2 : i64}";
  for (const mlir::NamedAttribute& entry : sizes) {
    auto size = mlir::dyn_cast<mlir::IntegerAttr>(entry.getValue());
    if (!AxisOf(entry.getName().getValue())) {
      return module.emitError() << "the mesh has an axis " << entry.getName() << "; there are tp, ep, dp and stage";
    }
    if (!size || !size.getType().isInteger(64) || size.getInt() < 1 || size.getInt() > kMaxAxis) {
      return module.emitError() << "the mesh: " << entry.getName().getValue() << " is " << entry.getValue()
                                << ", expected 1 to " << kMaxAxis << " ranks";
    }
  }
  return mlir::success();
}

std::string AxisNames(AxisSet axes) {
  std::string names;
  for (const Axis axis : kAxes) {
    if (axes.Has(axis)) names.append(names.empty() ? "" : ", ").append(NameOf(axis));
  }
  return names;
}

mlir::InFlightDiagnostic NamedError(mlir::Operation* op) {
  return mlir::emitError(op->getLoc()) << "'" << NameOf(op) << "' (" << op->getName() << "): ";
}

bool IsStep(mlir::Operation* op) {
  return op->getDialect() && op->getDialect()->getNamespace() == "mrs" && !mlir::isa<InputOp, WeightOp, OutputOp>(op);
}

int64_t LocalRowElements(TensorType type, const Mesh& mesh) {
  int64_t elements = 1;
  for (int64_t dim = 1; dim < type.rank(); ++dim) elements *= type.localSize(dim);
  if (auto candidates = mlir::dyn_cast<CandidatesType>(type.getElementType())) {
    // `elements` counts vocabulary chunks; a rank's record holds k candidates and one partial a chunk.
    const int64_t records = type.isSharded() ? 1 : mesh.tp;
    return records * candidates.getK() * 8 + elements * 8;
  }
  return elements;
}

int64_t LocalRowBytes(TensorType type, const Mesh& mesh) {
  const int64_t elements = LocalRowElements(type, mesh);
  if (mlir::isa<CandidatesType>(type.getElementType())) return elements;
  return elements * (type.getElementType().getIntOrFloatBitWidth() / 8);
}

}  // namespace mrs::ir
