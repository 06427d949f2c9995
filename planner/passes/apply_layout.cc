// Puts the model on its mesh, and plants the seeds of tensor parallelism: query heads, the width of gated products, and
// the vocabulary. From there mrs-propagate splits everything else.
//
//   %y = mrs.attention "l0.attention" %q, ...    ->    %q : [T, 8{tp 4}, 32]
#include "llvm/ADT/TypeSwitch.h"
#include "planner/passes/layout_attr.h"
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

struct Seed {
  mlir::Value value;  // null: the operation has none
  int64_t dim = 0;
};

Seed SeedOf(mlir::Operation* op) {
  return llvm::TypeSwitch<mlir::Operation*, Seed>(op)
      .Case([](ir::EmbedOp embed) {
        return Seed{embed.getTable(), 0};
      })
      .Case([](ir::AttentionOp attention) {
        return Seed{attention.getQ(), 1};
      })
      .Case([](ir::SiluMulOp silu) {
        return Seed{silu.getGate(), 1};
      })
      .Case([](ir::GeluMulOp gelu) {
        return Seed{gelu.getGate(), 1};
      })
      .Case([](ir::TopCandidatesOp best) {
        return Seed{best.getLogits(), 1};
      })
      .Default([](mlir::Operation*) { return Seed(); });
}

struct ApplyLayout : ModulePass<ApplyLayout> {
  static constexpr llvm::StringLiteral kArgument = "mrs-apply-layout";
  static constexpr llvm::StringLiteral kDescription = "put the model on its mesh and plant the seeds of its splits";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    if (programs.empty()) return mlir::failure();
    const auto layout = ReadLayout(module);
    if (mlir::failed(layout)) return mlir::failure();
    mlir::Builder builder(module.getContext());
    module->setAttr("mrs.mesh", ir::MeshAttr(builder, layout->mesh));
    module->setAttr("mrs.buckets", ir::BucketsAttr(builder, layout->buckets));
    for (mlir::func::FuncOp program : programs) {
      for (mlir::Operation* op : OpsOf(program)) {
        const Seed seed = SeedOf(op);
        if (seed.value && mlir::failed(Plant(op, seed, layout->mesh.tp))) return mlir::failure();
      }
    }
    return mlir::success();
  }

  static mlir::LogicalResult Plant(mlir::Operation* op, Seed seed, int64_t tp) {
    const ir::TensorType type = TensorTypeOf(seed.value);
    const auto slice = ir::Split(type.getShape()[seed.dim], tp, ir::Axis::kTp);
    if (!slice) {
      return ir::NamedError(op) << "dimension " << seed.dim << " of " << type << " does not split over " << tp
                                << " ranks";
    }
    seed.value.setType(type.withSlice(seed.dim, *slice));
    return mlir::success();
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreateApplyLayoutPass() { return std::make_unique<ApplyLayout>(); }

}  // namespace mrs::planner
