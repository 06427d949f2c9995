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
  StepVerifier(mlir::Operation* op, const Mesh& mesh) : op_(op), mesh_(mesh) {}

  mlir::LogicalResult Verify() {
    for (mlir::Value result : op_->getResults()) {
      if (mlir::failed(VerifyAxes(result))) return mlir::failure();
    }
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
    if (mlir::isa<SendOp>(op_)) return mlir::success();
    if (auto recv = mlir::dyn_cast<RecvOp>(op_)) {
      if (!TypeOf(recv.getResult()).getPartial()) return VerifyCoverage(recv.getResult());
      return NamedError(op_) << "is " << recv.getResult().getType() << ", but no partial sum leaves its stage";
    }
    return VerifyFactors();
  }

 private:
  // An axis does one thing to a value: it splits one of its dimensions, or is one that its sum is partial over.
  mlir::LogicalResult VerifyAxes(mlir::Value value) {
    const TensorType type = TypeOf(value);
    AxisSet seen = type.getPartial();
    for (auto [dim, slice] : llvm::enumerate(type.getSlices())) {
      if (!slice.split()) continue;
      if (seen.Has(slice.axis)) {
        return NamedError(op_) << "dimension " << dim << " of " << type << " is split over " << NameOf(slice.axis)
                               << ", which splits another one or is what the sum is partial over";
      }
      seen = seen.With(slice.axis);
    }
    return mlir::success();
  }

  mlir::LogicalResult VerifyAllReduce(AllReduceOp op) {
    const TensorType in = TypeOf(op.getX());
    const Axis axis = *AxisOf(op.getAxis());
    if (!in.getPartial().Has(axis)) {
      return NamedError(op_) << "sums " << in << ", which is no partial sum over " << NameOf(axis)
                             << ": every rank would add it again";
    }
    if (TypeOf(op.getResult()) != in.withPartial(in.getPartial().Without(axis))) {
      return NamedError(op_) << "turns " << in << " into " << op.getResult().getType();
    }
    return mlir::success();
  }

  mlir::LogicalResult VerifyAllGather(AllGatherOp op) {
    const TensorType in = TypeOf(op.getX());
    const Axis axis = *AxisOf(op.getAxis());
    TensorType whole = in;
    for (auto [dim, slice] : llvm::enumerate(in.getSlices())) {
      if (slice.split() && slice.axis == axis) whole = whole.withSlice(dim, DimSlice());
    }
    if (whole == in || TypeOf(op.getResult()) != whole) {
      return NamedError(op_) << "turns " << in << " into " << op.getResult().getType() << ", expected what "
                             << NameOf(axis) << " splits made whole";
    }
    for (auto [dim, slice] : llvm::enumerate(in.getSlices())) {
      if (slice.split() && slice.axis == axis && slice != Split(in.getShape()[dim], RanksOf(slice), axis)) {
        return NamedError(op_) << "dimension " << dim << " of " << in << " is not split in rank order over "
                               << RanksOf(slice) << " ranks";
      }
    }
    return mlir::success();
  }

  mlir::LogicalResult VerifyCoverage(mlir::Value value) {
    const TensorType type = TypeOf(value);
    for (auto [dim, slice] : llvm::enumerate(type.getSlices())) {
      if (!Covers(slice, type.getShape()[dim], RanksOf(slice), /*exactly_once=*/false)) {
        return NamedError(op_) << "dimension " << dim << " of " << type << ": the slices of " << RanksOf(slice)
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
      if (!Aligned(fine.slice, fine.extent, type.getSlices()[dim], type.getShape()[dim], RanksOf(fine.slice))) {
        ok = NamedError(op_) << "dimension " << dim << " of " << type << " does not hold, on every rank, what its "
                             << fine.extent << " finer elements (heads) read";
      }
    });
    if (mlir::failed(ok)) return ok;
    return VerifyPartial(**map, factors);
  }

  // A result is a partial sum over exactly the axes that split a contracted factor.
  mlir::LogicalResult VerifyPartial(const FactorMap& map, llvm::ArrayRef<FactorSlice> factors) {
    AxisSet partial;
    int64_t ranks = 1;
    for (auto [factor, contracted] : llvm::enumerate(map.contracted)) {
      const DimSlice& slice = factors[factor].slice;
      if (!contracted || !slice.split()) continue;
      if (slice.every > 1) {
        return NamedError(op_) << "sums over a dimension of which each part is on " << slice.every
                               << " ranks: it would be counted " << slice.every << " times";
      }
      if (partial.Has(slice.axis) || slice != Split(factors[factor].extent, RanksOf(slice), slice.axis) ||
          !Covers(slice, factors[factor].extent, RanksOf(slice), /*exactly_once=*/true)) {
        return NamedError(op_) << "sums over slices that are not each rank's own, in rank order";
      }
      partial = partial.With(slice.axis);
      ranks *= RanksOf(slice);
    }
    if (partial && mlir::failed(VerifyCutSum(ranks))) return mlir::failure();
    for (mlir::Value result : op_->getResults()) {
      if (TypeOf(result).getPartial() == partial) continue;
      return NamedError(op_) << "its result is " << result.getType() << (partial ? ", but a" : ", but no")
                             << " rank's sum is "
                             << (partial ? "only a part of the whole: partial{" + AxisNames(partial) + "}" : "partial");
    }
    return mlir::success();
  }

  // Each of `ranks` sums its own canonical chunks, and no bias.
  mlir::LogicalResult VerifyCutSum(int64_t ranks) {
    const auto whole_chunks = [&](int64_t chunks) -> mlir::LogicalResult {
      if (chunks % ranks == 0) return mlir::success();
      return NamedError(op_) << chunks << " canonical chunks of K do not split over " << ranks << " ranks";
    };
    auto matmul = mlir::dyn_cast<MatmulOp>(op_);
    if (!matmul) {
      auto chunks = op_->getAttrOfType<mlir::IntegerAttr>("chunks");
      return chunks ? whole_chunks(chunks.getInt()) : mlir::success();
    }
    if (!matmul.getBiases().empty()) {
      return NamedError(op_) << "adds its bias to a partial sum: all " << ranks
                             << " ranks would add it; add it after the all-reduce (mrs.add_bias)";
    }
    for (mlir::Value weight : matmul.getWeights()) {
      if (mlir::failed(whole_chunks(weight.getDefiningOp<WeightOp>().getChunks()))) return mlir::failure();
    }
    return mlir::success();
  }

  int64_t RanksOf(const DimSlice& slice) const { return mesh_.Size(slice.axis); }

  int64_t FirstDifference(const DimSlice& a, const DimSlice& b) const {
    if (a.split() && b.split() && a.axis == b.axis) {
      for (int64_t c = 0; c < RanksOf(a); ++c) {
        if (a.At(c) != b.At(c)) return c;
      }
    }
    return 0;
  }

  mlir::Operation* op_;
  Mesh mesh_;
};

