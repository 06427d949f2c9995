// Areas of sets of rectangles that may overlap: how many elements of a matrix somebody holds.
//
//   UnionArea({{0, 4, 0, 4}, {2, 6, 0, 4}})  ->  24
#pragma once

#include <cstdint>
#include <vector>

namespace mrs::diff {

// Rows [row_begin, row_end) x columns [column_begin, column_end); empty where an end is not past its beginning.
struct Rectangle {
  uint64_t row_begin = 0, row_end = 0;
  uint64_t column_begin = 0, column_end = 0;

  bool empty() const { return row_end <= row_begin || column_end <= column_begin; }
  uint64_t area() const { return empty() ? 0 : (row_end - row_begin) * (column_end - column_begin); }
  auto operator<=>(const Rectangle&) const = default;
};

// Sides are at most 2^31 (contract.h, kMaxWidth), so that areas fit. n log n for n rectangles.
uint64_t UnionArea(std::vector<Rectangle> rectangles);

}  // namespace mrs::diff
