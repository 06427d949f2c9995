#include "ir/program.h"
#include "ir/sharding_rules.h"
#include "ir/verify.h"

namespace mrs::ir {
namespace {

TensorType TypeOf(mlir::Value value) { return mlir::cast<TensorType>(value.getType()); }

// Every rank's part of a factor, and where it came from.
struct FactorSlice {
  DimSlice slice;
  int64_t extent = 0;
  bool seen = false;
};

class StepVerifier {
 public:
  StepVerifier(mlir::Operation* op, int64_t tp) : op_(op), tp_(tp) {}

  mlir::LogicalResult Verify() {
    if (auto reduce = mlir::dyn_cast<AllReduceOp>(op_)) return VerifyAllReduce(reduce);
    for (mlir::Value operand : op_->getOperands()) {
      if (TypeOf(operand).getPartial()) {
        return NamedError(op_)
               << "reads a partial sum, " << operand.getType()
               << ", that no all-reduce has completed; run insert-collectives, or put back the mrs.all_reduce";
      }
    }
    if (auto input = mlir::dyn_cast<InputOp>(op_)) {
      if (!TypeOf(input.getResult()).isSharded() && !TypeOf(input.getResult()).getPartial()) return mlir::success();
      return NamedError(op_) << "is " << input.getResult().getType()
                             << ", but the executor writes all of it on every rank";
    }
    if (auto gather = mlir::dyn_cast<AllGatherOp>(op_)) return VerifyAllGather(gather);
    if (auto output = mlir::dyn_cast<OutputOp>(op_)) {
      if (!TypeOf(output.getX()).isSharded()) return mlir::success();
      return mlir::emitError(op_->getLoc()) << "output '" << output.getVariant() << "' is " << output.getX().getType()
                                            << ", expected all of it on every rank; an mrs.all_gather is missing";
    }
    if (auto weight = mlir::dyn_cast<WeightOp>(op_)) return VerifyCoverage(weight.getResult());
    return VerifyFactors();
  }

 private:
  mlir::LogicalResult VerifyAllReduce(AllReduceOp op) {
    const TensorType in = TypeOf(op.getX());
    if (!in.getPartial())
      return NamedError(op_) << "sums " << in << ", which is no partial sum: every rank would add it again";
    if (TypeOf(op.getResult()) != in.withPartial(false)) {
      return NamedError(op_) << "turns " << in << " into " << op.getResult().getType();
    }
    return mlir::success();
  }

  mlir::LogicalResult VerifyAllGather(AllGatherOp op) {
    TensorType in = TypeOf(op.getX());
    TensorType whole = TensorType::get(in.getContext(), in.getShape(), in.getElementType());
    if (!in.isSharded() || TypeOf(op.getResult()) != whole) {
      return NamedError(op_) << "turns " << in << " into " << op.getResult().getType()
                             << ", expected a split value made whole";
    }
    for (auto [dim, slice] : llvm::enumerate(in.getSlices())) {
      if (slice.split() && slice != Split(in.getShape()[dim], tp_)) {
        return NamedError(op_) << "dimension " << dim << " of " << in << " is not split in rank order over " << tp_
                               << " ranks";
      }
    }
    return mlir::success();
  }

  mlir::LogicalResult VerifyCoverage(mlir::Value value) {
    const TensorType type = TypeOf(value);
    for (auto [dim, slice] : llvm::enumerate(type.getSlices())) {
      if (!Covers(slice, type.getShape()[dim], tp_, /*exactly_once=*/false)) {
        return NamedError(op_) << "dimension " << dim << " of " << type << ": the slices of " << tp_
                               << " ranks do not cover it";
      }
    }
    return mlir::success();
  }

