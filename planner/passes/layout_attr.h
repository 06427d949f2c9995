// The layout as an attribute of the module, so that the module alone is the plan's source:
//
//   mrs.layout = {buckets = array<i64: 16, 16, 16>, mesh = {stage = 2 : i64, tp = 2 : i64},
//                 stages = [{device = 0 : i64, layer_begin = 0 : i64, layer_end = 2 : i64}, ...]}
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "planner/layout.h"

namespace mrs::planner {

void WriteLayout(const Layout& layout, mlir::ModuleOp module);
// Failure, with an error, where the module has none or one that is no layout: stages that do not follow one another, or
// another number of them than its mesh has.
mlir::FailureOr<Layout> ReadLayout(mlir::ModuleOp module);

}  // namespace mrs::planner
