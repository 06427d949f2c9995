// An Executor runs forwards of the plan on one rank, in the order in which it takes them.
//
//   Batch batch{.variant = Variant::kCandidates, .tokens = {5, 9, 12}, ...};   // three prompt tokens of one sequence
//   MRS_RETURN_IF_ERROR(executor->Enqueue(batch));
//   Result<StepOutput> out = executor->Await();                               // the best candidates of its last row
//
// The batch is the supervisor's decision in full: ranks decide nothing. All ranks get the same ones. As many may be
// enqueued before the first is awaited as the plan has stages, so that each stage has one to work on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plans/status.h"

namespace mrs {

enum class Variant : uint8_t { kCandidates = 1, kAllLogits = 2 };

// What a batch says of one space of KV blocks.
struct KvBatch {
  std::vector<int32_t> slots;        // [T]: KV block * 32 + position % 32
  std::vector<int32_t> block_table;  // [S, table_stride], unused entries 0; of a ring, its blocks over and over
};

// T tokens of S sequences, L rows of which want logits. Prefill chunks and decodes together, in any order.
struct Batch {
  Variant variant = Variant::kCandidates;
  std::vector<int32_t> tokens;      // [T]
  std::vector<int32_t> positions;   // [T], from 0
  std::vector<int32_t> sequence;    // [T]: row of the block tables
  std::vector<int32_t> logit_rows;  // [L], indices into tokens
  std::vector<KvBatch> kv;          // one for each of the plan's spaces (kv_spaces.h), at least one
  uint32_t table_stride = 0;        // ceil(max_len / 32), as planned

  // S, as the first block table has it.
  size_t sequence_count() const {
    return kv.empty() || table_stride == 0 ? 0 : kv.front().block_table.size() / table_stride;
  }
};

// Valid until the next Await. Both empty on a rank whose stage does not end the model.
struct StepOutput {
  std::span<const std::byte> candidates;  // [tp, L] records, as kernels::TopCandidatesArgs describes them
  std::span<const float> logits;          // [tp, L, vocab_padded / tp], f32
};

class Executor {
 public:
  virtual ~Executor() = default;
  // Takes a forward, borrowed until its Await returns. A batch outside the plan's bounds is kRefused and not taken.
  virtual Status Enqueue(const Batch& batch) = 0;
  // Returns when the oldest forward that was taken has run. Errors: a lost peer (kUnavailable), a silent one
  // (kTimedOut).
  virtual Result<StepOutput> Await() = 0;
};

// One forward alone.
inline Result<StepOutput> RunForward(Executor& executor, const Batch& batch) {
  MRS_RETURN_IF_ERROR(executor.Enqueue(batch));
  return executor.Await();
}

}  // namespace mrs