  mlir::LogicalResult VerifyFactors() {
    const auto map = FactorMapOf(op_);
    if (mlir::failed(map)) return mlir::failure();
    if (!*map) return NamedError(op_) << "nothing says what the ranks compute of it together";
    for (mlir::Value result : op_->getResults()) {
      if (mlir::failed(VerifyCoverage(result))) return mlir::failure();
    }
    llvm::SmallVector<FactorSlice> factors((*map)->factor_count);
    mlir::LogicalResult ok = mlir::success();
    ForEachDim(op_, **map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
      if (mlir::failed(ok)) return;
      const TensorType type = TypeOf(value);
      const DimSlice slice = type.getSlices()[dim];
      if (rule.whole && slice.split()) {
        ok = NamedError(op_) << "dimension " << dim << " of " << type << " is split, but the operation needs all of it";
        return;
      }
      if (rule.coarse) return;
      FactorSlice& factor = factors[rule.factor];
      if (factor.seen && factor.slice != slice) {
        ok = NamedError(op_) << "dimension " << dim << " of " << type
                             << " is another slice than its other operands hold: on rank "
                             << FirstDifference(factor.slice, slice);
        return;
      }
      factor = {slice, type.getShape()[dim], true};
    });
    ForEachDim(op_, **map, [&](mlir::Value value, int64_t dim, const DimRule& rule) {
      if (mlir::failed(ok) || !rule.coarse) return;
      const TensorType type = TypeOf(value);
      const FactorSlice& fine = factors[rule.factor];
      if (!Aligned(fine.slice, fine.extent, type.getSlices()[dim], type.getShape()[dim], tp_)) {
        ok = NamedError(op_) << "dimension " << dim << " of " << type << " does not hold, on every rank, what its "
                             << fine.extent << " finer elements (heads) read";
      }
    });
    if (mlir::failed(ok)) return ok;
    return VerifyPartial(**map, factors);
  }

  // A result is a partial sum exactly where a contracted factor is split.
  mlir::LogicalResult VerifyPartial(const FactorMap& map, llvm::ArrayRef<FactorSlice> factors) {
    bool partial = false;
    for (auto [factor, contracted] : llvm::enumerate(map.contracted)) {
      if (!contracted || !factors[factor].slice.split()) continue;
      partial = true;
      if (factors[factor].slice != Split(factors[factor].extent, tp_) ||
          !Covers(factors[factor].slice, factors[factor].extent, tp_, /*exactly_once=*/true)) {
        return NamedError(op_) << "sums over slices that are not each rank's own, in rank order";
      }
    }
    if (partial) {
      if (auto matmul = mlir::dyn_cast<MatmulOp>(op_)) {
        if (!matmul.getBiases().empty()) {
          return NamedError(op_) << "adds its bias to a partial sum: all " << tp_
                                 << " ranks would add it; add it after the all-reduce (mrs.add_bias)";
        }
        for (mlir::Value weight : matmul.getWeights()) {
          const int64_t chunks = weight.getDefiningOp<WeightOp>().getChunks();
          if (chunks % tp_ != 0) {
            return NamedError(op_) << chunks << " canonical chunks of K do not split over " << tp_ << " ranks";
          }
        }
      }
    }
    for (mlir::Value result : op_->getResults()) {
      if (TypeOf(result).getPartial() == partial) continue;
      return NamedError(op_) << "its result is " << result.getType() << (partial ? ", but a" : ", but no")
                             << " rank's sum is " << (partial ? "only a part of the whole" : "partial");
    }
    return mlir::success();
  }

  int64_t FirstDifference(const DimSlice& a, const DimSlice& b) const {
    for (int64_t c = 0; c < tp_; ++c) {
      if (a.split() != b.split() || a.At(c) != b.At(c)) return c;
    }
    return 0;
  }

  mlir::Operation* op_;
  int64_t tp_;
};

}  // namespace

mlir::LogicalResult VerifySharding(mlir::ModuleOp module) {
  if (!ProgramOf(module)) return mlir::failure();
  const int64_t tp = TpOf(module);
  mlir::LogicalResult ok = mlir::success();
  module.walk([&](mlir::Operation* op) {
    const bool ours = op->getName().getDialectNamespace() == MrsDialect::getDialectNamespace();
    if (ours && mlir::failed(StepVerifier(op, tp).Verify())) {
      ok = mlir::failure();
      return mlir::WalkResult::interrupt();
    }
    return mlir::WalkResult::advance();
  });
  return ok;
}

}  // namespace mrs::ir
