#include "planner/passes/first_fit.h"

#include <algorithm>

#include "plans/contract.h"

namespace mrs {
namespace {

struct Active {
  int64_t begin, end, last;
};

int64_t AlignUp(int64_t bytes) {
  constexpr int64_t kTo = contract::kArenaAlignment;
  return (bytes + kTo - 1) / kTo * kTo;
}

// The lowest gap of `bytes` between the active values, which are sorted by `begin`.
int64_t LowestGap(const std::vector<Active>& active, int64_t bytes) {
  int64_t begin = 0;
  for (const Active& value : active) {
    if (begin + bytes <= value.begin) break;
    begin = std::max(begin, AlignUp(value.end));
  }
  return begin;
}

}  // namespace

Placed PlaceByFirstFit(std::span<const Lifetime> values) {
  Placed placed;
  std::vector<Active> active;
  for (const Lifetime& value : values) {
    const int64_t reused = value.in_place < 0 ? -1 : placed.offsets[value.in_place];
    // In place, the operand's last use is this very step: its bytes go over to the result.
    std::erase_if(active, [&](const Active& one) {
      return one.last < value.first || (reused >= 0 && one.begin == reused && one.last == value.first);
    });
    const int64_t begin = reused >= 0 ? reused : LowestGap(active, value.bytes);
    const Active now = {begin, begin + value.bytes, value.last};
    active.insert(std::upper_bound(active.begin(), active.end(), now,
                                   [](const Active& a, const Active& b) { return a.begin < b.begin; }),
                  now);
    placed.arena_bytes = std::max(placed.arena_bytes, AlignUp(now.end));
    placed.offsets.push_back(begin);
  }
  return placed;
}

}  // namespace mrs
