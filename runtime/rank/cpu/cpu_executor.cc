#include "runtime/rank/cpu/cpu_executor.h"

#include <algorithm>
#include <cstring>

#include "host/process.h"
#include "plans/contract.h"
#include "runtime/rank/cpu/run_kernel.h"
#include "runtime/rank/exchange.h"
#include "runtime/rank/keep_layers.h"
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

void CopyInput(const std::vector<int32_t>& values, int32_t* input) {
  if (!values.empty() && input != nullptr) std::memcpy(input, values.data(), values.size() * sizeof(int32_t));
}

}  // namespace

CpuExecutor::CpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world, const std::vector<KvSpace>& spaces,
                         const CpuExecutorOptions& options)
    : plan_(plan),
      rank_(rank),
      world_(world),
      pulse_(options.pulse),
      bounds_(BoundsOf(plan, rank, spaces)),
      space_of_class_(SpacesOfClasses(spaces, StageOf(plan, rank))),
      times_(options.times),
      pool_(options.threads, options.spin, options.pulse) {}

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
  if (options.rehearsal != RehearsalScope::kLayers) {
    MRS_RETURN_IF_ERROR(
        CheckMemory(need, RanksOnNodeOf(plan_, rank_), options.host_memory ? *options.host_memory : ReadHostMemory()));
  }
  MRS_ASSIGN_OR_RETURN(activations_, Arena::Map("activations", stage.activation_arena_bytes(), Arena::Use::kAll));
  MRS_ASSIGN_OR_RETURN(kv_, Arena::Map("KV cache", stage.kv_arena_bytes(), Arena::Use::kLazy));
  RehearsedStage rehearsed;
  if (options.rehearsal != RehearsalScope::kNone) {
    rehearsed = RehearsedStageOf(stage, options.rehearsal);
    const bool touched = options.rehearsal == RehearsalScope::kAll;
    MRS_ASSIGN_OR_RETURN(weights_, ZeroWeights(rehearsed.weight_bytes, touched, pool_, options.progress));
    counters_.weight_bytes = rehearsed.weight_bytes;
  } else {
    MRS_ASSIGN_OR_RETURN(LoadedWeights loaded, LoadWeights(plan_, rank_, options.model_dir, pool_, options.progress));
    weights_ = std::move(loaded.arena);
    counters_.read_bytes = loaded.read_bytes;
    shared_digests_ = std::move(loaded.shared_digests);
  }

  const auto chain = static_cast<kernels::Chain>(plan_.numerics()->chain());  // the same values in both (plan.fbs)
  const kernels::KernelSet& kernels = kernels::SelectKernels(options.isa, chain);
  const Arenas arenas{.weights = weights_.data(),
                      .activations = activations_.data(),
                      .kv = kv_.data(),
                      .weight_offsets = rehearsed.weight_offsets};
  buckets_ = BindPlan(plan_, rank_, kernels, arenas);
  if (options.rehearsal == RehearsalScope::kLayers) KeepLayers(stage, rehearsed, buckets_);
  counters_.step_count = buckets_.back().candidates.launches.size();
  return Status();
}

Status CpuExecutor::Enqueue(const Batch& batch) {
  MRS_RETURN_IF_ERROR(CheckBatch(bounds_, batch));
  enqueued_.push_back(&batch);
  return Status();
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
  const auto logit_rows = static_cast<int64_t>(batch.logit_rows.size());
  auto& bucket = BucketFor(buckets_, static_cast<int64_t>(batch.tokens.size()),
                           static_cast<int64_t>(batch.sequence_count()), logit_rows);
  CopyInputs(batch, bucket.inputs);

  const kernels::ScopedFlushToZero flush;
  const int64_t rows_of[] = {1, static_cast<int64_t>(batch.tokens.size()),  // by plan::Rows
                             static_cast<int64_t>(batch.sequence_count()), logit_rows};
  auto& program = batch.variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
  if (pulse_ != nullptr) pulse_->Expect(static_cast<uint32_t>(program.launches.size()));
  uint32_t operation = 0;
  for (auto& launch : program.launches) {
    if (pulse_ != nullptr) pulse_->At(++operation, launch.step);
    const int64_t rows = rows_of[static_cast<size_t>(launch.rows)];
    Status moved;
    if (const auto* collective = std::get_if<CollectiveLaunch>(&launch.work)) {
      moved = Timed(times_, *collective, rows, [&] { return RunCollective(*collective, rows); });
    } else if (const auto* transfer = std::get_if<TransferLaunch>(&launch.work)) {
      moved = Timed(times_, *transfer, rows, [&] { return RunTransfer(*world_, *transfer, rows, transfer->data); });
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
  if (group_ != nullptr) return mrs::RunCollective(*group_, collective, rows, collective.x, collective.y);
  // A group of one: its sum and its gathering are the operand.
  if (collective.x != collective.y) {
    std::memcpy(collective.y, collective.x, static_cast<size_t>(rows) * collective.row_bytes);
  }
  return Status();
}

Error CpuExecutor::AtStep(const Launch<kernels::KernelSet>& launch, const Error& error) const {
  const plan::Step& step = *StageOf(plan_, rank_).steps()->Get(launch.step);
  return Error{error.kind, fmt::format("rank {} step {} '{}': {}", rank_, launch.step,
                                       plan_.names()->Get(step.name())->c_str(), error.message)};
}

}  // namespace mrs
