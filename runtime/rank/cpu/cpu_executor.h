// Runs forwards on the CPU: loads one rank's weights, binds the plan once, then replays it.
//
//   MRS_ASSIGN_OR_RETURN(auto executor, MakeCpuExecutor(opened.plan(), rank, world, {.model_dir = "models/mini"}));
//   MRS_ASSIGN_OR_RETURN(const StepOutput out, RunForward(*executor, batch));
//
// The bits of a result depend on neither threads nor instruction set nor batch nor bucket nor number of ranks.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/rank/batch_bounds.h"
#include "runtime/rank/bind.h"
#include "runtime/rank/cpu/arena.h"
#include "runtime/rank/cpu/thread_pool.h"
#include "runtime/rank/cpu/weights.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/kv_spaces.h"
#include "runtime/rank/measured.h"
#include "runtime/rank/memory_need.h"
#include "runtime/rank/rehearsal.h"

namespace mrs {

struct CpuExecutorOptions {
  std::string model_dir = {};  // `{rank}` in it stands for the rank's number
  int threads = 1;
  kernels::Isa isa = kernels::DetectIsa();
  bool spin = true;  // false where the host runs more ranks x threads than it has cores
  LoadProgress progress = {};
  Pulse* pulse = nullptr;  // borrowed; told of every operation, and of what gets on within one
  std::optional<HostMemory> host_memory = {};        // absent: read from the host
  RehearsalScope rehearsal = RehearsalScope::kNone;  // kLayers, kAll: on zeros, and no file is opened
  CollectiveTimes* times = nullptr;                  // borrowed; null: nothing is timed
};

// For the line at start.
struct ExecutorCounters {
  uint64_t weight_bytes = 0;  // arenas
  uint64_t activation_bytes = 0;
  uint64_t kv_bytes = 0;
  uint64_t read_bytes = 0;  // of the checkpoint
  uint64_t step_count = 0;  // of one forward that returns candidates
  uint64_t forward_count = 0;
  uint64_t steps_run = 0;
};

class CpuExecutor final : public Executor {
 public:
  Status Enqueue(const Batch& batch) override;
  // Cores have no queue of their own: the forward runs here.
  Result<StepOutput> Await() override;
  const ExecutorCounters& counters() const { return counters_; }
  // Of what other ranks read, too (shared_slices.h); once.
  std::vector<std::string> TakeSharedDigests() { return std::move(shared_digests_); }

 private:
  friend Result<std::unique_ptr<CpuExecutor>> MakeCpuExecutor(const plan::Plan&, uint32_t, Communicator*,
                                                              CpuExecutorOptions);
  CpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world, const std::vector<KvSpace>& spaces,
              const CpuExecutorOptions& options);
  Status Load(const CpuExecutorOptions& options);
  void CopyInputs(const Batch& batch, const InputBuffers& inputs) const;
  Status RunCollective(const CollectiveLaunch& collective, int64_t rows);
  Error AtStep(const Launch<kernels::KernelSet>& launch, const Error& error) const;

  const plan::Plan& plan_;
  const uint32_t rank_;
  Communicator* const world_;            // null: one rank
  Pulse* const pulse_;                   // null: nobody watches
  std::unique_ptr<Communicator> group_;  // of the collectives; null: one rank
  const BatchBounds bounds_;
  const std::vector<uint32_t> space_of_class_;
  CollectiveTimes* const times_;
  std::deque<const Batch*> enqueued_;
  ThreadPool pool_;
  Arena weights_;
  Arena activations_;
  Arena kv_;
  std::vector<BoundBucket<kernels::KernelSet>> buckets_;
  ExecutorCounters counters_;
  std::vector<std::string> shared_digests_;
};

// `plan` is verified and, as `world`, outlives the executor; `world` spans all ranks of the plan and is null where that
// is one rank. Errors: weights (weights.h), too little memory, a rank or an op that is not for this
// executor.
Result<std::unique_ptr<CpuExecutor>> MakeCpuExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world,
                                                     CpuExecutorOptions options);

}  // namespace mrs
