// Splits spread from the seeds that mrs-apply-layout planted to every value, by the factor maps alone, along each axis.
//
// Repeat over the program until nothing changes: where one dimension of a factor is split, all its dimensions are; a
// coarse one (KV heads) gets the slice that the fine one reads. Where a split factor is summed away, the result is a
// partial sum. Knows no operation by name.
#include "ir/sharding_rules.h"
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

using ir::DimRule;
using ir::DimSlice;
using ir::FactorMap;

struct Step {
  mlir::Operation* op;
  FactorMap map;
};

// One operation: copies known slices to the other dimensions of their factors. True where a type changed.
mlir::FailureOr<bool> Spread(Step& step, const ir::Mesh& mesh) {
  llvm::SmallVector<DimSlice> known(step.map.factor_count);
  llvm::SmallVector<int64_t> extent(step.map.factor_count, 0);
  ir::ForEachDim(step.op, step.map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
    const ir::TensorType type = TensorTypeOf(value);
    if (rule.coarse) return;
    extent[rule.factor] = type.getShape()[dim];
    if (type.getSlices()[dim].split()) known[rule.factor] = type.getSlices()[dim];
  });
  bool changed = false;
  mlir::LogicalResult ok = mlir::success();
  ir::ForEachDim(step.op, step.map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
    const ir::TensorType type = TensorTypeOf(value);
    if (mlir::failed(ok) || rule.whole || !known[rule.factor].split() || type.getSlices()[dim].split()) return;
    DimSlice slice = known[rule.factor];
    if (rule.coarse) {
      const int64_t ranks = mesh.Size(slice.axis);
      const auto coarse = ir::Coarsen(slice, extent[rule.factor], type.getShape()[dim], ranks);
      if (!coarse) {
        ok = ir::NamedError(step.op) << "dimension " << dim << " of " << type
                                     << " neither divides nor replicates evenly over " << ranks << " ranks";
        return;
      }
      slice = *coarse;
    }
    if (!slice.split()) return;
    for (const DimSlice& other : type.getSlices()) {
      if (!other.split() || other.axis != slice.axis) continue;
      ok = ir::NamedError(step.op) << "dimension " << dim << " of " << type << " would be split over "
                                   << llvm::StringRef(ir::NameOf(slice.axis)) << ", which splits another one";
      return;
    }
    value.setType(type.withSlice(dim, slice));
    changed = true;
  });
  if (mlir::failed(ok)) return mlir::failure();
  return changed;
}

void MarkPartial(Step& step) {
  ir::AxisSet partial;
  ir::ForEachDim(step.op, step.map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
    const DimSlice& slice = TensorTypeOf(value).getSlices()[dim];
    if (step.map.contracted[rule.factor] && slice.split()) partial = partial.With(slice.axis);
  });
  if (!partial) return;
  for (mlir::Value result : step.op->getResults()) result.setType(TensorTypeOf(result).withPartial(partial));
}

struct Propagate : ModulePass<Propagate> {
  static constexpr llvm::StringLiteral kArgument = "mrs-propagate";
  static constexpr llvm::StringLiteral kDescription = "spread the seeds' splits to every value";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    const ir::Mesh mesh = ir::MeshOf(module);
    for (mlir::func::FuncOp program : programs) {
      if (mlir::failed(SpreadIn(program, mesh))) return mlir::failure();
    }
    return mlir::success(!programs.empty());
  }

  static mlir::LogicalResult SpreadIn(mlir::func::FuncOp program, const ir::Mesh& mesh) {
    std::vector<Step> steps;
    for (mlir::Operation* op : OpsOf(program)) {
      auto map = ir::FactorMapOf(op);
      if (mlir::failed(map)) return mlir::failure();
      if (*map) steps.push_back({op, std::move(**map)});
    }
    // Forwards settles nearly everything; slices that flow back (from gate to up) need another round.
    for (bool changed = true; changed;) {
      changed = false;
      for (Step& step : steps) {
        const auto spread = Spread(step, mesh);
        if (mlir::failed(spread)) return mlir::failure();
        changed |= *spread;
      }
    }
    for (Step& step : steps) MarkPartial(step);
    return mlir::success();
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreatePropagatePass() { return std::make_unique<Propagate>(); }

}  // namespace mrs::planner
