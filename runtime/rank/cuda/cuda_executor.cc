#include "runtime/rank/cuda/cuda_executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "host/output.h"
#include "host/process.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/fast.h"
#include "plans/collectives.h"
#include "plans/cuda_graphs.h"
#include "plans/device_model.h"
#include "runtime/rank/batch_bounds.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cuda/device.h"
#include "runtime/rank/cuda/device_memory.h"
#include "runtime/rank/cuda/device_weights.h"
#include "runtime/rank/cuda/gpu_exchange.h"
#include "runtime/rank/cuda/gpu_products.h"
#include "runtime/rank/cuda/staged.h"
#include "runtime/rank/cuda/step_inputs.h"
#include "runtime/rank/exchange.h"
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

// Rows of a step, by plan::Rows: as kernels run them, and those that the batch has.
using RowsBy = std::array<int64_t, 4>;
struct RowCounts {
  RowsBy of_kernels, of_batch;
};

// A decode: each token is another sequence's, and wants logits.
bool IsDecode(const Batch& batch) {
  return batch.tokens.size() == batch.sequence_count() && batch.tokens.size() == batch.logit_rows.size();
}

// A device is given many steps before it has done the first; how far it is, is counted by so many.
constexpr uint32_t kStepsAMark = 8;

// How many forwards' graphs the plan counts.
size_t PlannedGraphs(Collectives collectives, const plan::Stage& stage) {
  int64_t cuts = 0;
  for (const plan::Step* step : *stage.steps()) cuts += IsCutBy(collectives, step->op()) ? 1 : 0;
  return static_cast<size_t>(stage.graphs_bytes()) / static_cast<size_t>(GraphBytes(stage.steps()->size(), cuts));
}

// Whether the stage runs anything for one of the variants alone. One that does not end the model runs nothing such, and
// its graphs of a size are one.
bool HasVariants(const plan::Stage& stage) {
  return std::any_of(stage.steps()->begin(), stage.steps()->end(),
                     [](const plan::Step* step) { return step->variant() != plan::Variant::always; });
}

template <typename Args>
int Start(KernelLaunch<CudaKernels, Args>& launch, int64_t rows, void* stream) {
  RowsOf(launch.args) = rows * launch.rows_per_row;
  return launch.kernel(launch.args, stream);
}

