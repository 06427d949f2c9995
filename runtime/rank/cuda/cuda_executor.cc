#include "runtime/rank/cuda/cuda_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "host/output.h"
#include "host/process.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/fast.h"
#include "plans/cuda_graphs.h"
#include "plans/device_model.h"
#include "runtime/rank/batch_bounds.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cuda/decode_graphs.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/device_memory.h"
#include "runtime/rank/cuda/device_weights.h"
#include "runtime/rank/cuda/gpu_exchange.h"
#include "runtime/rank/cuda/gpu_products.h"
#include "runtime/rank/cuda/step_inputs.h"
#include "runtime/rank/cuda/step_runner.h"
#include "runtime/rank/keep_layers.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/rank/stages.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

using kernels::cuda::CudaKernels;

Status CheckRank(const plan::Plan& plan, uint32_t rank, const Communicator* world) {
  if (rank >= plan.ranks()->size() || plan.ranks()->Get(rank)->kind() != plan::DeviceKind::cuda) {
    return Refuse("rank {}: not a CUDA rank of this plan", rank);
  }
  const uint32_t world_size = world == nullptr ? 1 : static_cast<uint32_t>(world->size());
  if (plan.ranks()->size() != world_size) {
    return Refuse("rank {}: the plan has {} ranks, {} run; start exactly those", rank, plan.ranks()->size(),
                  world_size);
  }
  return Status();
}

// A decode: each token is another sequence's, and wants logits.
bool IsDecode(const Batch& batch) {
  return batch.tokens.size() == batch.sequence_count() && batch.tokens.size() == batch.logit_rows.size();
}

class CudaExecutor final : public Executor {
 public:
  CudaExecutor(const plan::Plan& plan, uint32_t rank, const std::vector<KvSpace>& spaces, Pulse* pulse)
      : plan_(plan),
        rank_(rank),
        pulse_(pulse),
        bounds_(BoundsOf(plan, rank, spaces)),
        space_of_class_(SpacesOfClasses(spaces, StageOf(plan, rank))),
        most_decode_rows_(static_cast<int64_t>(std::min({bounds_.tokens, bounds_.sequences, bounds_.logit_rows}))) {}

  // What an error left under way reads memory that goes now; and where there was no forward, the others may be in one,
  // and come to no place where this rank parts from them.
  ~CudaExecutor() override {
    if (is_under_way_ || (!has_run_ && exchange_ != nullptr && exchange_->InStream())) Drain();
  }

