// The best k logits seen so far, best first; ids decide between equals because they are offered in ascending order.
//
//   Candidates best{.limit = 2}; Offer(&best, 7, 0.5f); Offer(&best, 9, 0.5f); Offer(&best, 11, 1.0f);   // 11, 7
#pragma once

#include <cstring>
#include <limits>

#include "kernels/kernels.h"

namespace mrs::kernels {

struct Candidates {
  int64_t limit;
  int64_t found = 0;
  int32_t ids[kMaxCandidates];
  float logits[kMaxCandidates];
};

// Logit descending, NaN last.
static inline bool IsBetter(float a, float b) { return b != b ? a == a : a > b; }

static inline void Offer(Candidates* best, int64_t id, float logit) {
  if (best->limit == 0) return;
  if (best->found == best->limit && !IsBetter(logit, best->logits[best->found - 1])) return;
  int64_t at = best->found < best->limit ? best->found++ : best->found - 1;
  for (; at > 0 && IsBetter(logit, best->logits[at - 1]); --at) {
    best->logits[at] = best->logits[at - 1];
    best->ids[at] = best->ids[at - 1];
  }
  best->logits[at] = logit;
  best->ids[at] = static_cast<int32_t>(id);
}

// The first part of a record: ids, then logits; what is missing is -1, -infinity.
static inline void WriteCandidates(Candidates* best, std::byte* record) {
  for (; best->found < best->limit; ++best->found) {
    best->logits[best->found] = -std::numeric_limits<float>::infinity();
    best->ids[best->found] = -1;
  }
  std::memcpy(record, best->ids, static_cast<size_t>(best->limit) * 4);
  std::memcpy(record + best->limit * 4, best->logits, static_cast<size_t>(best->limit) * 4);
}

// How many of `count` vocabulary entries from global id `first` on are real.
static inline int64_t ValidEntries(int64_t vocab_valid, int64_t first, int64_t count) {
  const int64_t left = vocab_valid - first;
  return left < 0 ? 0 : left < count ? left : count;
}

}  // namespace mrs::kernels
