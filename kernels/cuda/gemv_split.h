// How a product of few rows is spread over a device in fast numerics, and with that how far its result may be from the
// truth. A warp has some rows of some outputs; its lanes share K, and where outputs are few several warps do.
//
//   const GemvSplit s = GemvSplitOf({.rows = 1, .n = 4096, .padded_k = 4096}, 132);   // 1 x 4, 4 warps share K
//   GemvBound(s, 4096) * sum_k |x[k] * w[k]|   // no output is further from the exact sum
//
// How much a warp takes was reasoned, not timed: no device has run it.
#pragma once

#include <cstdint>

namespace mrs::kernels::cuda {

constexpr int kGemvWide = 8;   // elements of bf16 that a lane loads at once: sixteen bytes
constexpr int kGemvWarps = 8;  // of a block

struct GemvSize {
  int64_t rows, n, padded_k;  // padded_k: elements of a row of weights in memory
};
struct GemvSplit {
  int rows, columns;                                           // of a warp
  int parts;                                                   // warps that share K of an output
  constexpr int Strips() const { return kGemvWarps / parts; }  // of a block, side by side
};

constexpr GemvSplit GemvSplitOf(const GemvSize& size, int multiprocessors) {
  GemvSplit split = size.rows <= 1   ? GemvSplit{1, 4, 1}
                    : size.rows <= 2 ? GemvSplit{2, 4, 1}
                    : size.rows <= 4 ? GemvSplit{4, 4, 1}
                    : size.rows <= 8 ? GemvSplit{8, 4, 1}
                                     : GemvSplit{16, 2, 1};
  const int64_t warps = (size.n + split.columns - 1) / split.columns * ((size.rows + split.rows - 1) / split.rows);
  // Two loads of each lane of sixteen warps are as much as a multiprocessor has under way.
  const int64_t enough = int64_t{16} * multiprocessors, least_k = int64_t{2} * 32 * kGemvWide;
  while (split.parts < kGemvWarps && warps * split.parts < enough && size.padded_k >= 2 * split.parts * least_k) {
    split.parts *= 2;
  }
  return split;
}

// A product of two bf16 is exact in f32. It then passes through so many additions, each rounded once: its lane's chain,
// five over the lanes, one a warp, and the bias.
constexpr int64_t GemvDepth(const GemvSplit& split, int64_t padded_k) {
  const int64_t at_once = int64_t{32} * split.parts * kGemvWide;
  return (padded_k + at_once - 1) / at_once * kGemvWide + 5 + split.parts + 1;
}
// depth * u / (1 - depth * u) with u = 2^-24, the bound of a sum in any order whose longest path is so long (N. Higham,
// Accuracy and Stability of Numerical Algorithms, 2nd edition, section 4.2). What is flushed to zero, below 2^-126 an
// addition, is not in it.
constexpr double GemvBound(const GemvSplit& split, int64_t padded_k) {
  const double depth_u = static_cast<double>(GemvDepth(split, padded_k)) * 0x1p-24;
  return depth_u / (1 - depth_u);
}

}  // namespace mrs::kernels::cuda
