// Fixes every address of each stage: weights one after the other in their arena, activations by first fit over their
// lifetimes in each bucket, and as many KV blocks as max_seqs sequences of max_len tokens can use and the memory of
// every stage's ranks holds (kv_blocks.h), after what CUDA takes of it (cuda_reserve.h).
//
// Attributes of the module that it reads: mrs.buckets, mrs.max_len, mrs.max_seqs, mrs.ranks (kind, and bytes that a
// rank may use), mrs.collectives. It writes arena_offset on weights, offsets on steps, and on each program mrs.kv, an entry a
// class, mrs.arenas, and of CUDA ranks mrs.cuda.
#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "planner/cuda_reserve.h"
#include "planner/passes/first_fit.h"
#include "planner/passes/kv_blocks.h"
#include "planner/passes/module_pass.h"
#include "planner/passes/passes.h"
#include "planner/rules.h"

namespace mrs::planner {
namespace {

int64_t ModuleInt(mlir::ModuleOp module, llvm::StringRef name) {
  auto attribute = module->getAttrOfType<mlir::IntegerAttr>(name);
  return attribute ? attribute.getInt() : 0;
}

// What mrs.ranks says of the ranks of one stage: the least memory, and whether they are GPUs.
struct StageRanks {
  int64_t memory = 0;
  bool cuda = false;
};

std::optional<StageRanks> RanksOfStage(mlir::ModuleOp module, int64_t stage, int64_t tp) {
  const auto ranks = module->getAttrOfType<mlir::ArrayAttr>("mrs.ranks");
  if (!ranks || std::cmp_less(ranks.size(), (stage + 1) * tp)) return std::nullopt;
  StageRanks of_stage = {.memory = std::numeric_limits<int64_t>::max()};
  for (const mlir::Attribute rank : ranks.getValue().slice(stage * tp, tp)) {
    const auto facts = mlir::dyn_cast<mlir::DictionaryAttr>(rank);
    const auto memory = facts ? facts.getAs<mlir::IntegerAttr>("memory") : nullptr;
    const auto kind = facts ? facts.getAs<mlir::StringAttr>("kind") : nullptr;
    if (!memory || !kind) return std::nullopt;
    of_stage.memory = std::min(of_stage.memory, std::max<int64_t>(memory.getInt(), 0));
    of_stage.cuda = of_stage.cuda || kind.getValue() == "cuda";
  }
  return of_stage;
}

Placed PlaceBucket(const std::vector<ir::LiveValue>& values, const ir::BucketSize& bucket, const ir::Mesh& mesh) {
  std::vector<Lifetime> lifetimes;
  llvm::DenseMap<mlir::Value, int64_t> index_of;
  for (const ir::LiveValue& live : values) {
    const ir::TensorType type = TensorTypeOf(live.value);
    const bool in_place = live.in_place_of && index_of.contains(*live.in_place_of);
    lifetimes.push_back({.bytes = ir::RowsIn(type, bucket) * ir::LocalRowBytes(type, mesh),
                         .first = live.first,
                         .last = live.last,
                         .in_place = in_place ? index_of[*live.in_place_of] : -1});
    index_of[live.value] = static_cast<int64_t>(lifetimes.size()) - 1;
  }
  return PlaceByFirstFit(lifetimes);
}

struct PlanMemory : ModulePass<PlanMemory> {
  static constexpr llvm::StringLiteral kArgument = "mrs-plan-memory";
  static constexpr llvm::StringLiteral kDescription = "fix every offset and count KV blocks";

