#include "runtime/rank/batch_bounds.h"

#include <algorithm>
#include <limits>
#include <span>

#include "plans/contract.h"
#include "runtime/rank/weight_reads.h"

namespace mrs {
namespace {

Status CheckCount(const char* what, uint64_t count, uint64_t most) {
  if (count <= most) return Status();
  return Refuse("batch: has {} {}, the plan runs at most {}; split it, or rebuild the plan for more", count, what,
                most);
}

Status CheckLength(const char* what, uint64_t count, uint64_t expected) {
  if (count == expected) return Status();
  return Refuse("batch: has {} {} for {} tokens; send one a token", count, what, expected);
}

// Every value lies in [0, end).
Status CheckValues(const char* what, std::span<const int32_t> values, int64_t end) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] >= end) {
      return Refuse("batch: {} {} is {}, it must be in [0, {})", what, i, values[i], end);
    }
  }
  return Status();
}

}  // namespace

uint32_t TableStride(const plan::Plan& plan) {
  return (plan.max_len() + contract::kBlockTokens - 1) / contract::kBlockTokens;
}

BatchBounds BoundsOf(const plan::Plan& plan, uint32_t rank) {
  const plan::Stage& stage = StageOf(plan, rank);
  const plan::Bucket& largest = *stage.buckets()->Get(stage.buckets()->size() - 1);
  uint64_t block_count = std::numeric_limits<int32_t>::max() / contract::kBlockTokens;
  for (const plan::KvClass* kv : *stage.kv_classes()) block_count = std::min(block_count, kv->block_count());
  return {.tokens = largest.tokens(),
          .sequences = largest.sequences(),
          .logit_rows = largest.logit_rows(),
          .vocab = plan.model()->vocab(),
          .max_len = plan.max_len(),
          .block_count = static_cast<int64_t>(block_count),
          .table_stride = TableStride(plan)};
}

Status CheckBatch(const BatchBounds& bounds, const Batch& batch) {
  if (batch.variant != Variant::kCandidates && batch.variant != Variant::kAllLogits) {
    return Refuse("batch: its variant is {}, it must be candidates or all_logits", static_cast<int>(batch.variant));
  }
  if (batch.tokens.empty()) return Refuse("batch: has no tokens; send at least one");
  if (batch.table_stride != bounds.table_stride) {
    return Refuse("batch: its block table has {} blocks a sequence, the plan {}", batch.table_stride,
                  bounds.table_stride);
  }
  const uint64_t sequence_count = batch.block_table.size() / batch.table_stride;
  if (sequence_count * batch.table_stride != batch.block_table.size()) {
    return Refuse("batch: its block table has {} entries, no multiple of {}", batch.block_table.size(),
                  batch.table_stride);
  }
  MRS_RETURN_IF_ERROR(CheckCount("tokens", batch.tokens.size(), bounds.tokens));
  MRS_RETURN_IF_ERROR(CheckCount("sequences", sequence_count, bounds.sequences));
  MRS_RETURN_IF_ERROR(CheckCount("logit rows", batch.logit_rows.size(), bounds.logit_rows));
  MRS_RETURN_IF_ERROR(CheckLength("positions", batch.positions.size(), batch.tokens.size()));
  MRS_RETURN_IF_ERROR(CheckLength("sequence rows", batch.sequence.size(), batch.tokens.size()));
  MRS_RETURN_IF_ERROR(CheckLength("slots", batch.slots.size(), batch.tokens.size()));
  MRS_RETURN_IF_ERROR(CheckValues("token", batch.tokens, bounds.vocab));
  MRS_RETURN_IF_ERROR(CheckValues("position", batch.positions, bounds.max_len));
  MRS_RETURN_IF_ERROR(CheckValues("sequence row", batch.sequence, static_cast<int64_t>(sequence_count)));
  MRS_RETURN_IF_ERROR(CheckValues("slot", batch.slots, bounds.block_count * contract::kBlockTokens));
  MRS_RETURN_IF_ERROR(CheckValues("block table entry", batch.block_table, bounds.block_count));
  return CheckValues("logit row", batch.logit_rows, static_cast<int64_t>(batch.tokens.size()));
}

}  // namespace mrs
