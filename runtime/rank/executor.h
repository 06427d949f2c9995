// An Executor runs one forward of the plan on one rank.
//
//   Batch batch{.variant = Variant::kCandidates, .tokens = {5, 9, 12}, ...};   // three prompt tokens of one sequence
//   Result<StepOutput> out = executor->Run(batch);                            // the best candidates of its last row
//
// The batch is the supervisor's decision in full: ranks decide nothing. All ranks get the same one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plans/status.h"

namespace mrs {

enum class Variant : uint8_t { kCandidates = 1, kAllLogits = 2 };

// T tokens of S sequences, L rows of which want logits. Prefill chunks and decodes together, in any order.
struct Batch {
  Variant variant = Variant::kCandidates;
  std::vector<int32_t> tokens;       // [T]
  std::vector<int32_t> positions;    // [T], from 0
  std::vector<int32_t> sequence;     // [T]: row of block_table
  std::vector<int32_t> slots;        // [T]: KV block * 32 + position % 32
  std::vector<int32_t> block_table;  // [S, table_stride], unused entries 0
  std::vector<int32_t> logit_rows;   // [L], indices into tokens
  uint32_t table_stride = 0;         // ceil(max_len / 32), as planned
};

// Valid until the next Run.
struct StepOutput {
  std::span<const std::byte> candidates;  // [tp, L] records, as kernels::TopCandidatesArgs describes them
  std::span<const float> logits;          // [tp, L, vocab_padded / tp], f32
};

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs the steps of the batch's variant. Errors: a lost peer (kUnavailable), a silent one (kTimedOut); a batch
  // outside the plan's bounds (kRefused), found before anything ran.
  virtual Result<StepOutput> Run(const Batch& batch) = 0;
};

}  // namespace mrs
