// What a plan says of bytes is what the kernels mean by them: checked by the compiler, here, where both are known.
#include "plans/contract.h"

#include "kernels/kernels.h"
#include "kernels/rows.h"
#include "plans/encoding.h"

namespace mrs {
namespace {

static_assert(kernels::kLanes == contract::kLanes);
static_assert(kernels::kGranule == contract::kGranule);
static_assert(kernels::kBlockTokens == contract::kBlockTokens);
static_assert(kernels::kVocabChunks == contract::kVocabChunks);
static_assert(kernels::kMaxCandidates == contract::kMaxCandidates);
static_assert(static_cast<int>(kernels::Chain::kPair2) == static_cast<int>(plan::Chain::pair2));
static_assert(static_cast<int>(kernels::Chain::kBlock32) == static_cast<int>(plan::Chain::block32));

// Neither a multiple of anything nor alike, and the smallest there are.
struct Shape {
  int64_t n, chunk_k, chunk_count;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {40, 6, 2}, {16, 32, 4}, {17, 33, 16}, {1009, 997, 8}};

constexpr bool RecordsAgree() {
  for (const Shape& shape : kShapes) {
    if (static_cast<uint64_t>(kernels::TopCandidatesRecordBytes(shape.n, shape.chunk_count)) !=
        contract::CandidateRecordBytes(shape.n, shape.chunk_count)) {
      return false;
    }
  }
  return true;
}
static_assert(RecordsAgree());

constexpr bool MatricesAgree(plan::EncodingKind kind, plan::DType dtype, uint64_t element_bytes) {
  for (const Shape& shape : kShapes) {
    const kernels::PackedShape packed = {.n = shape.n, .chunk_k = shape.chunk_k, .chunk_count = shape.chunk_count};
    const int64_t rows = (shape.n + kernels::kLanes - 1) / kernels::kLanes * kernels::kLanes;
    const int64_t elements = kernels::PackedElements(packed);
    if (elements != rows * kernels::RowElements(packed) ||
        static_cast<uint64_t>(elements) * element_bytes !=
            EncodedBytes(*FindEncoding(kind, dtype), shape.n, shape.chunk_k, shape.chunk_count)) {
      return false;
    }
  }
  return true;
}
static_assert(MatricesAgree(plan::EncodingKind::packed, plan::DType::f32, 4));
static_assert(MatricesAgree(plan::EncodingKind::packed, plan::DType::bf16, 2));
static_assert(MatricesAgree(plan::EncodingKind::rows, plan::DType::bf16, 2));

}  // namespace
}  // namespace mrs
