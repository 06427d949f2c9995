// Fixes every address: weights one after the other in their arena, activations by first fit over their lifetimes in each
// bucket, and as many KV blocks as max_seqs sequences of max_len tokens can use and the rank's memory holds.
//
// Attributes it reads: mrs.buckets, mrs.max_len, mrs.max_seqs, mrs.memory (bytes a rank may use).
// It writes: arena_offset on weights, offsets on steps, mrs.kv {block_bytes, block_count, ...}, mrs.arenas {...} on the module.
#include <algorithm>

#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"

namespace mrs::planner {
namespace {

int64_t ModuleInt(mlir::ModuleOp module, llvm::StringRef name) {
  auto attribute = module->getAttrOfType<mlir::IntegerAttr>(name);
  return attribute ? attribute.getInt() : 0;
}

struct Placed {
  int64_t begin, end, last;
};

// The lowest gap of `bytes` between the active buffers, which are sorted by `begin`.
int64_t FirstFit(const std::vector<Placed>& active, int64_t bytes) {
  int64_t begin = 0;
  for (const Placed& placed : active) {
    if (begin + bytes <= placed.begin) break;
    begin = std::max(begin, ir::AlignUp(placed.end));
  }
  return begin;
}

// Offsets of all values in one bucket, in the order of `values`; the arena's size.
int64_t PlaceBucket(const std::vector<ir::LiveValue>& values, const ir::BucketSize& bucket, int64_t tp,
                    std::vector<int64_t>* offsets) {
  std::vector<Placed> active;
  llvm::DenseMap<mlir::Value, int64_t> offset_of;
  int64_t arena = 0;
  for (const ir::LiveValue& live : values) {
    const ir::TensorType type = TensorTypeOf(live.value);
    const int64_t bytes = ir::RowsIn(type, bucket) * ir::LocalRowBytes(type, tp);
    const bool in_place = live.in_place_of && offset_of.contains(*live.in_place_of);
    const int64_t reused = in_place ? offset_of[*live.in_place_of] : -1;
    // In place, the operand's last use is this very step: its bytes go over to the result.
    std::erase_if(active, [&](const Placed& p) {
      return p.last < live.first || (in_place && p.begin == reused && p.last == live.first);
    });
    const int64_t begin = in_place ? reused : FirstFit(active, bytes);
    active.push_back({begin, begin + bytes, live.last});
    std::sort(active.begin(), active.end(), [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
    arena = std::max(arena, ir::AlignUp(begin + bytes));
    offset_of[live.value] = begin;
    offsets->push_back(begin);
  }
  return arena;
}

struct PlanMemory : ModulePass<PlanMemory> {
  static constexpr llvm::StringLiteral kArgument = "mrs-plan-memory";
  static constexpr llvm::StringLiteral kDescription = "fix every offset and count KV blocks";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    auto program = ir::ProgramOf(module);
    if (!program) return mlir::failure();
    const int64_t weights = PlaceWeights(program, ir::TpOf(module));
    if (weights < 0) return mlir::failure();
    const int64_t activations = PlaceActivations(module, program);
    if (activations < 0) return mlir::failure();
    return CountKvBlocks(module, program, weights, activations);
  }

  static int64_t PlaceWeights(mlir::func::FuncOp program, int64_t tp) {
    mlir::Builder builder(program.getContext());
    int64_t arena = 0;
    for (auto weight : program.getOps<ir::WeightOp>()) {
      const auto local = ir::LocalWeightOf(weight, tp);
      if (mlir::failed(local)) return -1;
      weight->setAttr("arena_offset", builder.getI64IntegerAttr(arena));
      arena += ir::AlignUp(ir::WeightBytes(*local, TensorTypeOf(weight.getResult()).getElementType()));
    }
    return arena;
  }

  static int64_t PlaceActivations(mlir::ModuleOp module, mlir::func::FuncOp program) {
    const std::vector<ir::BucketSize> buckets = ir::BucketsOf(module);
    if (buckets.empty()) {
      module.emitError() << "the module has no mrs.buckets";
      return -1;
    }
    const std::vector<ir::LiveValue> values = ir::LiveValues(program);
    std::vector<std::vector<int64_t>> offsets(buckets.size());
    llvm::SmallVector<int64_t> arenas;
    for (size_t b = 0; b < buckets.size(); ++b) {
      arenas.push_back(PlaceBucket(values, buckets[b], ir::TpOf(module), &offsets[b]));
    }
    mlir::Builder builder(module.getContext());
    llvm::DenseMap<mlir::Value, mlir::Attribute> placed;
    for (size_t i = 0; i < values.size(); ++i) {
      llvm::SmallVector<int64_t> per_bucket;
      for (size_t b = 0; b < buckets.size(); ++b) per_bucket.push_back(offsets[b][i]);
      placed[values[i].value] = builder.getDenseI64ArrayAttr(per_bucket);
    }
    for (mlir::Operation& op : program.getBody().front()) {
      llvm::SmallVector<mlir::Attribute> of_results;
      for (mlir::Value result : op.getResults()) {
        if (placed.contains(result)) of_results.push_back(placed[result]);
      }
      if (!of_results.empty()) op.setAttr("offsets", builder.getArrayAttr(of_results));
    }
    module->setAttr("mrs.bucket_arenas", builder.getDenseI64ArrayAttr(arenas));
    return *std::max_element(arenas.begin(), arenas.end());
  }

  static mlir::LogicalResult CountKvBlocks(mlir::ModuleOp module, mlir::func::FuncOp program, int64_t weights,
                                           int64_t activations) {
    int64_t layers = 0, token_bytes = 0;
    ir::TensorType cache;
    for (auto append : program.getOps<ir::KvAppendOp>()) {
      cache = TensorTypeOf(append.getCache());
      token_bytes += 2 * ir::LocalRowBytes(cache, ir::TpOf(module));
      ++layers;
    }
    if (layers == 0) return module.emitError() << "the program has no KV cache";
    const int64_t block_tokens = 32;
    const int64_t block_bytes = block_tokens * token_bytes;
    const int64_t max_len = ModuleInt(module, "mrs.max_len"), max_seqs = ModuleInt(module, "mrs.max_seqs");
    const int64_t memory = ModuleInt(module, "mrs.memory");
    if (max_len < 1 || max_seqs < 1) return module.emitError() << "the module needs mrs.max_len and mrs.max_seqs";
    const int64_t blocks_of_one = (max_len + block_tokens - 1) / block_tokens;
    const int64_t left = memory - weights - activations;
    const int64_t blocks = std::min(max_seqs * blocks_of_one, std::max<int64_t>(left, 0) / block_bytes);
    if (blocks < blocks_of_one) {
      return module.emitError() << "the plan does not fit: a rank may use " << memory << " bytes, but its weights take "
                                << weights << ", activations " << activations << ", and the KV cache of one sequence of "
                                << max_len << " tokens " << blocks_of_one * block_bytes
                                << "; give more --memory, a larger --tp, or a smaller --max-len";
    }
    mlir::Builder builder(module.getContext());
    auto number = [&](llvm::StringRef name, int64_t value) {
      return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
    };
    module->setAttr("mrs.kv", builder.getDictionaryAttr({number("block_bytes", block_bytes), number("block_count", blocks),
                                                         number("block_tokens", block_tokens), number("layers", layers)}));
    module->setAttr("mrs.arenas", builder.getDictionaryAttr({number("activations", activations),
                                                             number("kv", blocks * block_bytes), number("weights", weights)}));
    return mlir::success();
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreatePlanMemoryPass() { return std::make_unique<PlanMemory>(); }

}  // namespace mrs::planner