// What a stage sends to the next is what that one receives, in the same order.
mlir::LogicalResult VerifyTransfers(llvm::SmallVector<mlir::func::FuncOp> programs) {
  for (size_t stage = 0; stage < programs.size(); ++stage) {
    auto sends = llvm::to_vector(programs[stage].getOps<SendOp>());
    auto next = stage + 1 < programs.size() ? programs[stage + 1] : mlir::func::FuncOp();
    auto receives = next ? llvm::to_vector(next.getOps<RecvOp>()) : llvm::SmallVector<RecvOp>();
    for (size_t i = 0; i < std::max(sends.size(), receives.size()); ++i) {
      if (i >= sends.size()) return NamedError(receives[i]) << "receives what no stage sends";
      if (i >= receives.size()) return NamedError(sends[i]) << "sends what no stage receives";
      if (sends[i].getPeer() != stage + 1) {
        return NamedError(sends[i]) << "sends to stage " << sends[i].getPeer() << ", expected the next, " << stage + 1;
      }
      if (receives[i].getPeer() != stage) {
        return NamedError(receives[i]) << "receives from stage " << receives[i].getPeer()
                                       << ", expected the one before, " << stage;
      }
      if (sends[i].getX().getType() != receives[i].getResult().getType()) {
        return NamedError(receives[i]) << "receives " << receives[i].getResult().getType() << ", but '"
                                       << sends[i].getName() << "' sends " << sends[i].getX().getType();
      }
    }
  }
  for (auto recv : programs.front().getOps<RecvOp>()) {
    return NamedError(recv) << "receives in stage 0, before which there is none";
  }
  return mlir::success();
}

}  // namespace

mlir::LogicalResult VerifySharding(mlir::ModuleOp module) {
  const auto programs = ProgramsOf(module);
  if (programs.empty()) return mlir::failure();
  const Mesh mesh = MeshOf(module);
  mlir::LogicalResult ok = mlir::success();
  module.walk([&](mlir::Operation* op) {
    const bool ours = op->getName().getDialectNamespace() == MrsDialect::getDialectNamespace();
    if (ours && mlir::failed(StepVerifier(op, mesh).Verify())) {
      ok = mlir::failure();
      return mlir::WalkResult::interrupt();
    }
    return mlir::WalkResult::advance();
  });
  if (mlir::failed(ok)) return ok;
  return VerifyTransfers(programs);
}

}  // namespace mrs::ir