  Status Load(Communicator* world, const CudaExecutorOptions& options) {
    dependent_launch_ = options.dependent_launch;
    kernels::cuda::UseDependentLaunch(dependent_launch_);
    MRS_ASSIGN_OR_RETURN(device_, Device::Open(static_cast<uint32_t>(plan_.ranks()->Get(rank_)->device())));
    if (pulse_ != nullptr) {
      device_->OnPassed([this] {
        pulse_->Count();
        exchange_->NotePassed();
      });
    }
    MRS_ASSIGN_OR_RETURN(const uint64_t total_bytes, device_->TotalBytes());
    MRS_RETURN_IF_ERROR(CheckTotalMemory(plan_, rank_, device_->name(), total_bytes));
    if (const std::string other = OtherModelText(plan_, rank_, device_->name()); !other.empty()) Say("{}\n", other);
    MRS_ASSIGN_OR_RETURN(exchange_, GpuExchange::Make(*device_, plan_, rank_, world, pulse_));
    const plan::Stage& stage = StageOf(plan_, rank_);
    MRS_RETURN_IF_ERROR(device_->LoadKernels());  // what they take is not free
    MRS_ASSIGN_OR_RETURN(const uint64_t free_bytes, device_->FreeBytes());
    if (options.rehearsal != RehearsalScope::kLayers) {  // some layers alone take less
      MRS_RETURN_IF_ERROR(CheckFreeMemory(plan_, rank_, device_->name(), free_bytes));
    }
    MRS_ASSIGN_OR_RETURN(activations_, device_->Allocate("activations", stage.activation_arena_bytes()));
    MRS_ASSIGN_OR_RETURN(kv_, device_->Allocate("the KV cache", stage.kv_arena_bytes()));
    MRS_ASSIGN_OR_RETURN(workspace_, device_->Allocate("a workspace", stage.workspace_bytes()));
    RehearsedStage rehearsed;
    if (options.rehearsal != RehearsalScope::kNone) rehearsed = RehearsedStageOf(stage, options.rehearsal);
    MRS_ASSIGN_OR_RETURN(
        weights_, device_->Allocate("weights", options.rehearsal == RehearsalScope::kNone ? stage.weight_arena_bytes()
                                                                                          : rehearsed.weight_bytes));
    MRS_ASSIGN_OR_RETURN(const std::vector<const float*> frequencies, CopyFrequencies());
    MRS_ASSIGN_OR_RETURN(const std::vector<std::byte*> inputs, AllocateInputs());
    const plan::Chain chain = plan_.numerics()->chain();
    const bool is_fast = chain == plan::Chain::fast;
    // Chains have the same values in both (plan.fbs).
    const CudaKernels& kernels =
        is_fast ? kernels::cuda::FastKernels() : kernels::cuda::ExactKernels(static_cast<kernels::Chain>(chain));
    buckets_ = BindPlan(plan_, rank_, kernels,
                        Arenas{.weights = weights_.data(),
                               .activations = activations_.data(),
                               .kv = kv_.data(),
                               .weight_offsets = rehearsed.weight_offsets,
                               .frequencies = frequencies,
                               .inputs = inputs},
                        JoinedFor(options.rehearsal));
    if (options.rehearsal == RehearsalScope::kLayers) KeepLayers(stage, rehearsed, buckets_);
    graph_counts_ = options.graph_counts;
    products_.emplace(*device_, kernels, PlannedWorkspace(), is_fast);
    steps_.emplace(*device_, plan_, rank_, *exchange_, *products_,
                   StepRunner::Watched{.pulse = pulse_, .times = options.times});
    if (is_fast) MRS_RETURN_IF_ERROR(PrepareProducts());
    MRS_RETURN_IF_ERROR(AllocateOutput());
    MRS_RETURN_IF_ERROR(device_->Finish());
    const bool captures = options.graphs && options.times == nullptr;  // where it exchanges in its stream
    MRS_RETURN_IF_ERROR(exchange_->Meet({.decodes = {.most_rows = most_decode_rows_, .runs_before_capture = captures},
                                         .workspace = PlannedWorkspace(),
                                         .launches = buckets_.front().all_logits.launches}));
    MRS_RETURN_IF_ERROR(exchange_->Prepare(buckets_));
    if (options.graphs && !(options.times != nullptr && exchange_->InStream())) {  // nothing is timed inside of one
      MRS_RETURN_IF_ERROR(CaptureGraphs());
    }
    // Last, as it may take minutes: a library that is missing or a peer that is not reached is known by now.
    if (options.rehearsal != RehearsalScope::kNone) return Status();
    return LoadWeights(options);
  }

  Status Enqueue(const Batch& batch) override {
    MRS_RETURN_IF_ERROR(CheckBatch(bounds_, batch));
    enqueued_.push_back(&batch);
    return Status();
  }

  Result<StepOutput> Await() override {
    MRS_CHECK(!enqueued_.empty());
    if (failed_) return *failed_;
    Result<StepOutput> out = Forward();
    if (out.ok() || !exchange_->InStream()) return out;
    failed_ = out.error();  // no rank can tell another where it is, so there is no next forward
    Drain();
    return out;
  }

