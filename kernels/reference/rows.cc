// Token ids to rows, rows to candidates: both ends of the model.
#include "kernels/candidates.h"
#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {

void Run(const EmbedArgs& args, int64_t item_begin, int64_t item_end) {
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

void Run(const SelectRowsArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t i = item_begin; i < item_end; ++i) {
    const float* x = args.x + args.rows[i] * args.width;
    for (int64_t k = 0; k < args.width; ++k) args.y[i * args.width + k] = x[k];
  }
}

void Run(const TopCandidatesArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t width = args.chunk_size * args.chunk_count;
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* logits = args.logits + row * width;
    std::byte* record = args.records + row * TopCandidatesRecordBytes(args.k, args.chunk_count);
    Candidates best{.limit = args.k, .found = 0, .ids = {}, .logits = {}};
    const int64_t valid = ValidEntries(args.vocab_valid, args.vocab_begin, width);
    for (int64_t i = 0; i < valid; ++i) Offer(&best, args.vocab_begin + i, logits[i]);
    WriteCandidates(&best, record);
    for (int64_t chunk = 0; chunk < args.chunk_count; ++chunk) {
      const int64_t first = chunk * args.chunk_size;
      const LsePartial partial =
          ChunkLse(logits + first, ValidEntries(args.vocab_valid, args.vocab_begin + first, args.chunk_size));
      std::memcpy(record + args.k * 8 + chunk * 8, &partial.max, 4);
      std::memcpy(record + args.k * 8 + chunk * 8 + 4, &partial.sum, 4);
    }
  }
}

}  // namespace mrs::kernels::reference
