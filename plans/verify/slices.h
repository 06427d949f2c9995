// What a Slice holds at one coordinate: [start + step * (c / every), + size).
//
//   {start 0, step 64, size 64, every 2, tp}: at c = 3 -> [64, 128)     (heads replicated in pairs)
#pragma once

#include <cstdint>
#include <optional>

#include "plans/verify/context.h"

namespace mrs::verify {

struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;
  auto operator<=>(const Range&) const = default;
};

// The coordinates that slices of a stage can differ by.
struct Coordinate {
  uint32_t tp = 0;
  uint32_t ep = 0;
};

// Sane in itself: a rank axis that slices may follow, size and every not 0, step 0 where there is no axis.
Status CheckSlice(const plan::Slice& slice);

// nullopt: it would start before 0 or reach past 2^48.
std::optional<Range> RangeAt(const plan::Slice& slice, Coordinate at);

// True where the ranks' slices cut [0, total) into equal consecutive parts, rank by rank (or each hold all of it
// where the axis has one rank).
bool TilesInOrder(const plan::Slice& slice, uint64_t total, const plan::Plan& plan);

bool SameSlice(const plan::Slice& a, const plan::Slice& b);

uint32_t AxisSize(const plan::Plan& plan, plan::Axis axis);

}  // namespace mrs::verify
