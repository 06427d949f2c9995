// Token ids to rows, rows to candidates: both ends of the model.
#include <limits>

#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {

void Embed(const EmbedArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t width = args.shape.chunk_k;
  const int64_t padded = (width + kGranule - 1) / kGranule * kGranule;
  for (int64_t row = item_begin; row < item_end; ++row) {
    const int64_t id = args.ids[row] - args.vocab_begin;
    float* y = args.y + row * width;
    for (int64_t k = 0; k < width; ++k) {
      const int64_t at = (id / kLanes * padded + (k & ~int64_t{1})) * kLanes + id % kLanes * 2 + (k & 1);
      if (id < 0 || id >= args.shape.n) {
        y[k] = 0.0f;
      } else if (args.table_type == Type::kBf16) {
        y[k] = F32FromBf16(static_cast<const bf16*>(args.table)[at]) + 0.0f;
      } else {
        y[k] = static_cast<const float*>(args.table)[at] + 0.0f;
      }
    }
  }
}

void SelectRows(const SelectRowsArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin; i < item_end; ++i) {
    const float* x = args.x + args.rows[i] * args.width;
    for (int64_t k = 0; k < args.width; ++k) args.y[i * args.width + k] = x[k];
  }
}

namespace {

// Logit descending, NaN last. Ids decide between equals by the order of insertion.
bool Better(float a, float b) { return b != b ? a == a : a > b; }

int64_t Clamp(int64_t value, int64_t low, int64_t high) { return value < low ? low : value > high ? high : value; }

}  // namespace

void TopCandidates(const TopCandidatesArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t width = args.chunk_size * args.chunk_count;
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* logits = args.logits + row * width;
    std::byte* record = args.records + row * TopCandidatesRecordBytes(args.k, args.chunk_count);
    int32_t ids[kMaxCandidates];
    float best[kMaxCandidates];
    int64_t found = 0;
    const int64_t valid = Clamp(args.vocab_valid - args.vocab_begin, 0, width);
    for (int64_t i = 0; i < valid && args.k > 0; ++i) {
      if (found == args.k && !Better(logits[i], best[found - 1])) continue;
      int64_t at = found < args.k ? found++ : found - 1;
      for (; at > 0 && Better(logits[i], best[at - 1]); --at) {
        best[at] = best[at - 1];
        ids[at] = ids[at - 1];
      }
      best[at] = logits[i];
      ids[at] = static_cast<int32_t>(args.vocab_begin + i);
    }
    for (; found < args.k; ++found) {
      best[found] = -std::numeric_limits<float>::infinity();
      ids[found] = -1;
    }
    std::memcpy(record, ids, static_cast<size_t>(args.k) * 4);
    std::memcpy(record + args.k * 4, best, static_cast<size_t>(args.k) * 4);
    for (int64_t chunk = 0; chunk < args.chunk_count; ++chunk) {
      const int64_t first = chunk * args.chunk_size;
      const LsePartial partial = ChunkLse(logits + first, Clamp(valid - first, 0, args.chunk_size));
      std::memcpy(record + args.k * 8 + chunk * 8, &partial.max, 4);
      std::memcpy(record + args.k * 8 + chunk * 8 + 4, &partial.sum, 4);
    }
  }
}

}  // namespace mrs::kernels::reference
