// Reads a rank's weights for a device that packs them, window by window, through memory of the host that it reaches:
// while it takes what one buffer has, the next window is read and checked into the other. The host needs no more than
// the buffers.
//
//   const WeightBuffers need = BuffersFor(PlanWeightReads(plan, rank));      // weight_tiles.h
//   const WeightSink sink = {.bytes = need.bytes, .buffers = {one, other}, .put = ..., .wait = ...};
//   MRS_ASSIGN_OR_RETURN(const StreamedWeights streamed, StreamWeights(plan, rank, "/models/mini", pool, sink, {}));
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/cpu/thread_pool.h"
#include "runtime/rank/cpu/weight_loader.h"

namespace mrs {

struct WeightSink {
  uint64_t bytes = 0;                   // of each buffer; as BuffersFor has it
  std::array<std::byte*, 2> buffers{};  // borrowed; the second is null where there is one
  // Begins to bring a run of rows, dense from `rows` on, to where the weight has them, after what was put before; they
  // are borrowed until `wait`.
  std::function<Status(const WeightRead& read, const WeightRun& run, const std::byte* rows)> put;
  // Until all that was put is there.
  std::function<Status()> wait;
};

struct StreamedWeights {
  uint64_t read_bytes = 0;
  std::vector<std::string> shared_digests;  // as LoadedWeights has them
};

// Each row once. Nothing that was put is under way when it returns. Errors as LoadWeights has them, and the sink's;
// after one, what the device holds is of no use.
Result<StreamedWeights> StreamWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir,
                                      ThreadPool& pool, const WeightSink& sink, const LoadProgress& progress);

}  // namespace mrs
