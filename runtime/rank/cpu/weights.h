// Loads one rank's bytes of the checkpoint into its weight arena, packed as the kernels read them.
//
//   MRS_ASSIGN_OR_RETURN(LoadedWeights weights, LoadWeights(plan, rank, "/models/mini", pool, {}));
//   const std::byte* w = weights.arena.data() + weight.offset();
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/cpu/arena.h"
#include "runtime/rank/cpu/thread_pool.h"

namespace mrs {

// Bytes of the checkpoint read so far, of all this rank reads. Called by one thread at a time, about a hundred times.
using LoadProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

struct LoadedWeights {
  Arena arena;
  uint64_t read_bytes = 0;
};

// `model_dir` may contain `{rank}`. Errors: a file that is missing, truncated, of another checkpoint, written to while it
// is read, or with other bytes than the plan has digests of (kRefused), or that cannot be read (kUnavailable).
Result<LoadedWeights> LoadWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir, ThreadPool& pool,
                                  const LoadProgress& progress);

}  // namespace mrs
