// Loads one rank's bytes of the checkpoint into its weight arena, packed as the kernels read them.
//
//   MRS_ASSIGN_OR_RETURN(LoadedWeights weights, LoadWeights(plan, rank, "/models/mini", pool, {}));
//   const std::byte* w = weights.arena.data() + weight.offset();
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/cpu/arena.h"
#include "runtime/rank/cpu/thread_pool.h"
#include "runtime/rank/cpu/weight_loader.h"

namespace mrs {

struct LoadedWeights {
  Arena arena;
  uint64_t read_bytes = 0;
  std::vector<std::string> shared_digests;  // of what other ranks read, too (shared_slices.h), where the plan has none
};

// `model_dir` may contain `{rank}`. Errors: a file that is missing, truncated, of another checkpoint, written to while
// it is read, or with other bytes than the plan has digests of (kRefused), or that cannot be read (kUnavailable).
Result<LoadedWeights> LoadWeights(const plan::Plan& plan, uint32_t rank, const std::string& model_dir, ThreadPool& pool,
                                  const LoadProgress& progress);

// Of a rehearsal: no file is opened. Where `touched`, all of it is memory that nobody else has; else the zeros that the
// kernel shares, which may only be read.
Result<Arena> ZeroWeights(uint64_t size_bytes, bool touched, ThreadPool& pool, const LoadProgress& progress);

}  // namespace mrs
