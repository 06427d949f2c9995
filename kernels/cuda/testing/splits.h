// Ways to spread a product over a device, also those that only larger ones get: for tests.
//
//   for (const MatmulSplit& split : SplitsOf({.rows = 7, .n = 64, .chunk_count = 4, .element_bytes = 2})) ...
#pragma once

#include <utility>
#include <vector>

#include "kernels/cuda/fused.h"
#include "kernels/cuda/matmul_split.h"

namespace mrs::kernels::cuda {

constexpr int64_t kOfEveryDevice = 99 << 10;  // of shared memory, to a block: what sm_120 has

inline std::vector<MatmulSplit> SplitsOf(const MatmulSize& size) {
  std::vector<MatmulSplit> splits;
  for (const auto& [rows, columns] : {std::pair{1, 1}, {2, 1}, {4, 2}, {8, MostColumns(size.element_bytes)}}) {
    for (int64_t groups : {1, 4}) {
      for (int64_t warps : {1, 2}) {
        if (warps > size.chunk_count || groups * warps > MostMatmulWarps(rows, columns)) continue;
        const MatmulSplit split = SplitWith(size, rows, columns, groups, warps);
        if (split.SharedBytes() <= kOfEveryDevice) splits.push_back(split);
      }
    }
  }
  return splits;
}

// Whether a launch with so many rows a thread can have all of it; what such a split is asked for else is refused.
inline bool CanBeOne(const auto&, const MatmulSplit&) { return true; }
inline bool CanBeOne(const MatmulRopeAppendArgs& args, const MatmulSplit&) { return IsOneLaunch(args); }
inline bool CanBeOne(const MatmulAddRmsNormArgs& args, const MatmulSplit& split) {
  return args.of.type == Type::kBf16 && split.rows <= kMostNormedRows;
}

}  // namespace mrs::kernels::cuda
