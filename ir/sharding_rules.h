// The factor map of an operation: which dimensions of its operands and results are one and the same factor, by the rule
// of its definition (sharding_rule.h) and the ranks of its values. Propagation and verification know no operation by
// name.
//
//   %y = mrs.matmul %x, [%w] : ([T, 256], [512, 256]) -> [T, 512]   ->   factors t, k, n; k is contracted
#pragma once

#include "ir/dialect.h"

namespace mrs::ir {

// One dimension of one value.
struct DimRule {
  int factor = 0;
  bool whole = false;   // `!`: the operation needs all of it on every rank
  bool coarse = false;  // `/`: groups of the factor's elements (KV heads of query heads, chunks of a vocabulary)
};

struct FactorMap {
  llvm::SmallVector<llvm::SmallVector<DimRule, 4>> operands;
  llvm::SmallVector<llvm::SmallVector<DimRule, 4>> results;
  int factor_count = 0;
  // Factors that no result has: where one is split, each rank computes a partial sum.
  llvm::SmallVector<bool> contracted;
};

// The map of an operation, sized to its operands' ranks; failure where they do not fit the rule, or where it has none (an
// error was emitted). Operations that verify_sharding.cc judges by name (inputs, weights, outputs,
// collectives), and those of other dialects, have no map: nullopt.
mlir::FailureOr<std::optional<FactorMap>> FactorMapOf(mlir::Operation* op);

// Calls `visit(value, dim, rule)` for every dimension of every operand and result.
void ForEachDim(mlir::Operation* op, const FactorMap& map,
                llvm::function_ref<void(mlir::Value, int64_t dim, const DimRule&)> visit);

}  // namespace mrs::ir
