// Which steps are one launch: a part of VerifyFinal.
#pragma once

#include "ir/program.h"

namespace mrs::ir {

// Is each step that is `joined` to the one before it such that a kernel does both? And what the first leaves for the
// second, which may be written nowhere, is read by nobody else. The steps have their places in the program.
mlir::LogicalResult VerifyLaunches(mlir::ModuleOp module, mlir::func::FuncOp program);

}  // namespace mrs::ir