class CudaExecutor final : public Executor {
 public:
  CudaExecutor(const plan::Plan& plan, uint32_t rank, const std::vector<KvSpace>& spaces, Pulse* pulse)
      : plan_(plan),
        rank_(rank),
        pulse_(pulse),
        bounds_(BoundsOf(plan, rank, spaces)),
        space_of_class_(SpacesOfClasses(spaces, StageOf(plan, rank))),
        most_decode_rows_(static_cast<int64_t>(std::min({bounds_.tokens, bounds_.sequences, bounds_.logit_rows}))),
        has_variants_(HasVariants(StageOf(plan, rank))) {}

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
    times_ = options.times;
    graph_counts_ = options.graph_counts;
    products_.emplace(*device_, kernels, PlannedWorkspace(), is_fast);
    if (is_fast) MRS_RETURN_IF_ERROR(PrepareProducts());
    MRS_RETURN_IF_ERROR(device_->Finish());
    const bool loads_lazily = device_->LoadsLazily();
    const bool runs_first = options.graphs && times_ == nullptr && loads_lazily;  // where it exchanges in its stream
    MRS_RETURN_IF_ERROR(exchange_->Meet({.decodes = {.most_rows = most_decode_rows_, .runs_before_capture = runs_first},
                                         .workspace = PlannedWorkspace(),
                                         .launches = buckets_.front().all_logits.launches}));
    with_graphs_ = options.graphs && !(times_ != nullptr && exchange_->InStream());  // nothing is timed inside of one
    if (with_graphs_) {
      kernels::cuda::UseWorkspace(PlannedWorkspace());
      MRS_RETURN_IF_ERROR(CaptureGraphs(/*runs_first=*/loads_lazily));
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
    const bool pads = (with_graphs_ || exchange_->InStream()) && IsDecode(batch);
    const int64_t padded = pads ? GraphRows(logit_rows, most_decode_rows_) : 0;
    const RowsBy of_batch = {1, static_cast<int64_t>(batch.tokens.size()), static_cast<int64_t>(batch.sequence_count()),
                             logit_rows};
    const RowCounts rows = {padded > 0 ? RowsBy{1, padded, padded, padded} : of_batch, of_batch};
    auto& bucket = BucketFor(buckets_, rows.of_kernels[1], rows.of_kernels[2], rows.of_kernels[3]);
    is_under_way_ = true;
    MRS_RETURN_IF_ERROR(CopyInputs(batch, bucket.inputs, rows.of_kernels));
    auto& program = batch.variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
    MRS_RETURN_IF_ERROR(padded > 0 && with_graphs_ ? RunDecode(KeyOf(padded, batch.variant), program, rows)
                                                   : RunSteps(program, rows));
    const uint64_t output_bytes = static_cast<uint64_t>(logit_rows) * program.output_row_bytes;
    if (output_bytes > 0) {  // none of a stage that does not end the model
      MRS_RETURN_IF_ERROR(output_.Grow(*device_, "a result", output_bytes));
      MRS_RETURN_IF_ERROR(CopyOutput(program, rows.of_kernels[3], logit_rows));
    }
    MRS_RETURN_IF_ERROR(OfRank(exchange_->Finish()));
    is_under_way_ = false;
    has_run_ = true;
    if (graph_counts_ != nullptr) *graph_counts_ = graphs_.counts;
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
          if (!prepared.ok()) return AtStep(launch.step, prepared.error());
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
      graphs_.Clear();
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

  GraphCache::Key KeyOf(int64_t rows, Variant variant) const {
    return {.rows = rows, .variant = has_variants_ ? variant : Variant::kCandidates};
  }

  // All that the plan counts, of the fewest rows first. `runs_first`: each once, before it is captured.
  Status CaptureGraphs(bool runs_first) {
    const auto begun = std::chrono::steady_clock::now();
    const size_t planned = PlannedGraphs(CollectivesOf(plan_), StageOf(plan_, rank_));
    for (int64_t rows = 0; rows < most_decode_rows_;) {
      rows = GraphRows(rows + 1, most_decode_rows_);
      const RowCounts counts = {.of_kernels = {1, rows, rows, rows}, .of_batch = {1, 0, 0, 0}};
      auto& bucket = BucketFor(buckets_, rows, rows, rows);
      for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
        auto& program = variant == Variant::kCandidates ? bucket.candidates : bucket.all_logits;
        // Also of what needs no graph here: ranks of another stage run it, and wait for this one.
        if (runs_first) MRS_RETURN_IF_ERROR(LoadKernels(program, bucket.inputs, counts));
        const GraphCache::Key key = KeyOf(rows, variant);
        if (graphs_.Find(key) != nullptr || graphs_.size() == planned) continue;  // of more, steps run one by one
        MRS_ASSIGN_OR_RETURN(GraphCache::Graphs captured, Capture(program, counts));
        graphs_.Keep(key, std::move(captured));
      }
    }
    graphs_.counts.capture_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (graph_counts_ != nullptr) *graph_counts_ = graphs_.counts;
    return Status();
  }

  // Runs what is to be captured once, as the capture of a kernel that the driver has yet to load may fail. By rows of
  // no batch, which are written nowhere; all ranks do, and what is exchanged in the stream is.
  Status LoadKernels(Program<CudaKernels>& program, const InputBuffers& inputs, const RowCounts& rows) {
    Batch nobody;
    nobody.kv.resize(bounds_.block_counts.size());
    for (KvBatch& kv : nobody.kv) kv.block_table.assign(bounds_.table_stride, 0);  // rows that are not there read it
    is_under_way_ = true;
    MRS_RETURN_IF_ERROR(CopyInputs(nobody, inputs, rows.of_kernels));
    MRS_RETURN_IF_ERROR(RunSteps(program, rows, /*with_cuts=*/false));
    MRS_RETURN_IF_ERROR(OfRank(exchange_->Finish()));
    is_under_way_ = false;
    return Status();
  }

