// What a diff says first, of the two plans as a whole: who runs what, which bytes move, what ranks say to each other,
// how much memory each has.
//
//   mesh         2 ranks (tp 2, dp 1, 1 stage) -> 4 ranks (tp 4, dp 1, 1 stage)
//   all_reduce   9 a forward, 9.00 KiB a token, groups of 2 -> of 4
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plans/diff/moved_bytes.h"
#include "plans/plan_generated.h"
#include "plans/rank_memory.h"

namespace mrs::diff {

struct Layout {
  uint32_t ranks = 0, tp = 0, ep = 0, dp = 0;
  std::vector<std::pair<uint32_t, uint32_t>> layers;  // of each stage, [begin, end)
  std::vector<std::string> devices;                   // of each rank: "node 0 cpu 1"
};

// All collectives, or transfers, of one forward that are alike.
struct Talk {
  std::string what;  // "all_reduce doubling f32 a token", "send f32 a token", "all_gather gather u8 a logit row, ..."
  uint64_t count_a = 0, count_b = 0;
  uint64_t row_bytes_a = 0, row_bytes_b = 0;  // of all of them, of one rank's operand, a row: a token or a logit row
  std::vector<uint32_t> group_sizes_a, group_sizes_b;  // ascending; none of a transfer
  bool operator==(const Talk&) const = default;
};

struct Memory {
  RankMemory needs;
  uint64_t allowed = 0;  // 0: not said
  auto operator<=>(const Memory&) const = default;
};

// Ranks [first, last] whose memory is alike in A and in B; all zero where there is no such rank.
struct MemoryOfRanks {
  uint32_t first = 0, last = 0;
  Memory a, b;
};

struct OpCount {
  std::string op;
  uint64_t a = 0, b = 0;  // steps of all stages
};

struct Summary {
  Layout layout_a, layout_b;
  MovedBytes moved;
  std::vector<Talk> talks;            // all, changed or not
  std::vector<MemoryOfRanks> memory;  // all ranks
  std::vector<OpCount> ops;           // all, changed or not
  bool other_model = false;           // the fingerprints differ
};

// Of verified plans.
Summary Summarize(const plan::Plan& a, const plan::Plan& b);

}  // namespace mrs::diff
