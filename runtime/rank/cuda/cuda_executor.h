// Runs forwards on one GPU in the CPU's arithmetic: loads the rank's weights, binds the plan once, then launches it
// for every batch: decodes as CUDA graphs, captured at start, of a row count padded to the next of 1, 2, 4, ... and the
// plan's most, other batches step by step. The bits of a result are the CPU's.
//
//   MRS_ASSIGN_OR_RETURN(auto executor, MakeCudaExecutor(plan, rank, world, {.model_dir = "models/mini"}));
//   MRS_ASSIGN_OR_RETURN(const StepOutput out, RunForward(*executor, batch));
//
// mrs-exec links one of three: the one for CUDA, the emulator's (mrs-exec-emulated), or no_cuda.cc, which refuses.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/cuda/graph_cache.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/measured.h"
#include "runtime/rank/rehearsal.h"

namespace mrs {

struct CudaExecutorOptions {
  std::string model_dir = {};  // `{rank}` in it stands for the rank's number
  int threads = 1;             // that load
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress = {};
  Pulse* pulse = nullptr;                              // borrowed; null: nobody looks
  RehearsalScope rehearsal = RehearsalScope::kNone;    // kLayers, kAll: on zeros, and no file is opened
  CollectiveTimes* times = nullptr;                    // borrowed; null: nothing is timed
  bool graphs = true;                                  // false: every batch step by step
  bool dependent_launch = true;                        // false: each kernel begins when the one before has ended
  GraphCache::Counts* graph_counts = nullptr;          // borrowed: of the graphs so far
  std::vector<std::string>* shared_digests = nullptr;  // borrowed: gets those of what other ranks read, too
};

// `plan` is verified and, as `world`, outlives the executor; `world` spans all ranks of the plan and is null where that
// is one rank. Errors: weights (rank/cpu/weights.h), a device that is not there, is unlike the plan's or has too little
// memory free.
Result<std::unique_ptr<Executor>> MakeCudaExecutor(const plan::Plan& plan, uint32_t rank, Communicator* world,
                                                   CudaExecutorOptions options);

}  // namespace mrs
