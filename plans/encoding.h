// How weights lie in memory, one row for each way that a rank can read: the bytes of a weight follow from its row.
//
//   EncodedBytes(packed bf16, n 40, chunk_k 6, chunk_count 2)  ->  48 rows * 2 chunks * 32 elements * 2 = 6144
//   EncodedBytes(dense f32, n 40, 0, 0)                        ->  40 * 4 = 160
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "plans/contract.h"
#include "plans/plan_generated.h"

namespace mrs {

struct EncodingRow {
  plan::EncodingKind kind;
  plan::DType dtype;  // of the weights that lie so
  uint32_t row_multiple;
  uint32_t k_multiple;
  uint32_t block_elements;
  uint32_t block_bytes;
};

// All that a plan may name. Another layout, or blocks of quantized values, is another row here and a kernel that reads
// it.
inline constexpr EncodingRow kEncodings[] = {
    {plan::EncodingKind::dense, plan::DType::f32, 1, 1, 1, 4},
    {plan::EncodingKind::packed, plan::DType::f32, contract::kLanes, contract::kGranule, 1, 4},
    {plan::EncodingKind::packed, plan::DType::bf16, contract::kLanes, contract::kGranule, 1, 2},
    {plan::EncodingKind::rows, plan::DType::bf16, contract::kLanes, contract::kGranule, 1, 2},
};

// nullptr: there is none.
constexpr const EncodingRow* FindEncoding(plan::EncodingKind kind, plan::DType dtype) {
  for (const EncodingRow& row : kEncodings) {
    if (row.kind == kind && row.dtype == dtype) return &row;
  }
  return nullptr;
}

// Saturates, whatever the numbers: what does not fit in 64 bits is past every limit.
constexpr uint64_t EncodedBytes(const EncodingRow& row, uint64_t n, uint64_t chunk_k, uint64_t chunk_count) {
  constexpr uint64_t kTop = std::numeric_limits<uint64_t>::max();
  const auto times = [](uint64_t a, uint64_t b) { return a != 0 && b > kTop / a ? kTop : a * b; };
  const auto round_up = [](uint64_t value, uint64_t multiple) {
    return value > kTop - (multiple - 1) ? kTop / multiple * multiple : (value + multiple - 1) / multiple * multiple;
  };
  const bool vector = row.kind == plan::EncodingKind::dense;
  const uint64_t k = vector ? 1 : times(chunk_count, round_up(chunk_k, row.k_multiple));
  return times(times(round_up(n, row.row_multiple), k) / row.block_elements, row.block_bytes);
}

// How the matrices of a plan lie: what tensor cores read is in rows. Both take the same bytes.
constexpr plan::EncodingKind MatrixEncodingKind(plan::Chain chain) {
  return chain == plan::Chain::fast ? plan::EncodingKind::rows : plan::EncodingKind::packed;
}

// Plan.encodings as mrs-plan writes it: vectors first, then the matrices of the plan.
inline constexpr uint32_t kVectorEncoding = 0;
inline constexpr uint32_t kMatrixEncoding = 1;
inline std::vector<std::unique_ptr<plan::EncodingT>> EncodingsFor(plan::DType matrix_dtype, plan::Chain chain) {
  std::vector<std::unique_ptr<plan::EncodingT>> encodings;
  for (const EncodingRow* row : {FindEncoding(plan::EncodingKind::dense, plan::DType::f32),
                                 FindEncoding(MatrixEncodingKind(chain), matrix_dtype)}) {
    encodings.push_back(std::make_unique<plan::EncodingT>());
    if (row == nullptr) continue;  // a type that no matrix has: the verifier says so
    encodings.back()->kind = row->kind;
    encodings.back()->row_multiple = row->row_multiple;
    encodings.back()->k_multiple = row->k_multiple;
    encodings.back()->block_elements = row->block_elements;
    encodings.back()->block_bytes = row->block_bytes;
  }
  return encodings;
}

}  // namespace mrs
