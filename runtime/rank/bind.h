// Turns the plan's steps into launches: once for every bucket and variant, so that a forward looks nothing up.
//
//   MRS_ASSIGN_OR_RETURN(std::vector<BoundBucket> buckets, BindPlan(plan, rank, kernels, arenas));
//   buckets[0].candidates.launches[7]   // the eighth step of the smallest bucket, its addresses resolved
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/launch.h"

namespace mrs {

// The three arenas of a rank, as large as its stage says; borrowed.
struct Arenas {
  const std::byte* weights = nullptr;
  std::byte* activations = nullptr;
  std::byte* kv = nullptr;
  std::span<const uint64_t> weight_offsets = {};   // [Stage.weights], where they are not the plan's (rehearsal.h)
  std::span<const float* const> frequencies = {};  // [Plan.ropes], where the plan's own cannot be read
  std::span<std::byte* const> inputs = {};         // [Stage.buffers], where inputs lie apart; null: no input
};

// Where a batch is copied to before the first step; null: an input that this stage does not have.
struct InputBuffers {
  int32_t* ids = nullptr;              // [T]
  int32_t* positions = nullptr;        // [T]
  int32_t* sequence = nullptr;         // [T]
  int32_t* logit_rows = nullptr;       // [L]
  std::vector<int32_t*> slots;         // [KV class]: [T]
  std::vector<int32_t*> block_tables;  // [KV class]: [S, table_stride]
};

// The steps of one variant, and where they leave its result.
template <typename Set>
struct Program {
  std::vector<Launch<Set>> launches;
  const std::byte* output = nullptr;  // [L rows of output_row_bytes]; null on a stage that does not end the model
  uint64_t output_row_bytes = 0;
};

template <typename Set>
struct BoundBucket {
  int64_t tokens = 0;  // bounds of T, S and L
  int64_t sequences = 0;
  int64_t logit_rows = 0;
  InputBuffers inputs;
  Program<Set> candidates;
  Program<Set> all_logits;
};

// The smallest bucket that holds a batch of so many; the largest does, or the batch is none of the plan's.
template <typename Set>
BoundBucket<Set>& BucketFor(std::vector<BoundBucket<Set>>& buckets, int64_t tokens, int64_t sequences,
                            int64_t logit_rows) {
  return *std::find_if(buckets.begin(), buckets.end() - 1, [&](const BoundBucket<Set>& candidate) {
    return tokens <= candidate.tokens && sequences <= candidate.sequences && logit_rows <= candidate.logit_rows;
  });
}

// Of steps that are one launch: as the plan says; exchanges by themselves, as a rehearsal times each; or each step by
// itself, as of one some layers alone have weights.
enum class Joined : uint8_t { kAsPlanned, kButExchanges, kApart };

// The plan is verified. Of the kernel tables kernels::KernelSet and kernels::cuda::CudaKernels.
template <typename Set>
std::vector<BoundBucket<Set>> BindPlan(const plan::Plan& plan, uint32_t rank, const Set& kernels, const Arenas& arenas,
                                       Joined joined = Joined::kAsPlanned);

}  // namespace mrs
