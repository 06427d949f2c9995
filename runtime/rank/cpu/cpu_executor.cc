#include "runtime/rank/cpu/cpu_executor.h"

#include <algorithm>
#include <cstring>

#include "host/process.h"
#include "plans/contract.h"
#include "runtime/rank/stages.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

constexpr int kMaxThreads = 1024;

uint32_t RanksOnNodeOf(const plan::Plan& plan, uint32_t rank) {
  const uint32_t node = plan.ranks()->Get(rank)->node();
  return static_cast<uint32_t>(std::count_if(plan.ranks()->begin(), plan.ranks()->end(), [&](const plan::Rank* other) {
    return other->node() == node && other->kind() == plan::DeviceKind::cpu;
  }));
}

Status CheckRank(const plan::Plan& plan, uint32_t rank, const Communicator* world, int threads) {
  if (rank >= plan.ranks()->size()) {
    return Refuse("rank {}: the plan has ranks 0 to {}; start exactly those", rank, plan.ranks()->size() - 1);
  }
  if (plan.ranks()->Get(rank)->kind() != plan::DeviceKind::cpu) {
    return Refuse("rank {}: planned for {}, this executor is for cpu; rebuild the plan for this host", rank,
                  plan::EnumNameDeviceKind(plan.ranks()->Get(rank)->kind()));
  }
  const uint32_t world_size = world == nullptr ? 1 : static_cast<uint32_t>(world->size());
  if (plan.ranks()->size() != world_size) {
    return Refuse("rank {}: the plan has {} ranks, {} run; start exactly those", rank, plan.ranks()->size(),
                  world_size);
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

CpuExecutor::CpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world, const std::vector<KvSpace>& spaces,
                         const CpuExecutorOptions& options)
    : plan_(plan),
      rank_(rank),
      world_(world),
      bounds_(BoundsOf(plan, rank, spaces)),
      space_of_class_(SpacesOfClasses(spaces, StageOf(plan, rank))),
      pool_(options.threads, options.spin) {}

Result<std::unique_ptr<CpuExecutor>> MakeCpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world,
                                                     CpuExecutorOptions options) try {
  MRS_RETURN_IF_ERROR(CheckRank(plan, rank, world, options.threads));
  MRS_ASSIGN_OR_RETURN(const std::vector<KvSpace> spaces, KvSpacesOf(plan));
  std::unique_ptr<CpuExecutor> executor(new CpuExecutor(plan, rank, world, spaces, options));
  MRS_RETURN_IF_ERROR(executor->pool_.status());
  if (const std::vector<int> group = TpGroupOf(plan, rank); group.size() > 1) {
    MRS_ASSIGN_OR_RETURN(executor->group_, world->Group(group));
  }
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
  buckets_ = BindPlan(plan_, rank_, kernels, arenas);
  counters_.step_count = buckets_.back().candidates.launches.size();
  return Status();
}

Status CpuExecutor::Enqueue(const Batch& batch) {
  MRS_RETURN_IF_ERROR(CheckBatch(bounds_, batch));
  enqueued_.push_back(&batch);
  return Status();
}

// The smallest that fits. The largest does: the batch was checked against it.
BoundBucket& CpuExecutor::BucketOf(const Batch& batch) {
  const auto tokens = static_cast<int64_t>(batch.tokens.size());
  const auto sequences = static_cast<int64_t>(batch.sequence_count());
  const auto logit_rows = static_cast<int64_t>(batch.logit_rows.size());
  return *std::find_if(buckets_.begin(), buckets_.end() - 1, [&](const BoundBucket& candidate) {
    return tokens <= candidate.tokens && sequences <= candidate.sequences && logit_rows <= candidate.logit_rows;
  });
}

void CpuExecutor::CopyInputs(const Batch& batch, const InputBuffers& inputs) const {
  CopyInput(batch.tokens, inputs.ids);
  CopyInput(batch.positions, inputs.positions);
  CopyInput(batch.sequence, inputs.sequence);
  CopyInput(batch.logit_rows, inputs.logit_rows);
  for (size_t kv_class = 0; kv_class < space_of_class_.size(); ++kv_class) {
    const KvBatch& kv = batch.kv[space_of_class_[kv_class]];
    CopyInput(kv.slots, inputs.slots[kv_class]);
    CopyInput(kv.block_table, inputs.block_tables[kv_class]);
  }
}

Result<StepOutput> CpuExecutor::Await() {
  MRS_CHECK(!enqueued_.empty());
  const Batch& batch = *enqueued_.front();
  enqueued_.pop_front();
  BoundBucket& bucket = BucketOf(batch);
  CopyInputs(batch, bucket.inputs);

  const kernels::ScopedFlushToZero flush;
  const auto logit_rows = static_cast<int64_t>(batch.logit_rows.size());
  const int64_t rows_of[] = {1, static_cast<int64_t>(batch.tokens.size()),  // by plan::Rows
                             static_cast<int64_t>(batch.sequence_count()), logit_rows};
  Program& program = batch.variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
  for (Launch& launch : program.launches) {
    const int64_t rows = rows_of[static_cast<size_t>(launch.rows)];
    Status moved;
    if (const auto* collective = std::get_if<CollectiveLaunch>(&launch.work)) {
      moved = RunCollective(*collective, rows);
    } else if (const auto* transfer = std::get_if<TransferLaunch>(&launch.work)) {
      moved = RunTransfer(*transfer, rows);
    } else {
      RunKernel(launch, rows, pool_);
    }
    if (!moved.ok()) return AtStep(launch, moved.error());
  }
  ++counters_.forward_count;
  counters_.steps_run += program.launches.size();

  const uint64_t output_bytes = static_cast<uint64_t>(logit_rows) * program.output_row_bytes;
  if (batch.variant == Variant::kCandidates)
    return StepOutput{.candidates = {program.output, output_bytes}, .logits = {}};
  return StepOutput{.candidates = {},
                    .logits = {reinterpret_cast<const float*>(program.output), output_bytes / sizeof(float)}};
}

Status CpuExecutor::RunCollective(const CollectiveLaunch& collective, int64_t rows) {
  const size_t bytes = static_cast<size_t>(rows) * collective.row_bytes;
  if (group_ == nullptr) {  // a group of one: its sum and its gathering are the operand
    if (collective.x != collective.y) std::memcpy(collective.y, collective.x, bytes);
    return Status();
  }
  if (collective.is_gather) {
    return group_->AllGather({collective.x, bytes}, {collective.y, bytes * static_cast<size_t>(group_->size())});
  }
  const size_t count = bytes / sizeof(float);
  return group_->AllReduce({reinterpret_cast<const float*>(collective.x), count},
                           {reinterpret_cast<float*>(collective.y), count}, AlgorithmOf(collective.algorithm));
}

Status CpuExecutor::RunTransfer(const TransferLaunch& transfer, int64_t rows) {
  const size_t bytes = static_cast<size_t>(rows) * transfer.row_bytes;
  return transfer.is_send ? world_->Send(transfer.peer, {transfer.data, bytes})
                          : world_->Recv(transfer.peer, {transfer.data, bytes});
}

Error CpuExecutor::AtStep(const Launch& launch, const Error& error) const {
  const plan::Step& step = *StageOf(plan_, rank_).steps()->Get(launch.step);
  return Error{error.kind, fmt::format("rank {} step {} '{}': {}", rank_, launch.step,
                                       plan_.names()->Get(step.name())->c_str(), error.message)};
}

}  // namespace mrs