 private:
  Result<StepOutput> Forward() {
    MRS_RETURN_IF_ERROR(device_->Use());  // another thread may have loaded
    kernels::cuda::UseWorkspace(PlannedWorkspace());
    kernels::cuda::UseDependentLaunch(dependent_launch_);
    const Batch& batch = *enqueued_.front();
    enqueued_.pop_front();
    const auto logit_rows = static_cast<int64_t>(batch.logit_rows.size());
    // What is exchanged in the stream has the rows of the kernels, which must not depend on how each rank runs them.
    const bool pads = (graphs_ || exchange_->InStream()) && IsDecode(batch);
    const int64_t padded = pads ? GraphRows(logit_rows, most_decode_rows_) : 0;
    const RowsBy of_batch = {1, static_cast<int64_t>(batch.tokens.size()), static_cast<int64_t>(batch.sequence_count()),
                             logit_rows};
    const RowCounts rows = {padded > 0 ? RowsBy{1, padded, padded, padded} : of_batch, of_batch};
    auto& bucket = BucketFor(buckets_, rows.of_kernels[1], rows.of_kernels[2], rows.of_kernels[3]);
    is_under_way_ = true;
    MRS_RETURN_IF_ERROR(CopyInputs(batch, bucket.inputs, rows.of_kernels));
    auto& program = batch.variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
    MRS_RETURN_IF_ERROR(padded > 0 && graphs_ ? graphs_->Run(batch.variant, program, rows)
                                              : steps_->RunAll(program, rows));
    const uint64_t output_bytes = static_cast<uint64_t>(logit_rows) * program.output_row_bytes;
    // None of a stage that does not end the model.
    if (output_bytes > 0) MRS_RETURN_IF_ERROR(CopyOutput(program, rows.of_kernels[3], logit_rows));
    MRS_RETURN_IF_ERROR(steps_->OfRank(exchange_->Finish()));
    is_under_way_ = false;
    has_run_ = true;
    TellGraphs();
    if (batch.variant == Variant::kCandidates) {
      return StepOutput{.candidates = {output_.data(), static_cast<size_t>(output_bytes)}, .logits = {}};
    }
    return StepOutput{.candidates = {},
                      .logits = {reinterpret_cast<const float*>(output_.data()), output_bytes / sizeof(float)}};
  }

  Status LoadWeights(const CudaExecutorOptions& options) {
    MRS_ASSIGN_OR_RETURN(StreamedWeights loaded, LoadDeviceWeights(plan_, rank_, *device_, weights_.data(),
                                                                   {.model_dir = options.model_dir,
                                                                    .threads = options.threads,
                                                                    .progress = options.progress,
                                                                    .pulse = pulse_}));
    if (options.shared_digests != nullptr) *options.shared_digests = std::move(loaded.shared_digests);
    return device_->Finish();
  }

  // How those of the largest batches are done is known before the first forward.
  Status PrepareProducts() {
    for (auto& bucket : buckets_) {
      const RowsBy rows = {1, bucket.tokens, bucket.sequences, bucket.logit_rows};
      for (auto* const program : {&bucket.candidates, &bucket.all_logits}) {
        for (auto& launch : program->launches) {
          const Status prepared = std::visit(
              [&](auto& work) -> Status {
                if constexpr (requires { products_->Prepare(work, int64_t{}); }) {
                  return products_->Prepare(work, rows[static_cast<size_t>(launch.rows)]);
                } else {
                  return Status();
                }
              },
              launch.work);
          if (!prepared.ok()) return steps_->AtStep(launch.step, prepared.error());
        }
      }
    }
    return Status();
  }

  kernels::cuda::Workspace PlannedWorkspace() const {
    return kernels::cuda::WorkspaceOf(workspace_.data(), static_cast<int64_t>(StageOf(plan_, rank_).workspace_bytes()));
  }

  // Until nothing is under way. Graphs go before communicators, and these before a wait for what waits for them.
  void Drain() {
    if (exchange_->OutlivesGraphs()) {
      device_->Forsake();
      if (graphs_) graphs_->Clear();
    }
    exchange_->Abort();
    [[maybe_unused]] const Status done = device_->Finish();
    is_under_way_ = false;
  }

