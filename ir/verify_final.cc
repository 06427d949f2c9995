#include <algorithm>

#include "ir/canonical_chunks.h"
#include "ir/program.h"
#include "ir/verify.h"
#include "ir/verify_launches.h"

namespace mrs::ir {
namespace {

// Whatever is not an operation of the dialect would be left out of the plan.
mlir::LogicalResult VerifyOperations(mlir::func::FuncOp program) {
  if (program.getNumArguments() != 0) {
    return mlir::emitError(program.getLoc()) << "the program takes " << program.getNumArguments()
                                             << " arguments, expected none; values come in through mrs.input";
  }
  for (mlir::Operation& op : program.getBody().front().without_terminator()) {
    const llvm::StringRef variant = VariantOf(&op);
    if (op.hasAttr("variant") && variant != "candidates" && variant != "all_logits") {
      return NamedError(&op) << "variant \"" << variant
                             << "\": expected candidates or all_logits, or no such attribute";
    }
    if (op.getName().getDialectNamespace() == MrsDialect::getDialectNamespace()) continue;
    return mlir::emitError(op.getLoc()) << "'" << op.getName() << "' is no operation of a plan";
  }
  return mlir::success();
}

// A plan's gather leaves one rank's rows after the other's: with more than one row, no operation can read that.
mlir::LogicalResult VerifyGathered(mlir::func::FuncOp program) {
  for (auto gather : program.getOps<AllGatherOp>()) {
    for (mlir::Operation* user : gather.getResult().getUsers()) {
      if (mlir::isa<OutputOp>(user)) continue;
      return NamedError(user) << "reads '" << gather.getName()
                              << "', in which one rank's rows lie after the other's; only an mrs.output can";
    }
  }
  return mlir::success();
}

mlir::LogicalResult VerifyWeights(mlir::func::FuncOp program, const Mesh& mesh) {
  for (auto weight : program.getOps<WeightOp>()) {
    const auto local = LocalWeightOf(weight, mesh);
    if (mlir::failed(local)) return mlir::failure();
    mlir::Builder builder(weight.getContext());
    if (!weight.getLocal()) return NamedError(weight) << "no rank's part of it is decided; run mrs-localize";
    if (*weight.getLocal() != LocalWeightAttr(builder, *local)) {
      return NamedError(weight) << "its local part " << *weight.getLocal() << " is not what its type says, "
                                << LocalWeightAttr(builder, *local);
    }
  }
  return mlir::success();
}

mlir::LogicalResult VerifyChunksOf(mlir::Operation* op, mlir::Value x, mlir::ValueRange weights) {
  auto made_by = mlir::dyn_cast_or_null<RuledOp>(x.getDefiningOp());
  const KCut cut = made_by ? made_by.getKCut() : KCut::kWhole;
  const auto k = mlir::cast<TensorType>(x.getType()).getShape().drop_front();
  const int64_t expected = cut == KCut::kHeads      ? CanonicalChunks(k.front())
                           : cut == KCut::kAnywhere ? CanonicalChunks(llvm::product_of(k))
                                                    : 1;
  for (mlir::Value value : weights) {
    auto weight = value.getDefiningOp<WeightOp>();
    const int64_t chunks = weight.getChunks();
    if (chunks == expected) continue;
    return NamedError(op) << "sums '" << weight.getName() << "' in " << chunks << " canonical chunks of K, expected "
                          << expected << ": another number would give other tokens than the model's other plans";
  }
  return mlir::success();
}

// The order of a sum is the model's, not the layout's: canonical chunks where the definition of what made K says that
// it may be cut, one chain over everything else.
mlir::LogicalResult VerifyChunks(mlir::func::FuncOp program) {
  for (mlir::Operation& op : program.getBody().front()) {
    mlir::LogicalResult ok = mlir::success();
    if (auto matmul = mlir::dyn_cast<MatmulOp>(op)) ok = VerifyChunksOf(&op, matmul.getX(), matmul.getWeights());
    if (auto gated = mlir::dyn_cast<GatedMatmulOp>(op)) ok = VerifyChunksOf(&op, gated.getX(), gated.getWeights());
    if (mlir::failed(ok)) return ok;
  }
  return mlir::success();
}

// What a gated product may leave of gate and up is not said, so nobody reads it.
mlir::LogicalResult VerifyScratch(mlir::func::FuncOp program) {
  for (auto gated : program.getOps<GatedMatmulOp>()) {
    for (mlir::Value scratch : {gated.getGate(), gated.getUp()}) {
      for (mlir::Operation* user : scratch.getUsers()) {
        return NamedError(user) << "reads memory that '" << gated.getName()
                                << "' alone uses; read its third result, or take it apart (leave out mrs-fuse-steps)";
      }
    }
  }
  return mlir::success();
}

mlir::LogicalResult VerifySchedule(mlir::func::FuncOp program) {
  int64_t next_step = 0, next_send = 0, next_recv = 0;
  CollectiveOrder next_order;
  for (mlir::Operation& op : program.getBody().front()) {
    if (!IsStep(&op)) continue;
    auto step = op.getAttrOfType<mlir::IntegerAttr>("step");
    if (!step) return NamedError(&op) << "has no place in the program; run mrs-schedule";
    if (step.getInt() != next_step++) {
      return NamedError(&op) << "is step " << step.getInt() << ", expected " << next_step - 1 << " in program order";
    }
    auto order = op.getAttrOfType<mlir::IntegerAttr>("order");
    if (mlir::isa<SendOp, RecvOp>(op)) {
      if (order && order.getInt() == (mlir::isa<SendOp>(op) ? next_send++ : next_recv++)) continue;
      return NamedError(&op) << "has no place, or another place than its own, among the transfers; run mrs-schedule";
    }
    if (!mlir::isa<AllReduceOp, AllGatherOp>(op)) continue;
    if (!order || order.getInt() != next_order.Next(VariantOf(&op))) {
      return NamedError(&op)
             << "has no place, or another place than its own, in the collective schedule; run mrs-schedule";
    }
  }
  return mlir::success();
}

constexpr int64_t kMaxOffset = int64_t{1} << 50;  // so that offset + size cannot overflow

struct Placed {
  const LiveValue* live;
  int64_t begin, end;
};

mlir::LogicalResult CheckInPlace(const LiveValue& live, int64_t last_use_of_operand, size_t bucket) {
  const auto from = mlir::dyn_cast<mlir::OpResult>(*live.in_place_of);
  mlir::Operation* op = live.value.getDefiningOp();
  if (!mlir::isa<AddOp, AddBiasOp, AllReduceOp, AddRmsNormOp>(op)) return NamedError(op) << "cannot work in place";
  if (!from || OffsetsOf(from).size() <= bucket || OffsetsOf(from)[bucket] != OffsetsOf(live.value)[bucket]) {
    return NamedError(op) << "works in place, but its result lies elsewhere than its operand";
  }
  if (last_use_of_operand > live.first) return NamedError(op) << "overwrites its operand, which a later step reads";
  return mlir::success();
}

// No two values that live at the same time share a byte, in any bucket.
mlir::LogicalResult VerifyMemory(mlir::func::FuncOp program, const std::vector<BucketSize>& buckets, const Mesh& mesh) {
  const std::vector<LiveValue> values = LiveValues(program);
  for (const LiveValue& live : values) {
    if (OffsetsOf(live.value).size() != buckets.size()) {
      return NamedError(live.value.getDefiningOp()) << "its result has no place in memory; run mrs-plan-memory";
    }
  }
  for (size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    llvm::SmallVector<Placed> active;
    for (const LiveValue& live : values) {
      const auto type = mlir::cast<TensorType>(live.value.getType());
      const int64_t begin = OffsetsOf(live.value)[bucket];
      if (begin > kMaxOffset) return NamedError(live.value.getDefiningOp()) << "offset " << begin << " is out of range";
      const int64_t end = begin + RowsIn(type, buckets[bucket]) * LocalRowBytes(type, mesh);
      mlir::Operation* op = live.value.getDefiningOp();
      if (begin < 0 || begin % kArenaAlignment != 0)
        return NamedError(op) << "offset " << begin << " is not aligned to 64";
      llvm::erase_if(active, [&](const Placed& p) { return p.live->last < live.first; });
      for (const Placed& other : active) {
        if (live.in_place_of && *live.in_place_of == other.live->value) {
          if (mlir::failed(CheckInPlace(live, other.live->last, bucket))) return mlir::failure();
          if (end - begin != other.end - other.begin)
            return NamedError(op) << "works in place on an operand of another size";
          continue;
        }
        if (begin < other.end && other.begin < end) {
          return NamedError(op) << "its result lies at [" << begin << ", " << end << ") in bucket " << bucket
                                << ", over the result of '" << NameOf(other.live->value.getDefiningOp()) << "' at ["
                                << other.begin << ", " << other.end << "), which is still needed";
        }
      }
      active.push_back({&live, begin, end});
    }
  }
  return mlir::success();
}

}  // namespace

mlir::LogicalResult VerifyFinal(mlir::ModuleOp module) {
  const auto programs = ProgramsOf(module);
  if (programs.empty()) return mlir::failure();
  const Mesh mesh = MeshOf(module);
  if (!module->getAttr("mrs.mesh")) return module.emitError() << "the layout was never applied; run mrs-apply-layout";
  if (static_cast<int64_t>(programs.size()) != mesh.stage) {
    return module.emitError() << "the module has " << programs.size() << " program" << (programs.size() == 1 ? "" : "s")
                              << ", expected one for each of " << mesh.stage
                              << " stages of its mesh; run mrs-cut-stages";
  }
  const std::vector<BucketSize> buckets = BucketsOf(module);
  if (buckets.empty()) {
    return module.emitError() << "the module has no mrs.buckets, or one with less than 1 or more than 2^19 rows";
  }
  for (mlir::func::FuncOp program : programs) {
    if (mlir::failed(VerifyOperations(program))) return mlir::failure();
  }
  if (mlir::failed(VerifySharding(module))) return mlir::failure();
  for (mlir::func::FuncOp program : programs) {
    if (mlir::failed(VerifyGathered(program)) || mlir::failed(VerifyWeights(program, mesh)) ||
        mlir::failed(VerifyChunks(program)) || mlir::failed(VerifyScratch(program)) ||
        mlir::failed(VerifySchedule(program)) || mlir::failed(VerifyLaunches(module, program))) {
      return mlir::failure();
    }
    if (!program->getAttr("mrs.layers")) {
      return mlir::emitError(program.getLoc()) << "nothing says which layers are the stage's; run mrs-cut-stages";
    }
    if (!program->getAttr("mrs.kv")) {
      return mlir::emitError(program.getLoc()) << "the KV cache has no place in memory; run mrs-plan-memory";
    }
    if (mlir::failed(VerifyMemory(program, buckets, mesh))) return mlir::failure();
  }
  return mlir::success();
}

}  // namespace mrs::ir
