#include "ir/dim_slice.h"

#include <vector>

namespace mrs::ir {

std::optional<DimSlice> Split(int64_t extent, int64_t ranks, Axis axis) {
  if (extent <= 0 || ranks <= 0) return std::nullopt;
  if (ranks == 1) return DimSlice{};
  if (extent % ranks == 0) return DimSlice{0, extent / ranks, extent / ranks, 1, axis};
  if (ranks % extent == 0) return DimSlice{0, 1, 1, ranks / extent, axis};
  return std::nullopt;
}

DimSlice Scale(DimSlice slice, int64_t factor) {
  return {slice.start * factor, slice.step * factor, slice.size * factor, slice.every, slice.axis};
}

bool Covers(DimSlice slice, int64_t extent, int64_t ranks, bool exactly_once) {
  if (!slice.split()) return true;
  // Ranks c and c + 1 of the same `every` group hold the same range: count it once unless each must be alone.
  std::vector<bool> seen(static_cast<size_t>((ranks + slice.every - 1) / slice.every), false);
  if (exactly_once && slice.every != 1) return false;
  int64_t covered = 0;
  for (int64_t c = 0; c < ranks; c += slice.every) {
    const Range range = slice.At(c);
    if (range.begin < 0 || range.begin + range.size > extent) return false;
    if (range.begin % slice.size != 0) return false;
    const int64_t part = range.begin / slice.size;
    if (part < 0 || part >= static_cast<int64_t>(seen.size()) || seen[part]) return false;
    seen[part] = true;
    covered += range.size;
  }
  return covered == extent;
}

namespace {
// The coarse elements that fine elements [range) read, where `group` fine ones share a coarse one.
Range CoarseRange(Range range, int64_t group) {
  const int64_t first = range.begin / group;
  const int64_t last = (range.begin + range.size - 1) / group;
  return {first, last - first + 1};
}
}  // namespace

std::optional<DimSlice> Coarsen(DimSlice slice, int64_t fine, int64_t coarse, int64_t ranks) {
  if (!slice.split()) return DimSlice{};
  if (coarse <= 0 || fine % coarse != 0) return std::nullopt;
  const std::optional<DimSlice> result = Split(coarse, ranks, slice.axis);
  if (!result || !Aligned(slice, fine, *result, coarse, ranks)) return std::nullopt;
  return result;
}

bool Aligned(DimSlice fine_slice, int64_t fine, DimSlice coarse_slice, int64_t coarse, int64_t ranks) {
  if (coarse <= 0 || fine % coarse != 0) return false;
  if (!fine_slice.split() && !coarse_slice.split()) return true;
  if (!fine_slice.split() || !coarse_slice.split() || fine_slice.axis != coarse_slice.axis) return false;
  const int64_t group = fine / coarse;
  for (int64_t c = 0; c < ranks; ++c) {
    if (CoarseRange(fine_slice.At(c), group) != coarse_slice.At(c)) return false;
  }
  return true;
}

}  // namespace mrs::ir