  // The batch's rows. Of a gathering of more, as it is in the stream, each rank's part has such that pad behind them.
  Status CopyOutput(const Program<CudaKernels>& program, int64_t rows_of_kernels, int64_t rows) {
    size_t parts = 1;
    for (const auto& launch : program.launches) {
      const auto* const collective = std::get_if<CollectiveLaunch>(&launch.work);
      if (collective == nullptr || collective->y != program.output) continue;
      parts = exchange_->PartsOf(*collective);
    }
    const uint64_t row_bytes = program.output_row_bytes / parts;
    const uint64_t bytes = static_cast<uint64_t>(rows) * row_bytes;
    const uint64_t padded_bytes = static_cast<uint64_t>(rows_of_kernels) * row_bytes;
    if (parts == 1 || bytes == padded_bytes) {
      return device_->CopyOut(output_.data(), program.output, bytes * parts);
    }
    for (size_t part = 0; part < parts; ++part) {
      MRS_RETURN_IF_ERROR(device_->CopyOut(output_.data() + part * bytes, program.output + part * padded_bytes, bytes));
    }
    return Status();
  }

  // The rotations' frequencies, which the plan's bytes hold, where a kernel can read them.
  Result<std::vector<const float*>> CopyFrequencies() {
    uint64_t count = 0;
    for (const plan::Rope* rope : *plan_.ropes()) count += rope->inv_freq()->size();
    MRS_ASSIGN_OR_RETURN(frequencies_, device_->Allocate("frequencies", count * sizeof(float)));
    std::vector<const float*> copied;
    float* at = reinterpret_cast<float*>(frequencies_.data());
    for (const plan::Rope* rope : *plan_.ropes()) {
      MRS_RETURN_IF_ERROR(device_->CopyIn(at, rope->inv_freq()->data(), rope->inv_freq()->size() * sizeof(float)));
      copied.push_back(at);
      at += rope->inv_freq()->size();
    }
    return copied;
  }

  // Where inputs lie, by the stage's buffers; null: not an input.
  Result<std::vector<std::byte*>> AllocateInputs() {
    const InputPlaces places = PlaceInputs(StageOf(plan_, rank_));
    MRS_ASSIGN_OR_RETURN(inputs_, device_->Allocate("a batch", places.bytes));
    MRS_ASSIGN_OR_RETURN(host_inputs_, device_->AllocateHost("a batch", places.bytes));
    std::vector<std::byte*> of_buffers;
    for (const uint64_t offset : places.offsets) {
      of_buffers.push_back(offset == InputPlaces::kNone ? nullptr : inputs_.data() + offset);
    }
    return of_buffers;
  }

  // A row that is not there is a token 0 at position 0 of the first sequence, which is written nowhere: it may read
  // what it likes, as no row's result depends on another's.
  Status CopyInputs(const Batch& batch, const InputBuffers& to, const RowsBy& rows) {
    const auto tokens = static_cast<size_t>(rows[1]), logit_rows = static_cast<size_t>(rows[3]);
    StepInputs inputs(inputs_.data(), host_inputs_.data());
    inputs.Put(batch.tokens, to.ids, tokens, 0);
    inputs.Put(batch.positions, to.positions, tokens, 0);
    inputs.Put(batch.sequence, to.sequence, tokens, 0);
    inputs.Put(batch.logit_rows, to.logit_rows, logit_rows, 0);
    for (size_t kv_class = 0; kv_class < space_of_class_.size(); ++kv_class) {
      const KvBatch& kv = batch.kv[space_of_class_[kv_class]];
      inputs.Put(kv.slots, to.slots[kv_class], tokens, -1);
      inputs.Put(kv.block_table, to.block_tables[kv_class], 0, 0);
    }
    return device_->CopyIn(inputs_.data(), host_inputs_.data(), inputs.used());
  }

  // As large as any, so that nothing is allocated, nor waited for, between two forwards.
  Status AllocateOutput() {
    uint64_t most = 0;
    for (const GpuBucket& bucket : buckets_) {
      for (const GpuProgram* const program : {&bucket.candidates, &bucket.all_logits}) {
        most = std::max(most, static_cast<uint64_t>(bucket.logit_rows) * program->output_row_bytes);
      }
    }
    MRS_ASSIGN_OR_RETURN(output_, device_->AllocateHost("a result", most));
    return Status();
  }