  // By graphs, where its size has some.
  Status RunDecode(const GraphCache::Key& key, Program<CudaKernels>& program, const RowCounts& rows) {
    const GraphCache::Graphs* const graphs = graphs_.Find(key);
    if (graphs == nullptr) return RunSteps(program, rows);
    if (pulse_ != nullptr) pulse_->Expect(static_cast<uint32_t>(program.launches.size()));
    size_t next = 0;
    for (size_t at = 0; at < program.launches.size();) {
      if (pulse_ != nullptr) pulse_->At(static_cast<uint32_t>(at + 1), program.launches[at].step);
      const size_t end = SegmentEnd(program, at);
      Status done = end > at ? device_->Launch((*graphs)[next++]) : RunExchange(program.launches[at], rows);
      if (done.ok() && end > at) done = device_->Mark();
      if (!done.ok()) return AtStep(program.launches[at].step, done.error());
      MRS_RETURN_IF_ERROR(OfRank(exchange_->MakeRoom()));
      at = std::max(end, at + 1);
    }
    ++graphs_.counts.launched;
    return Status();
  }

  // A graph a segment; nothing runs, and nothing is exchanged.
  Result<GraphCache::Graphs> Capture(Program<CudaKernels>& program, const RowCounts& rows) {
    GraphCache::Graphs graphs;
    for (size_t at = 0; at < program.launches.size();) {
      const size_t end = SegmentEnd(program, at);
      if (end > at) {
        Result<DeviceGraph> captured = device_->Capture([&]() -> Status {
          for (size_t i = at; i < end; ++i) {
            const Status kept = Run(program.launches[i], rows);
            if (!kept.ok()) return AtStep(program.launches[i].step, kept.error());
          }
          return Status();
        });
        if (!captured.ok()) {
          return Error{
              captured.error().kind,
              fmt::format("rank {}: {}; --cuda-graphs off runs every step by itself{}", rank_, captured.message(),
                          dependent_launch_ ? ", --dependent-launch off no kernel before its turn" : "")};
        }
        graphs.push_back(std::move(*captured));
      }
      at = std::max(end, at + 1);
    }
    return graphs;
  }

  static Joined JoinedFor(RehearsalScope rehearsal) {
    if (rehearsal == RehearsalScope::kNone) return Joined::kAsPlanned;
    return rehearsal == RehearsalScope::kLayers ? Joined::kApart : Joined::kButExchanges;
  }

  // Of the launches from `begin` on that one graph holds; `begin`, where it is an exchange.
  size_t SegmentEnd(const Program<CudaKernels>& program, size_t begin) const {
    const auto first = program.launches.begin();
    const auto cut = std::find_if(first + static_cast<std::ptrdiff_t>(begin), program.launches.end(),
                                  [&](const auto& launch) { return exchange_->IsCut(launch); });
    return static_cast<size_t>(cut - first);
  }

  // `with_cuts`: false leaves out what goes through the host.
  Status RunSteps(Program<CudaKernels>& program, const RowCounts& rows, bool with_cuts = true) {
    if (pulse_ != nullptr) pulse_->Expect(static_cast<uint32_t>(program.launches.size()));
    uint32_t operation = 0;
    for (auto& launch : program.launches) {
      if (pulse_ != nullptr) pulse_->At(++operation, launch.step);
      const bool is_cut = exchange_->IsCut(launch);
      if (is_cut && !with_cuts) continue;
      Status ran = is_cut ? RunExchange(launch, rows) : Run(launch, rows);
      if (ran.ok() && operation % kStepsAMark == 0) ran = device_->Mark();
      if (!ran.ok()) return AtStep(launch.step, ran.error());
      MRS_RETURN_IF_ERROR(OfRank(exchange_->MakeRoom()));
    }
    return Status();
  }

