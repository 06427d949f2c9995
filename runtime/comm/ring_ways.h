// Which connections a ring has, so that every two ranks are connected: through as few others as can be.
//
//   RingWays(4)   // {0,1} {1,2} {2,3} {3,0}   neighbours
//                 // {0,2} {3,1}               through 1, through 0
//
// A way begins at the rank that dials and goes to the right. Pairs that are as far from each other either way begin at
// the lower rank where that is even, else at the higher one, so that the ways spread; of two ranks alone, each is the
// other's right neighbour, and there are two ways.
#pragma once

#include <vector>

namespace mrs {

struct RingWay {
  int from = 0;
  int to = 0;
  bool operator==(const RingWay&) const = default;
};

// Neighbours first.
inline std::vector<RingWay> RingWays(int size) {
  std::vector<RingWay> ways;
  for (int from = 0; from < size && size > 1; ++from) ways.push_back({from, (from + 1) % size});
  for (int distance = 2; 2 * distance <= size; ++distance) {
    for (int from = 0; from < size; ++from) {
      const int to = (from + distance) % size;
      const bool even = (from < to ? from : to) % 2 == 0;
      if (2 * distance < size || (from < to) == even) ways.push_back({from, to});
    }
  }
  return ways;
}

// The way uses the connection from `rank` to its right neighbour.
constexpr bool CrossesRightOf(const RingWay& way, int rank, int size) {
  return (rank - way.from + size) % size < (way.to - way.from + size) % size;
}

}  // namespace mrs
