#include "runtime/world/message_limits.h"

#include <algorithm>

#include "plans/contract.h"
#include "runtime/rank/batch_bounds.h"
#include "runtime/world/wire.h"

namespace mrs {
namespace {

uint32_t AtLeastControl(uint64_t bytes) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(bytes, wire::kMaxControlBytes, UINT32_MAX));
}

}  // namespace

uint32_t MaxResultBytes(const plan::Plan& plan) {
  const plan::Stage& stage = *plan.stages()->Get(plan.stages()->size() - 1);
  const uint64_t rows = stage.buckets()->Get(stage.buckets()->size() - 1)->logit_rows();
  uint64_t record_bytes = 0;
  for (const plan::TopCandidatesAttr* attr : *stage.candidates()) {
    record_bytes = std::max(record_bytes, contract::CandidateRecordBytes(attr->k(), attr->chunk_count()));
  }
  return AtLeastControl(
      wire::ResultBodyBytes(rows * plan.tp() * record_bytes, rows * uint64_t{plan.model()->vocab_padded()}));
}

uint32_t MaxBatchBytes(const plan::Plan& plan, uint64_t kv_spaces) {
  wire::BatchCounts most{.spaces = kv_spaces, .table_stride = TableStride(plan)};
  for (const plan::Stage* stage : *plan.stages()) {
    const plan::Bucket& bucket = *stage->buckets()->Get(stage->buckets()->size() - 1);
    most.tokens = std::max<uint64_t>(most.tokens, bucket.tokens());
    most.sequences = std::max<uint64_t>(most.sequences, bucket.sequences());
    most.logit_rows = std::max<uint64_t>(most.logit_rows, bucket.logit_rows());
  }
  return AtLeastControl(wire::BatchBodyBytes(most));
}

}  // namespace mrs
