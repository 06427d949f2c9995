// The two questions asked of a module before a plan may come of it.
#pragma once

#include "ir/dialect.h"

namespace mrs::ir {

// Does every step compute, on all ranks together, what the unsharded operation computes? Slices of one factor agree on
// all ranks, KV heads are the ones the query heads read, sums are completed by an all-reduce before anything else uses
// them, and no bias is added more than once. Errors name the operation.
mlir::LogicalResult VerifySharding(mlir::ModuleOp module);

// Is everything decided? Seeds consumed, weights localized, steps and collectives numbered, every buffer placed in every
// bucket, and no two live ones overlapping. Includes VerifySharding.
mlir::LogicalResult VerifyFinal(mlir::ModuleOp module);

}  // namespace mrs::ir
