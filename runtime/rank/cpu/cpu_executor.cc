#include "runtime/rank/cpu/cpu_executor.h"

#include <algorithm>
#include <cstring>

#include "host/process.h"
#include "plans/contract.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

constexpr int kMaxThreads = 1024;

const plan::Group& TpGroup(const plan::Plan& plan, uint32_t rank) {
  return *plan.groups()->Get(StageOf(plan, rank).tp_group());
}

uint32_t RanksOnNodeOf(const plan::Plan& plan, uint32_t rank) {
  const uint32_t node = plan.ranks()->Get(rank)->node();
  return static_cast<uint32_t>(std::count_if(plan.ranks()->begin(), plan.ranks()->end(), [&](const plan::Rank* other) {
    return other->node() == node && other->kind() == plan::DeviceKind::cpu;
  }));
}

Status CheckRank(const plan::Plan& plan, uint32_t rank, const Communicator* comm, int threads) {
  if (rank >= plan.ranks()->size()) {
    return Refuse("rank {}: the plan has ranks 0 to {}; start exactly those", rank, plan.ranks()->size() - 1);
  }
  if (plan.ranks()->Get(rank)->kind() != plan::DeviceKind::cpu) {
    return Refuse("rank {}: planned for {}, this executor is for cpu; rebuild the plan for this host", rank,
                  plan::EnumNameDeviceKind(plan.ranks()->Get(rank)->kind()));
  }
  const uint32_t group_size = TpGroup(plan, rank).count();
  const uint32_t comm_size = comm == nullptr ? 1 : static_cast<uint32_t>(comm->size());
  if (group_size != comm_size) {
    return Refuse("rank {}: its group has {} ranks in the plan, {} at run time; start exactly those", rank, group_size,
                  comm_size);
  }
  if (threads < 1 || threads > kMaxThreads) {
    return Refuse("rank {}: {} threads asked for; --threads takes 1 to {}", rank, threads, kMaxThreads);
  }
  return Status();
}

ReduceAlgorithm AlgorithmOf(plan::CollectiveAlgorithm algorithm) {
  switch (algorithm) {
    case plan::CollectiveAlgorithm::halving_doubling:
      return ReduceAlgorithm::kHalvingDoubling;
    case plan::CollectiveAlgorithm::gather_add:
      return ReduceAlgorithm::kGatherAdd;
    case plan::CollectiveAlgorithm::rank_order:
      return ReduceAlgorithm::kRankOrder;
    case plan::CollectiveAlgorithm::none:
    case plan::CollectiveAlgorithm::doubling:
    case plan::CollectiveAlgorithm::gather:
      break;
  }
  return ReduceAlgorithm::kDoubling;
}

void CopyInput(const std::vector<int32_t>& values, int32_t* input) {
  if (!values.empty() && input != nullptr) std::memcpy(input, values.data(), values.size() * sizeof(int32_t));
}

}  // namespace

CpuExecutor::CpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* comm, const CpuExecutorOptions& options)
    : plan_(plan), rank_(rank), comm_(comm), bounds_(BoundsOf(plan, rank)), pool_(options.threads, options.spin) {}

Result<std::unique_ptr<CpuExecutor>> MakeCpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* comm,
                                                     CpuExecutorOptions options) try {
  MRS_RETURN_IF_ERROR(CheckRank(plan, rank, comm, options.threads));
  std::unique_ptr<CpuExecutor> executor(new CpuExecutor(plan, rank, comm, options));
  MRS_RETURN_IF_ERROR(executor->pool_.status());
  MRS_RETURN_IF_ERROR(executor->Load(options));
  return executor;
} catch (...) {  // no memory from the standard library
  return Refuse("rank {}: cannot load the plan: {}", rank, CaughtError().message);
}