  // What libraries do first they may not do while a graph is captured, so each of their calls is made once before.
  // Where the driver loads kernels when they are launched first, so is every launch.
  Status CaptureGraphs() {
    kernels::cuda::UseWorkspace(PlannedWorkspace());
    const StepRunner::Which first =
        device_->LoadsLazily() ? StepRunner::Which::kButCuts : StepRunner::Which::kLibraries;
    graphs_.emplace(
        *device_, plan_, rank_, *exchange_, *steps_,
        DecodeGraphs::Options{.most_rows = most_decode_rows_, .dependent_launch = dependent_launch_, .pulse = pulse_});
    MRS_RETURN_IF_ERROR(
        graphs_->CaptureAll(buckets_, [&](GpuBucket& bucket, GpuProgram& program, const RowCounts& rows) {
          return RunNobody(bucket, program, rows, first);
        }));
    TellGraphs();
    return Status();
  }

  // By rows of no batch, which are written nowhere; all ranks do, and what is exchanged in the stream is.
  Status RunNobody(GpuBucket& bucket, GpuProgram& program, const RowCounts& rows, StepRunner::Which which) {
    Batch nobody;
    nobody.kv.resize(bounds_.block_counts.size());
    for (KvBatch& kv : nobody.kv) kv.block_table.assign(bounds_.table_stride, 0);  // rows that are not there read it
    is_under_way_ = true;
    MRS_RETURN_IF_ERROR(CopyInputs(nobody, bucket.inputs, rows.of_kernels));
    MRS_RETURN_IF_ERROR(steps_->RunAll(program, rows, which));
    MRS_RETURN_IF_ERROR(steps_->OfRank(exchange_->Finish()));
    is_under_way_ = false;
    return Status();
  }

  void TellGraphs() {
    if (graph_counts_ != nullptr && graphs_) *graph_counts_ = graphs_->counts();
  }

  static Joined JoinedFor(RehearsalScope rehearsal) {
    if (rehearsal == RehearsalScope::kNone) return Joined::kAsPlanned;
    return rehearsal == RehearsalScope::kLayers ? Joined::kApart : Joined::kButExchanges;
  }

  const plan::Plan& plan_;
  const uint32_t rank_;
  Pulse* const pulse_;  // null: nobody looks
  const BatchBounds bounds_;
  const std::vector<uint32_t> space_of_class_;
  const int64_t most_decode_rows_;
  std::unique_ptr<Device> device_;  // outlives what follows
  DeviceArena weights_, activations_, kv_, workspace_, frequencies_, inputs_, host_inputs_;
  DeviceArena output_;                     // of the host, pinned: so that the copy out does not wait for a copy there
  std::unique_ptr<GpuExchange> exchange_;  // outlives the graphs
  std::optional<GpuProducts> products_;
  std::optional<Error> failed_;  // of a forward by NCCL or peer memory: all that come have failed
  std::vector<BoundBucket<CudaKernels>> buckets_;
  std::optional<StepRunner> steps_;
  std::optional<DecodeGraphs> graphs_;  // none: every step by itself
  bool dependent_launch_ = true;
  bool is_under_way_ = false;  // a forward, until the device has been waited for
  bool has_run_ = false;       // one
  GraphCache::Counts* graph_counts_ = nullptr;
  std::deque<const Batch*> enqueued_;
};

}  // namespace

Result<std::unique_ptr<Executor>> MakeCudaExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world,
                                                   CudaExecutorOptions options) try {
  MRS_RETURN_IF_ERROR(CheckRank(plan, rank, world));
  MRS_ASSIGN_OR_RETURN(const std::vector<KvSpace> spaces, KvSpacesOf(plan));
  auto executor = std::make_unique<CudaExecutor>(plan, rank, spaces, options.pulse);
  MRS_RETURN_IF_ERROR(executor->Load(world, options));
  return std::unique_ptr<Executor>(std::move(executor));
} catch (...) {  // no memory from the standard library
  return Refuse("rank {}: cannot load the plan: {}", rank, CaughtError().message);
}

}  // namespace mrs
