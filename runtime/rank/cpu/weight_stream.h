// Packs a rank's weights on the host, window by window, for a device: while one buffer's window is on its way, the next
// is read, checked and packed into the other. The host needs no more than the buffers.
//
//   const WeightBuffers need = BuffersFor(stage, PlanWeightReads(plan, rank));      // weight_tiles.h
//   const WeightSink sink = {.bytes = need.bytes, .buffers = {one, other}, .copy = ..., .wait = ...};
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
  // Begins to copy to bytes [at, at + bytes) of the arena, after earlier copies; `from` is borrowed until `wait`.
  std::function<Status(uint64_t at, const std::byte* from, uint64_t bytes)> copy;
  // Until all copies so far are made.
  std::function<Status()> wait;
};

struct StreamedWeights {
  uint64_t read_bytes = 0;
  std::vector<std::string> shared_digests;  // as LoadedWeights has them
};

// Into an arena of zeros: what no tensor fills is not copied everywhere. No copy is under way when it returns. Errors
// as LoadWeights has them, and the sink's; after one, what the arena holds is of no use.
Result<StreamedWeights> StreamWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir,
                                      ThreadPool& pool, const WeightSink& sink, const LoadProgress& progress);

}  // namespace mrs
