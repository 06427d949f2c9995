// What a batch may hold at most, as planned, and the check of every index in it: after it, the kernels trust the batch.
//
//   MRS_RETURN_IF_ERROR(CheckBatch(BoundsOf(plan, rank, spaces), batch));
//   // "batch: token 3 is 4000, it must be in [0, 2003)"
#pragma once

#include <cstdint>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/kv_spaces.h"

namespace mrs {

struct BatchBounds {
  uint64_t tokens = 0;  // most of one forward
  uint64_t sequences = 0;
  uint64_t logit_rows = 0;
  int64_t vocab = 0;
  int64_t max_len = 0;
  std::vector<int64_t> block_counts;  // [space]
  uint32_t table_stride = 0;          // exactly this
};

// Tokens of one sequence over the tokens of a block: the block table's row.
uint32_t TableStride(const plan::Plan& plan);

BatchBounds BoundsOf(const plan::Plan& plan, uint32_t rank, const std::vector<KvSpace>& spaces);

Status CheckBatch(const BatchBounds& bounds, const Batch& batch);

}  // namespace mrs
