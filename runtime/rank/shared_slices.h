// Which bytes of the checkpoint several ranks read, so that copies of it that differ are told from each other although
// the plan has no digests of them.
//
//   const SharedSlices shared = SharedSlicesOf(plan);   // of tp 2: norms and biases; with too few KV heads, keys, too
//   shared.of_rank[1][0]                                // {.read = 4, .slice = 0}: its fifth read is slice 0
//   CompareShared(plan, shared, digests).message()
//   // "model.safetensors: tensor l0.norm, slice 0 of 1: ranks 0 and 1 read different bytes (XXH3-128 ..., ...); ..."
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

struct SharedRead {
  uint32_t read = 0;   // index into PlanWeightReads of the rank
  uint32_t slice = 0;  // the same where the bytes should be
};

struct SharedSlices {
  std::vector<std::vector<SharedRead>> of_rank;  // in the order of its reads
  uint64_t bytes = 0;                            // that all ranks together read of them
  uint64_t all_bytes = 0;                        // that they read at all
};

// Of a verified plan. The same bytes are the same place in the same file, read in the same form.
SharedSlices SharedSlicesOf(const plan::Plan& plan);

// The XXH3-128 of each of a rank's shared reads (plans/slice_digest.h), by rank and in their order. Names the first
// tensor in which two ranks differ.
Status CompareShared(const plan::Plan& plan, const SharedSlices& shared,
                     const std::vector<std::vector<std::string>>& digests);

}  // namespace mrs
