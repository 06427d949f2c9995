// Top candidates: one comparison passes over 16 logits of which none is good enough, which is nearly always.
#pragma once

#include "kernels/candidates.h"
#include "kernels/cpu/vector_math.h"

namespace mrs::kernels {
namespace {

inline LsePartial LaneLse(const float* logits, int64_t count) {
  F16 highest = Set1(-kInfinity);
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t n = MinOf(kLanes, count - i);
    highest = Max(FirstOf(LoadN(logits + i, n), n, Set1(-kInfinity)), highest);
  }
  const float max = MaxLanes(highest);
  const F16 base = Set1(max == -kInfinity ? 0.0f : max);
  F16 sums = Zero();
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t n = MinOf(kLanes, count - i);
    sums = Add(sums, FirstOf(Exp(Sub(LoadN(logits + i, n), base)), n, Zero()));
  }
  return {max, SumLanes(sums)};
}

inline void Run(const TopCandidatesArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t width = args.chunk_size * args.chunk_count;
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* logits = args.logits + row * width;
    std::byte* record = args.records + row * TopCandidatesRecordBytes(args.k, args.chunk_count);
    Candidates best{.limit = args.k, .found = 0, .ids = {}, .logits = {}};
    const int64_t valid = ValidEntries(args.vocab_valid, args.vocab_begin, width);
    for (int64_t i = 0; i < valid && args.k > 0; i += kLanes) {
      const int64_t n = MinOf(kLanes, valid - i);
      const float worst = best.found == args.k ? best.logits[args.k - 1] : 0.0f;
      uint32_t hits = (1u << n) - 1u;
      if (best.found == args.k && worst == worst) hits &= GreaterMask(LoadN(logits + i, n), worst);
      for (; hits != 0; hits &= hits - 1) {
        const int64_t at = i + __builtin_ctz(hits);
        Offer(&best, args.vocab_begin + at, logits[at]);
      }
    }
    WriteCandidates(&best, record);
    for (int64_t chunk = 0; chunk < args.chunk_count; ++chunk) {
      const int64_t first = chunk * args.chunk_size;
      const int64_t count = ValidEntries(args.vocab_valid, args.vocab_begin + first, args.chunk_size);
      const LsePartial partial = LaneLse(logits + first, count);
      std::memcpy(record + args.k * 8 + chunk * 8, &partial.max, 4);
      std::memcpy(record + args.k * 8 + chunk * 8 + 4, &partial.sum, 4);
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
