#include "plans/diff/rectangles.h"

#include <algorithm>

namespace mrs::diff {
namespace {

// How much of a line is covered by at least one of the intervals put on it: a tree over the places where they end.
class CoveredLine {
 public:
  explicit CoveredLine(std::vector<uint64_t> places)
      : places_(std::move(places)), count_(4 * places_.size()), length_(4 * places_.size()) {}

  void Add(uint64_t begin, uint64_t end, int change) { Add(1, 0, places_.size() - 1, begin, end, change); }
  uint64_t length() const { return length_[1]; }

 private:
  // Node `node` is the line from places_[low] to places_[high].
  void Add(size_t node, size_t low, size_t high, uint64_t begin, uint64_t end, int change) {
    if (end <= places_[low] || places_[high] <= begin) return;
    if (begin <= places_[low] && places_[high] <= end) {
      count_[node] += change;
    } else {
      const size_t middle = (low + high) / 2;
      Add(2 * node, low, middle, begin, end, change);
      Add(2 * node + 1, middle, high, begin, end, change);
    }
    length_[node] = count_[node] > 0  ? places_[high] - places_[low]
                    : high - low == 1 ? 0
                                      : length_[2 * node] + length_[2 * node + 1];
  }

  std::vector<uint64_t> places_;
  std::vector<int> count_;
  std::vector<uint64_t> length_;
};

struct Edge {
  uint64_t row;
  int change;
  const Rectangle* of;
};

}  // namespace

// A line of columns is swept over the rows; rectangles enter and leave it.
uint64_t UnionArea(std::vector<Rectangle> rectangles) {
  std::erase_if(rectangles, [](const Rectangle& r) { return r.empty(); });
  std::ranges::sort(rectangles);
  rectangles.erase(std::unique(rectangles.begin(), rectangles.end()), rectangles.end());
  if (rectangles.empty()) return 0;
  if (rectangles.size() == 1) return rectangles[0].area();
  std::vector<uint64_t> columns;
  std::vector<Edge> edges;
  for (const Rectangle& r : rectangles) {
    columns.insert(columns.end(), {r.column_begin, r.column_end});
    edges.push_back({r.row_begin, 1, &r});
    edges.push_back({r.row_end, -1, &r});
  }
  std::ranges::sort(columns);
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  std::ranges::sort(edges, {}, &Edge::row);
  CoveredLine line(std::move(columns));
  uint64_t area = 0;
  uint64_t row = edges[0].row;
  for (const Edge& edge : edges) {
    area += (edge.row - row) * line.length();
    row = edge.row;
    line.Add(edge.of->column_begin, edge.of->column_end, edge.change);
  }
  return area;
}

}  // namespace mrs::diff
