// Writes down each rank's part of every weight: rows, columns, and how its K is cut into canonical chunks.
//
//   mrs.weight "l0.o_proj" : [256, 8{tp 4}, 32], 8 chunks   ->   rows [0, 256), columns [128 c, 128 c + 128), 4 chunks of 32
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

struct Localize : ModulePass<Localize> {
  static constexpr llvm::StringLiteral kArgument = "mrs-localize";
  static constexpr llvm::StringLiteral kDescription = "decide each rank's part of every weight";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    mlir::Builder builder(module.getContext());
    for (mlir::func::FuncOp program : programs) {
      for (auto weight : program.getOps<ir::WeightOp>()) {
        const auto local = ir::LocalWeightOf(weight, ir::MeshOf(module));
        if (mlir::failed(local)) return mlir::failure();
        weight.setLocalAttr(ir::LocalWeightAttr(builder, *local));
      }
    }
    return mlir::success(!programs.empty());
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateLocalizePass() { return std::make_unique<Localize>(); }

}  // namespace mrs::planner
