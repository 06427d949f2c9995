// The mrs dialect in C++: types, operations, and the few questions every pass asks of them.
#pragma once

#include "ir/dim_slice.h"
#include "ir/sharding_rule.h"
#include "llvm/ADT/Hashing.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mrs::ir {

inline llvm::hash_code hash_value(const DimSlice& slice) {
  return llvm::hash_combine(slice.start, slice.step, slice.size, slice.every, static_cast<int>(slice.axis));
}
inline llvm::hash_code hash_value(const AxisSet& axes) { return llvm::hash_value(axes.bits()); }

// Symbolic dimensions, as negative sizes.
inline constexpr int64_t kTokens = -1;     // T
inline constexpr int64_t kSequences = -2;  // S
inline constexpr int64_t kLogitRows = -3;  // L
inline constexpr int64_t kCached = -4;     // B

// Of one tensor, symbols counted as 1: a hundred times the largest matrix known.
inline constexpr int64_t kMaxElements = int64_t{1} << 40;

}  // namespace mrs::ir

#include "ir/mrs_dialect.h.inc"
#define GET_TYPEDEF_CLASSES
#include "ir/mrs_types.h.inc"
#include "ir/mrs_interfaces.h.inc"
#define GET_OP_CLASSES
#include "ir/mrs_ops.h.inc"

namespace mrs::ir {

// The name an operation goes by in errors and plans ("l3.o_proj"); "" where it has none.
llvm::StringRef NameOf(mlir::Operation* op);
// "candidates", "all_logits", or "" for always.
llvm::StringRef VariantOf(mlir::Operation* op);
// Which of the model's layers it is of; -1: of none.
int64_t LayerOf(mlir::Operation* op);
// Attribute joined: a device runs it in one launch with the step before it.
bool IsJoined(mlir::Operation* op);
// The mesh of the module that holds `op`: attribute mrs.mesh, {tp = 4 : i64, stage = 2 : i64}; an absent axis has 1.
Mesh MeshOf(mlir::Operation* op);
Mesh MeshOf(mlir::DictionaryAttr sizes);
mlir::DictionaryAttr MeshAttr(mlir::Builder& builder, const Mesh& mesh);
// Far more ranks along an axis than any matrix has chunks; bounds what a hand-written module makes the passes do.
inline constexpr int64_t kMaxAxis = 4096;
mlir::LogicalResult VerifyMesh(mlir::ModuleOp module, mlir::Attribute mesh);
// "tp", or "tp, ep".
std::string AxisNames(AxisSet axes);
// An error that starts with the operation's name: "'l3.o_proj' (mrs.matmul): ...".
mlir::InFlightDiagnostic NamedError(mlir::Operation* op);
// Whether the operation becomes a step of the program (inputs, weights and outputs do not).
bool IsStep(mlir::Operation* op);
// Elements of one row (all dimensions but the first) on one rank; for candidates, bytes.
int64_t LocalRowElements(TensorType type, const Mesh& mesh);
// Bytes of one row on one rank.
int64_t LocalRowBytes(TensorType type, const Mesh& mesh);

}  // namespace mrs::ir