  // Only rows of the batch: with rows that pad, a gathering's parts would not lie as the batch's result does.
  Status RunExchange(const Launch<CudaKernels>& launch, const RowCounts& rows) {
    const int64_t count = rows.of_batch[static_cast<size_t>(launch.rows)];
    if (times_ != nullptr) MRS_RETURN_IF_ERROR(device_->Finish());  // what is timed is the exchange
    const auto* const collective = std::get_if<CollectiveLaunch>(&launch.work);
    if (collective != nullptr) {
      return Timed(times_, *collective, count, [&] { return exchange_->Run(*collective, count); });
    }
    const auto& transfer = std::get<TransferLaunch>(launch.work);
    return Timed(times_, transfer, count, [&] { return exchange_->Run(transfer, count); });
  }

  Status Run(Launch<CudaKernels>& launch, const RowCounts& counts) {
    const int64_t rows = counts.of_kernels[static_cast<size_t>(launch.rows)];
    if (const auto* const collective = std::get_if<CollectiveLaunch>(&launch.work)) {
      return exchange_->IsAlone() ? exchange_->Run(*collective, rows) : RunInStream(*collective, rows);
    }
    if (auto* const joined = std::get_if<SumNormLaunch>(&launch.work)) {
      joined->norm.args.rows = rows;
      return exchange_->Run(*joined, rows);
    }
    if (const auto* const transfer = std::get_if<TransferLaunch>(&launch.work)) return RunInStream(*transfer, rows);
    return std::visit(
        [&](auto& work) -> Status {
          if constexpr (requires { Start(work, rows, device_->stream()); }) {
            return device_->Launched(Start(work, rows, device_->stream()));
          } else if constexpr (requires { products_->Run(work, rows); }) {
            return products_->Run(work, rows);
          } else {
            return Status();
          }
        },
        launch.work);
  }

  // Where it is timed, by itself: from an empty stream until that is empty again.
  template <typename Exchanged>
  Status RunInStream(const Exchanged& launch, int64_t rows) {
    if (times_ == nullptr) return exchange_->Run(launch, rows);
    MRS_RETURN_IF_ERROR(exchange_->Finish());
    return Timed(times_, launch, rows, [&]() -> Status {
      MRS_RETURN_IF_ERROR(exchange_->Run(launch, rows));
      return exchange_->Finish();
    });
  }

  // Of a wait for the stream: which step it was of is not known.
  Status OfRank(const Status& done) const {
    if (done.ok()) return done;
    return Error{done.error().kind, fmt::format("rank {}: {}", rank_, done.message())};
  }

  Error AtStep(uint32_t index, const Error& error) const {
    const plan::Step& step = *StageOf(plan_, rank_).steps()->Get(index);
    return Error{error.kind, fmt::format("rank {} step {} '{}': {}", rank_, index,
                                         plan_.names()->Get(step.name())->c_str(), error.message)};
  }

  const plan::Plan& plan_;
  const uint32_t rank_;
  Pulse* const pulse_;  // null: nobody looks
  const BatchBounds bounds_;
  const std::vector<uint32_t> space_of_class_;
  const int64_t most_decode_rows_;
  const bool has_variants_;
  std::unique_ptr<Device> device_;  // outlives what follows
  DeviceArena weights_, activations_, kv_, workspace_, frequencies_, inputs_, host_inputs_;
  PinnedBytes output_;                     // so that the copy out does not wait for a copy on the host
  std::unique_ptr<GpuExchange> exchange_;  // outlives the graphs
  std::optional<GpuProducts> products_;
  std::optional<Error> failed_;  // of a forward by NCCL or peer memory: all that come have failed
  std::vector<BoundBucket<CudaKernels>> buckets_;
  CollectiveTimes* times_ = nullptr;
  bool with_graphs_ = true, dependent_launch_ = true;
  bool is_under_way_ = false;  // a forward, until the device has been waited for
  bool has_run_ = false;       // one
  GraphCache graphs_;
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