  mlir::LogicalResult Run(mlir::ModuleOp module) {
    const auto programs = ir::ProgramsOf(module);
    if (programs.empty()) return mlir::failure();
    const ir::Mesh mesh = ir::MeshOf(module);
    std::vector<StageKv> stages;
    llvm::SmallVector<StageRanks> ranks;
    llvm::SmallVector<CudaReserve> beside;
    llvm::SmallVector<int64_t> weights, activations;
    for (auto [index, program] : llvm::enumerate(programs)) {
      weights.push_back(PlaceWeights(program, mesh));
      if (weights.back() < 0) return mlir::failure();
      activations.push_back(PlaceActivations(module, program));
      if (activations.back() < 0) return mlir::failure();
      const auto of_stage = RanksOfStage(module, static_cast<int64_t>(index), mesh.tp);
      if (!of_stage) {
        return module.emitError() << "the module needs mrs.ranks, with kind and memory of each rank of stage " << index;
      }
      ranks.push_back(*of_stage);
      const auto classes = ClassesOf(program, mesh);
      if (mlir::failed(classes)) return mlir::failure();
      beside.push_back(of_stage->cuda ? ReserveOf(module, program, index, programs.size()) : CudaReserve());
      const int64_t left = of_stage->memory - weights.back() - activations.back() - beside.back().Total();
      stages.push_back({std::max<int64_t>(left, 0), *classes});
    }
    const KvLimits limits = {ModuleInt(module, "mrs.max_len"), ModuleInt(module, "mrs.max_seqs"), LargestBatch(module)};
    if (limits.max_len < 1 || limits.max_seqs < 1) {
      return module.emitError() << "the module needs mrs.max_len and mrs.max_seqs";
    }
    const std::optional<size_t> too_small = CountKvBlocks(limits, &stages);
    if (too_small) {
      const std::string who = programs.size() == 1 ? "a rank" : "a rank of stage " + std::to_string(*too_small);
      return module.emitError() << Broken<RuleId::kFits>(who, ranks[*too_small].memory, weights[*too_small],
                                                         activations[*too_small], limits.max_len,
                                                         SequenceBytes(stages[*too_small]))
                                << (ranks[*too_small].cuda ? ", and what CUDA takes" : "") << "; "
                                << RuleOf(RuleId::kFits).remedy;
    }
    for (size_t s = 0; s < programs.size(); ++s) {
      Write(programs[s], stages[s], weights[s], activations[s]);
      if (ranks[s].cuda) Write(programs[s], beside[s]);
    }
    return mlir::success();
  }

  static CudaReserve ReserveOf(mlir::ModuleOp module, mlir::func::FuncOp program, size_t stage, size_t stages) {
    int64_t steps = 0, exchanges = 0;
    for (mlir::Operation& op : program.getBody().front()) {
      steps += ir::IsStep(&op) ? 1 : 0;
      exchanges += mlir::isa<ir::AllReduceOp, ir::AllGatherOp, ir::SendOp, ir::RecvOp>(op) ? 1 : 0;
    }
    const auto collectives = module->getAttrOfType<mlir::StringAttr>("mrs.collectives");
    return CudaReserveOf({.steps = steps,
                          .exchanges = exchanges,
                          .max_seqs = ModuleInt(module, "mrs.max_seqs"),
                          .tp = ir::MeshOf(module).tp,
                          .first = stage == 0,
                          .last = stage + 1 == stages,
                          .collectives = CollectivesNamed(collectives ? collectives.getValue().str() : "")});
  }

  static void Write(mlir::func::FuncOp program, const CudaReserve& beside) {
    mlir::Builder builder(program.getContext());
    const auto number = [&](llvm::StringRef name, int64_t value) {
      return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
    };
    program->setAttr("mrs.cuda", builder.getDictionaryAttr({number("communicators", beside.communicators),
                                                            number("graphs", beside.graphs),
                                                            number("workspace", beside.workspace)}));
  }

