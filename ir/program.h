// A module read as programs: one function a stage, its buckets, and how long each value lives.
//
//   for (const LiveValue& live : LiveValues(program)) ...   // {%x, first 3, last 7}: needed from step 3 to step 7
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "ir/dialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mrs::ir {

// The functions that hold the programs: one a stage, or before mrs-cut-stages one alone. None (with an error) where the
// module has none, one is not one block, or the mesh is not sensible.
llvm::SmallVector<mlir::func::FuncOp> ProgramsOf(mlir::ModuleOp module);

// Module attribute mrs.buckets, [T, S, L] a bucket; empty where it is missing or malformed.
std::vector<BucketSize> BucketsOf(mlir::ModuleOp module);
std::vector<BucketSize> BucketsOf(mlir::Attribute attribute);  // the attribute itself; null: none
mlir::Attribute BucketsAttr(mlir::Builder& builder, const std::vector<BucketSize>& buckets);

// Rows of a value in a bucket: T, S or L; 1 where its first dimension is no symbol.
int64_t RowsIn(TensorType type, const BucketSize& bucket);

// A value in the activation arena. Operations count in program order, but steps of one launch as one, as they read and
// write at once; inputs live from -1, outputs to the end.
struct LiveValue {
  mlir::Value value;
  int64_t first = 0;
  int64_t last = 0;
  std::optional<mlir::Value> in_place_of;  // the operand whose bytes it takes over
};
// In order of `first`. Weights and caches have arenas of their own and are not here.
std::vector<LiveValue> LiveValues(mlir::func::FuncOp program);

// What an operation appends to a layer's cache.
struct CacheAppend {
  mlir::Operation* op = nullptr;
  mlir::Value cache;
  int64_t kv_class = 0, kv_layer = 0, window = 0;
};
// Of an mrs.kv_append, or an operation that does its work; of another, or none, nothing.
std::optional<CacheAppend> AppendOf(mlir::Operation* op);
std::vector<CacheAppend> AppendsOf(mlir::func::FuncOp program);
bool IsCache(mlir::Value value);

// Offsets of a value, one a bucket; empty where memory planning has not run.
llvm::ArrayRef<int64_t> OffsetsOf(mlir::Value value);

// Numbers collectives as the ranks issue them: each variant's run is counted on its own, from 0.
//
//   always 0, always 1, candidates 2, all_logits 2
class CollectiveOrder {
 public:
  // The number of the next collective, of variant "candidates", "all_logits" or "" (always).
  int64_t Next(llvm::StringRef variant) {
    if (variant == "candidates") return candidates_++;
    if (variant == "all_logits") return all_logits_++;
    candidates_ = all_logits_ = std::max(candidates_, all_logits_) + 1;
    return candidates_ - 1;
  }

 private:
  int64_t candidates_ = 0;
  int64_t all_logits_ = 0;
};

inline constexpr int64_t kArenaAlignment = 64;
inline int64_t AlignUp(int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

// What localization decides for a weight: this rank's rows and columns of the global matrix, and its packed shape.
struct LocalWeight {
  DimSlice rows;     // in rows of the matrix; size is always set
  DimSlice columns;  // in elements of K; size is always set (vectors: 1)
  int64_t n = 0;
  int64_t chunk_k = 0;      // 0: a vector
  int64_t chunk_count = 0;  // on this rank; 0: a vector
  bool operator==(const LocalWeight&) const = default;
};
mlir::FailureOr<LocalWeight> LocalWeightOf(WeightOp op, const Mesh& mesh);
// Bytes in the weight arena: packed rows of 16, chunks padded to 32; vectors as f32.
int64_t WeightBytes(const LocalWeight& local, mlir::Type element);
mlir::DictionaryAttr LocalWeightAttr(mlir::Builder& builder, const LocalWeight& local);

}  // namespace mrs::ir
