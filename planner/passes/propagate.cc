// Splits spread from the seeds (query heads, FFN width, vocabulary) to every value, by the factor maps alone.
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

mlir::LogicalResult PlantSeed(ir::WeightOp weight, int64_t tp) {
  if (!weight.getSeed()) return mlir::success();
  const int64_t dim = *weight.getSeed();
  const ir::TensorType type = TensorTypeOf(weight.getResult());
  const auto slice = ir::Split(type.getShape()[dim], tp);
  if (!slice) {
    return ir::NamedError(weight) << "dimension " << dim << " of " << type << " does not split over " << tp << " ranks";
  }
  weight.getResult().setType(type.withSlice(dim, *slice));
  weight.removeSeedAttr();
  return mlir::success();
}

// One operation: copies known slices to the other dimensions of their factors. True where a type changed.
mlir::FailureOr<bool> Spread(Step& step, int64_t tp) {
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
      const auto coarse = ir::Coarsen(slice, extent[rule.factor], type.getShape()[dim], tp);
      if (!coarse) {
        ok = ir::NamedError(step.op) << "dimension " << dim << " of " << type << " neither divides nor replicates evenly over "
                                     << tp << " ranks";
        return;
      }
      slice = *coarse;
    }
    if (!slice.split()) return;
    value.setType(type.withSlice(dim, slice));
    changed = true;
  });
  if (mlir::failed(ok)) return mlir::failure();
  return changed;
}

void MarkPartial(Step& step) {
  bool partial = false;
  ir::ForEachDim(step.op, step.map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
    partial |= step.map.contracted[rule.factor] && TensorTypeOf(value).getSlices()[dim].split();
  });
  if (!partial) return;
  for (mlir::Value result : step.op->getResults()) result.setType(TensorTypeOf(result).withPartial(true));
}

struct Propagate : ModulePass<Propagate> {
  static constexpr llvm::StringLiteral kArgument = "mrs-propagate";
  static constexpr llvm::StringLiteral kDescription = "spread the seeds' splits to every value";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    auto program = ir::ProgramOf(module);
    if (!program) return mlir::failure();
    const int64_t tp = ir::TpOf(module);
    std::vector<Step> steps;
    for (mlir::Operation* op : OpsOf(program)) {
      if (auto weight = mlir::dyn_cast<ir::WeightOp>(op); weight && mlir::failed(PlantSeed(weight, tp))) return mlir::failure();
      auto map = ir::FactorMapOf(op);
      if (mlir::failed(map)) return mlir::failure();
      if (*map) steps.push_back({op, std::move(**map)});
    }
    if (tp == 1) return mlir::success();
    // Forwards settles nearly everything; slices that flow back (from gate to up) need another round.
    for (bool changed = true; changed;) {
      changed = false;
      for (Step& step : steps) {
        const auto spread = Spread(step, tp);
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
