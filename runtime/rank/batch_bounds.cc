#include "runtime/rank/batch_bounds.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

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

uint32_t TableStride(const plan::Plan& plan) { return static_cast<uint32_t>(contract::KvBlocks(plan.max_len())); }

BatchBounds BoundsOf(const plan::Plan& plan, uint32_t rank, const std::vector<KvSpace>& spaces) {
  const plan::Stage& stage = StageOf(plan, rank);
  const plan::Bucket& largest = *stage.buckets()->Get(stage.buckets()->size() - 1);
  std::vector<int64_t> block_counts;
  for (const KvSpace& space : spaces) {
    constexpr uint64_t kMost = std::numeric_limits<int32_t>::max() / contract::kBlockTokens;  // slots are 32 bits
    block_counts.push_back(static_cast<int64_t>(std::min(kMost, space.block_count)));
  }
  return {.tokens = largest.tokens(),
          .sequences = largest.sequences(),
          .logit_rows = largest.logit_rows(),
          .vocab = plan.model()->vocab(),
          .max_len = plan.max_len(),
          .block_counts = std::move(block_counts),
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
  if (batch.kv.size() != bounds.block_counts.size()) {
    return Refuse("batch: has slots and block tables of {} spaces of KV blocks, the plan has {}", batch.kv.size(),
                  bounds.block_counts.size());
  }
  const uint64_t sequence_count = batch.sequence_count();
  for (const KvBatch& kv : batch.kv) {
    if (kv.block_table.size() % batch.table_stride != 0) {
      return Refuse("batch: its block table has {} entries, no multiple of {}", kv.block_table.size(),
                    batch.table_stride);
    }
    if (kv.block_table.size() != sequence_count * batch.table_stride) {
      return Refuse("batch: one of its block tables is of {} sequences, another of {}",
                    kv.block_table.size() / batch.table_stride, sequence_count);
    }
  }
  MRS_RETURN_IF_ERROR(CheckCount("tokens", batch.tokens.size(), bounds.tokens));
  MRS_RETURN_IF_ERROR(CheckCount("sequences", sequence_count, bounds.sequences));
  MRS_RETURN_IF_ERROR(CheckCount("logit rows", batch.logit_rows.size(), bounds.logit_rows));
  MRS_RETURN_IF_ERROR(CheckLength("positions", batch.positions.size(), batch.tokens.size()));
  MRS_RETURN_IF_ERROR(CheckLength("sequence rows", batch.sequence.size(), batch.tokens.size()));
  MRS_RETURN_IF_ERROR(CheckValues("token", batch.tokens, bounds.vocab));
  MRS_RETURN_IF_ERROR(CheckValues("position", batch.positions, bounds.max_len));
  MRS_RETURN_IF_ERROR(CheckValues("sequence row", batch.sequence, static_cast<int64_t>(sequence_count)));
  for (size_t space = 0; space < batch.kv.size(); ++space) {
    const KvBatch& kv = batch.kv[space];
    const int64_t block_count = bounds.block_counts[space];
    MRS_RETURN_IF_ERROR(CheckLength("slots", kv.slots.size(), batch.tokens.size()));
    MRS_RETURN_IF_ERROR(CheckValues("slot", kv.slots, block_count * contract::kBlockTokens));
    MRS_RETURN_IF_ERROR(CheckValues("block table entry", kv.block_table, block_count));
  }
  return CheckValues("logit row", batch.logit_rows, static_cast<int64_t>(batch.tokens.size()));
}

}  // namespace mrs
