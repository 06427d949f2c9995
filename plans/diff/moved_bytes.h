// Which bytes of the checkpoint each rank of B reads that the rank of the same number in A did not: what moves where a
// plan takes the other's place.
//
//   q_proj [256, 256] bf16, cut into rows: tp 2 -> tp 4
//   rank 0  held rows [0, 128), holds [0, 64): 0 bytes new, 32768 dropped
//   rank 1  held rows [128, 256), holds [64, 128): 32768 bytes new, all held by rank 0 of A, 65536 dropped
//
// Counted are elements of tensors by name, each once a rank however many weights read it. A tensor whose shape or type
// is another in B is all new. Of a byte that another rank of A held, `moved` says so; whether two checkpoints with the
// same names hold the same values, no plan knows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs::diff {

struct RankBytes {
  uint32_t rank = 0;
  uint64_t before = 0;  // bytes of the checkpoint that it reads in A; 0 where there is no such rank
  uint64_t after = 0;
  uint64_t added = 0;    // read in B, and not in A
  uint64_t dropped = 0;  // read in A, and not in B
  uint64_t moved = 0;    // of those added: another rank of A held them
};

struct RankShare {
  uint32_t rank = 0;
  uint64_t added = 0;
  uint64_t dropped = 0;
};

// A tensor of which some rank reads other bytes.
struct TensorBytes {
  std::string name;
  std::vector<std::string> weights;  // that it fills, in B where it is there
  bool redefined = false;            // another shape or type
  uint64_t added = 0, dropped = 0;
  std::vector<RankShare> ranks;
};

struct MovedBytes {
  bool computed = true;  // false: too many ranks times tensors
  std::vector<RankBytes> ranks;
  std::vector<TensorBytes> tensors;  // most bytes added first, then dropped, then by name
  uint64_t added = 0, dropped = 0, moved = 0;
};

MovedBytes MovedBetween(const plan::Plan& a, const plan::Plan& b);

}  // namespace mrs::diff