  // One class for each `kv_class`, in their order.
  static mlir::FailureOr<std::vector<KvClassBlocks>> ClassesOf(mlir::func::FuncOp program, const ir::Mesh& mesh) {
    std::map<int64_t, KvClassBlocks> classes;
    for (const ir::CacheAppend& append : ir::AppendsOf(program)) {
      const auto [found, added] = classes.try_emplace(append.kv_class);
      KvClassBlocks& of_class = found->second;
      const int64_t window = append.window;
      if (added) of_class.window = window;
      if (of_class.window != window) {
        return ir::NamedError(append.op) << "has a window of " << window << " in class " << append.kv_class
                                      << " of the KV cache, which has one of " << of_class.window;
      }
      of_class.block_bytes += kKvBlockTokens * 2 * ir::LocalRowBytes(TensorTypeOf(append.cache), mesh);
      ++of_class.layers;
    }
    if (classes.empty()) return mlir::emitError(program.getLoc()) << "the program has no KV cache";
    std::vector<KvClassBlocks> list;
    for (const auto& [index, of_class] : classes) {
      if (index != static_cast<int64_t>(list.size())) {
        return mlir::emitError(program.getLoc())
               << "the program has a KV class " << index << ", but none " << list.size();
      }
      list.push_back(of_class);
    }
    return list;
  }

  static int64_t LargestBatch(mlir::ModuleOp module) {
    int64_t tokens = 0;
    for (const ir::BucketSize& bucket : ir::BucketsOf(module)) tokens = std::max(tokens, bucket.tokens);
    return tokens;
  }

  static void Write(mlir::func::FuncOp program, const StageKv& stage, int64_t weights, int64_t activations) {
    mlir::Builder builder(program.getContext());
    const auto number = [&](llvm::StringRef name, int64_t value) {
      return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
    };
    llvm::SmallVector<mlir::Attribute> classes;
    int64_t kv = 0;
    for (const KvClassBlocks& of_class : stage.classes) {
      classes.push_back(builder.getDictionaryAttr(
          {number("block_bytes", of_class.block_bytes), number("block_count", of_class.block_count),
           number("block_tokens", kKvBlockTokens), number("layers", of_class.layers),
           number("sequence_blocks", of_class.sequence_blocks), number("window", of_class.window)}));
      kv += ir::AlignUp(of_class.block_count * of_class.block_bytes);
    }
    program->setAttr("mrs.kv", builder.getArrayAttr(classes));
    program->setAttr("mrs.arenas", builder.getDictionaryAttr({number("activations", activations), number("kv", kv),
                                                              number("weights", weights)}));
  }

  static int64_t PlaceWeights(mlir::func::FuncOp program, const ir::Mesh& mesh) {
    mlir::Builder builder(program.getContext());
    int64_t arena = 0;
    for (auto weight : program.getOps<ir::WeightOp>()) {
      const auto local = ir::LocalWeightOf(weight, mesh);
      if (mlir::failed(local)) return -1;
      weight->setAttr("arena_offset", builder.getI64IntegerAttr(arena));
      arena += ir::AlignUp(ir::WeightBytes(*local, TensorTypeOf(weight.getResult()).getElementType()));
    }
    return arena;
  }

  static int64_t PlaceActivations(mlir::ModuleOp module, mlir::func::FuncOp program) {
    const std::vector<ir::BucketSize> buckets = ir::BucketsOf(module);
    if (buckets.empty()) {
      module.emitError() << "the module has no mrs.buckets; run mrs-apply-layout";
      return -1;
    }
    const std::vector<ir::LiveValue> values = ir::LiveValues(program);
    std::vector<std::vector<int64_t>> offsets(buckets.size());
    llvm::SmallVector<int64_t> arenas;
    for (size_t b = 0; b < buckets.size(); ++b) {
      Placed placed = PlaceBucket(values, buckets[b], ir::MeshOf(module));
      arenas.push_back(placed.arena_bytes);
      offsets[b] = std::move(placed.offsets);
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
    program->setAttr("mrs.bucket_arenas", builder.getDenseI64ArrayAttr(arenas));
    return *std::max_element(arenas.begin(), arenas.end());
  }
};

}  // namespace

std::unique_ptr<mlir::Pass> CreatePlanMemoryPass() { return std::make_unique<PlanMemory>(); }

}  // namespace mrs::planner
