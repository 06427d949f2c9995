// Which part of one dimension a rank holds, as a function of its coordinate on one axis of the mesh.
//
//   Split(8, 4)   -> {start 0, step 2, size 2, every 1}   // rank c: [2c, 2c + 2)
//   Split(4, 8)   -> {start 0, step 1, size 1, every 2}   // ranks 2h, 2h + 1: [h, h + 1)
//
// Plain C++ (no MLIR): the sharding algebra has table tests of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "ir/mesh.h"

namespace mrs::ir {

// The half-open range [begin, begin + size).
struct Range {
  int64_t begin = 0;
  int64_t size = 0;
  bool operator==(const Range&) const = default;
};

// [start + step * (c / every), + size) for coordinate c on `axis`. size 0: the whole dimension, on all ranks.
struct DimSlice {
  int64_t start = 0;
  int64_t step = 0;
  int64_t size = 0;
  int64_t every = 1;
  Axis axis = Axis::kTp;

  bool split() const { return size != 0; }
  bool operator==(const DimSlice&) const = default;
  Range At(int64_t coordinate) const { return {start + step * (coordinate / every), size}; }
};

// The even split of `extent` over the `ranks` of an axis, or an even replication where there are more ranks than
// elements; nothing where neither divides the other. One rank: the whole dimension, not split.
std::optional<DimSlice> Split(int64_t extent, int64_t ranks, Axis axis = Axis::kTp);

// The slice in units of `factor` smaller elements (heads -> heads * head_dim).
DimSlice Scale(DimSlice slice, int64_t factor);

// Whether the slices of all ranks along its axis cover [0, extent), each inside it, and with `exactly_once` without
// overlap.
bool Covers(DimSlice slice, int64_t extent, int64_t ranks, bool exactly_once);

// The coarser dimension a split finer one needs: query heads [h0, h1) of `fine` read KV heads h * coarse / fine.
// Along the same axis. Nothing where a rank would need a part of the coarse dimension that is no even slice.
std::optional<DimSlice> Coarsen(DimSlice slice, int64_t fine, int64_t coarse, int64_t ranks);

// Whether every rank's coarse slice is exactly what its fine slice reads: along another axis it never is.
bool Aligned(DimSlice fine_slice, int64_t fine, DimSlice coarse_slice, int64_t coarse, int64_t ranks);

}  // namespace mrs::ir
