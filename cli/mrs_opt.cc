// mrs-opt: runs any pass of the compiler on a module in text form, for tests and for people who write IR by hand.
#include "host/process.h"
#include "ir/dialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "planner/passes/passes.h"

int main(int argc, char** argv) {
  return mrs::RunMain("mrs-opt", [&] {
    mlir::DialectRegistry registry;
    registry.insert<mrs::ir::MrsDialect, mlir::func::FuncDialect>();
    mrs::planner::RegisterPasses();
    const char* title = "mrs-opt: the passes of mrs-plan, one at a time\n";
    return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, title, registry));
  });
}
