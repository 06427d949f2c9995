// Where the rectangles of a treemap lie: areas proportional to sizes, sides as near to each other as they come.
//
//   Squarify({6, 6, 4, 3, 2, 2, 1}, {0, 0, 6, 4})   // Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000), figure 4
//
// Rectangles are given in the order of sizes; within the map the larger lie first, equal ones in their order, unless
// that is to stay as it is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mrs::html {

struct Rect {
  double x = 0, y = 0, width = 0, height = 0;
};

enum class Sequence : uint8_t { kLargestFirst, kInOrder };

// One rectangle a size, inside `area`. A size of 0 gets none of it. Same input, same output, on every host.
std::vector<Rect> Squarify(std::span<const uint64_t> sizes, const Rect& area,
                           Sequence sequence = Sequence::kLargestFirst);

}  // namespace mrs::html