Status CpuExecutor::Load(const CpuExecutorOptions& options) {
  const plan::Stage& stage = StageOf(plan_, rank_);
  counters_.weight_bytes = stage.weight_arena_bytes();
  counters_.activation_bytes = stage.activation_arena_bytes();
  counters_.kv_bytes = stage.kv_arena_bytes();
  const MemoryNeed need{.rank = rank_,
                        .weight_bytes = stage.weight_arena_bytes(),
                        .activation_bytes = stage.activation_arena_bytes(),
                        .kv_bytes = stage.kv_arena_bytes()};
  MRS_RETURN_IF_ERROR(
      CheckMemory(need, RanksOnNodeOf(plan_, rank_), options.host_memory ? *options.host_memory : ReadHostMemory()));
  MRS_ASSIGN_OR_RETURN(activations_, Arena::Map("activations", stage.activation_arena_bytes(), Arena::Use::kAll));
  MRS_ASSIGN_OR_RETURN(kv_, Arena::Map("KV cache", stage.kv_arena_bytes(), Arena::Use::kLazy));
  MRS_ASSIGN_OR_RETURN(LoadedWeights loaded, LoadWeights(plan_, rank_, options.model_dir, pool_, options.progress));
  weights_ = std::move(loaded.arena);
  counters_.read_bytes = loaded.read_bytes;

  const auto chain = static_cast<kernels::Chain>(plan_.numerics()->chain());  // the same values in both (plan.fbs)
  const kernels::KernelSet& kernels = kernels::SelectKernels(options.isa, chain);
  const Arenas arenas{.weights = weights_.data(), .activations = activations_.data(), .kv = kv_.data()};
  MRS_ASSIGN_OR_RETURN(buckets_, BindPlan(plan_, rank_, kernels, arenas));
  counters_.step_count = buckets_.back().candidates.launches.size();
  return Status();
}

Result<StepOutput> CpuExecutor::Run(const Batch& batch) {
  MRS_RETURN_IF_ERROR(CheckBatch(bounds_, batch));
  const auto tokens = static_cast<int64_t>(batch.tokens.size());
  const auto sequences = static_cast<int64_t>(batch.block_table.size() / batch.table_stride);
  const auto logit_rows = static_cast<int64_t>(batch.logit_rows.size());
  // The largest bucket fits: the batch was checked against it.
  BoundBucket& bucket = *std::find_if(buckets_.begin(), buckets_.end() - 1, [&](const BoundBucket& candidate) {
    return tokens <= candidate.tokens && sequences <= candidate.sequences && logit_rows <= candidate.logit_rows;
  });
  CopyInput(batch.tokens, bucket.inputs.ids);
  CopyInput(batch.positions, bucket.inputs.positions);
  CopyInput(batch.sequence, bucket.inputs.sequence);
  CopyInput(batch.slots, bucket.inputs.slots);
  CopyInput(batch.block_table, bucket.inputs.block_table);
  CopyInput(batch.logit_rows, bucket.inputs.logit_rows);

  const kernels::ScopedFlushToZero flush;
  const int64_t rows_of[] = {1, tokens, sequences, logit_rows};  // by plan::Rows
  Program& program = batch.variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
  for (Launch& launch : program.launches) {
    const int64_t rows = rows_of[static_cast<size_t>(launch.rows)];
    if (const auto* collective = std::get_if<CollectiveLaunch>(&launch.work)) {
      MRS_RETURN_IF_ERROR(RunCollective(launch, *collective, rows));
    } else {
      RunKernel(launch, rows, pool_);
    }
  }
  ++counters_.forward_count;
  counters_.steps_run += program.launches.size();

  const uint64_t output_bytes = static_cast<uint64_t>(logit_rows) * program.output_row_bytes;
  if (batch.variant == Variant::kCandidates)
    return StepOutput{.candidates = {program.output, output_bytes}, .logits = {}};
  return StepOutput{.candidates = {},
                    .logits = {reinterpret_cast<const float*>(program.output), output_bytes / sizeof(float)}};
}

Status CpuExecutor::RunCollective(const Launch& launch, const CollectiveLaunch& collective, int64_t rows) {
  const size_t bytes = static_cast<size_t>(rows) * collective.row_bytes;
  if (comm_ == nullptr) {  // a group of one: its sum and its gathering are the operand
    if (collective.x != collective.y) std::memcpy(collective.y, collective.x, bytes);
    return Status();
  }
  Status status;
  if (collective.op == plan::OpKind::all_reduce) {
    const size_t count = bytes / sizeof(float);
    status = comm_->AllReduce({reinterpret_cast<const float*>(collective.x), count},
                              {reinterpret_cast<float*>(collective.y), count}, AlgorithmOf(collective.algorithm));
  } else {
    status = comm_->AllGather({collective.x, bytes}, {collective.y, bytes * static_cast<size_t>(comm_->size())});
  }
  if (status.ok()) return status;
  const plan::Step& step = *StageOf(plan_, rank_).steps()->Get(launch.step);
  return Error{status.error().kind, fmt::format("rank {} step {} '{}': {}", rank_, launch.step,
                                                plan_.names()->Get(step.name())->c_str(), status.message())};
}

}  // namespace mrs
