// How a sum by NCCL is done, piece after piece, as much at a time as the workspace holds.
//
//   NextPiece({.ranks = 8, .workspace_floats = 8 << 20, .has_shares = true}, /*left=*/4096)     -> {4096, whole}
//   NextPiece({.ranks = 8, .workspace_floats = 8 << 20, .has_shares = true}, /*left=*/1 << 24)  -> {1 << 23, in shares}
//
//   whole      each rank gathers the others' parts and adds them: (ranks - 1) times the bytes come to it, in one step
//   in shares  each gets the others' parts of its share, adds them, and gathers the others' shares, in two steps:
//              2 (ranks - 1) / ranks times the bytes
//
// Between two ranks both are as much. Either way each element is added by one tree of the parts of all ranks, so that
// it has the same bits. All ranks do a sum in the same pieces.
#pragma once

#include <algorithm>
#include <cstdint>

#include "plans/status.h"

namespace mrs {

// What a second step must save a rank: 50 us of the 20 GB/s of PCIe, or 25 us of a network's 400 Gbit/s, where NCCL
// carries sums unless something else is said. Reasoned, not timed. Of 4 ranks that is a sum of 683 KiB, of 8 195 KiB.
constexpr int64_t kLeastSavedBytes = int64_t{1} << 20;

struct NcclSums {
  int64_t ranks = 1;
  int64_t workspace_floats = 0;
  bool has_shares = false;                 // the plan counts what NCCL takes for them (plans/nccl_memory.h)
  int64_t least_saved = kLeastSavedBytes;  // in bytes
};

struct SumPiece {
  int64_t count = 0;  // in elements; 0: the workspace holds none
  bool in_shares = false;
};

// By a sum of so many elements in shares, of what comes to a rank: (ranks - 1) (ranks - 2) / ranks times its bytes.
constexpr int64_t SavedBytes(int64_t count, int64_t ranks) {
  return count / ranks * int64_t{sizeof(float)} * (ranks - 1) * (ranks - 2);
}

// Of what is left of a sum, the next piece. Shares are of one size: what is not divisible is gathered whole.
constexpr SumPiece NextPiece(const NcclSums& of, int64_t left) {
  constexpr int64_t kGrain = 64;  // of where pieces and parts begin, in elements: 256 bytes, as memory is aligned
  constexpr int64_t kVector = 4;  // of a share: 16 bytes
  const int64_t fits = of.workspace_floats / of.ranks / kGrain * kGrain;  // of each rank's part
  const int64_t in_shares = std::min(left / (kVector * of.ranks) * kVector, fits) * of.ranks;
  if (of.has_shares && in_shares > 0 && SavedBytes(in_shares, of.ranks) >= std::max<int64_t>(of.least_saved, 1)) {
    return {in_shares, true};
  }
  return {std::min(left, fits), false};
}

// kLeastSavedBytes, or what MRS_NCCL_LEAST_SAVED says: bytes. For tests, and to compare both ways; of all ranks alike.
Result<int64_t> LeastSavedBytes();

}  // namespace mrs
