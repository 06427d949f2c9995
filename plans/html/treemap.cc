#include "plans/html/treemap.h"

#include <algorithm>
#include <numeric>

namespace mrs::html {
namespace {

// The worst ratio of sides of rectangles with these areas in one row along a side: of the largest or the smallest.
double WorstRatio(double smallest, double largest, double sum, double side) {
  const double squared = side * side;
  return std::max(squared * largest / (sum * sum), sum * sum / (squared * smallest));
}

}  // namespace

// Rows are laid along the shorter side of what is left; a row takes another rectangle as long as that makes its worst
// ratio no worse.
std::vector<Rect> Squarify(std::span<const uint64_t> sizes, const Rect& area, Sequence sequence) {
  std::vector<Rect> rects(sizes.size());
  double total = 0;
  for (const uint64_t size : sizes) total += static_cast<double>(size);
  if (!(total > 0) || !(area.width > 0) || !(area.height > 0)) return rects;
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return sizes[i] == 0; });
  if (sequence == Sequence::kLargestFirst) {
    std::ranges::stable_sort(order, [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  }
  const double scale = area.width * area.height / total;
  const auto size_of = [&](size_t i) { return static_cast<double>(sizes[order[i]]) * scale; };
  Rect left = area;
  for (size_t begin = 0; begin < order.size();) {
    const bool upright = left.width >= left.height;  // the row is a column at the left
    const double side = std::max(upright ? left.height : left.width, 1e-9);
    double sum = size_of(begin), smallest = sum, largest = sum;
    double worst = WorstRatio(sum, sum, sum, side);
    size_t end = begin + 1;
    for (; end < order.size(); ++end) {
      const double least = std::min(smallest, size_of(end)), most = std::max(largest, size_of(end));
      const double next = WorstRatio(least, most, sum + size_of(end), side);
      if (next > worst) break;
      worst = next;
      smallest = least;
      largest = most;
      sum += size_of(end);
    }
    const double depth = std::min(sum / side, upright ? left.width : left.height);
    double along = 0;
    for (size_t i = begin; i < end; ++i) {
      const double length = side * size_of(i) / sum;
      rects[order[i]] =
          upright ? Rect{left.x, left.y + along, depth, length} : Rect{left.x + along, left.y, length, depth};
      along += length;
    }
    (upright ? left.x : left.y) += depth;
    (upright ? left.width : left.height) -= depth;
    begin = end;
  }
  return rects;
}

}  // namespace mrs::html
