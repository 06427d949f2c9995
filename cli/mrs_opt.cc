// mrs-opt: runs any pass of the compiler on a module in text form, for tests and for people who write IR by hand.
#include "ir/dialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "planner/passes/passes.h"

int main(int argc, char** argv) {
  mlir::DialectRegistry registry;
  registry.insert<mrs::ir::MrsDialect, mlir::func::FuncDialect>();
  mrs::planner::RegisterPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "mrs-opt: the passes of mrs-plan, one at a time\n", registry));
}
