// Turns the plan's steps into launches: once for every bucket and variant, so that a forward looks nothing up.
//
//   MRS_ASSIGN_OR_RETURN(std::vector<BoundBucket> buckets, BindPlan(plan, rank, kernels, arenas));
//   buckets[0].candidates.launches[7]   // the eighth step of the smallest bucket, its addresses resolved
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/cpu/launch.h"

namespace mrs {

// The three arenas of a rank, as large as its stage says; borrowed.
struct Arenas {
  const std::byte* weights = nullptr;
  std::byte* activations = nullptr;
  std::byte* kv = nullptr;
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
struct Program {
  std::vector<Launch> launches;
  const std::byte* output = nullptr;  // [L rows of output_row_bytes]; null on a stage that does not end the model
  uint64_t output_row_bytes = 0;
};

struct BoundBucket {
  int64_t tokens = 0;  // bounds of T, S and L
  int64_t sequences = 0;
  int64_t logit_rows = 0;
  InputBuffers inputs;
  Program candidates;
  Program all_logits;
};

// The plan is verified.
std::vector<BoundBucket> BindPlan(const plan::Plan& plan, uint32_t rank, const kernels::KernelSet& kernels,
                                  const Arenas& arenas);

}  // namespace mrs
