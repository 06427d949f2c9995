#include "plans/diff/rectangles.h"

#include <gtest/gtest.h>

#include <random>

namespace mrs::diff {
namespace {

TEST(UnionArea, CountsWhatOverlapsOnce) {
  EXPECT_EQ(UnionArea({}), 0u);
  EXPECT_EQ(UnionArea({{0, 4, 0, 4}}), 16u);
  EXPECT_EQ(UnionArea({{0, 4, 0, 4}, {2, 6, 0, 4}}), 24u);
  EXPECT_EQ(UnionArea({{0, 4, 0, 4}, {0, 4, 0, 4}, {1, 2, 1, 2}}), 16u);
  EXPECT_EQ(UnionArea({{0, 4, 0, 4}, {2, 6, 2, 6}}), 28u);
  EXPECT_EQ(UnionArea({{3, 3, 0, 9}, {5, 4, 0, 9}, {0, 9, 7, 7}}), 0u) << "empty ones";
  constexpr uint64_t kTop = uint64_t{1} << 31;
  EXPECT_EQ(UnionArea({{0, kTop, 0, kTop}, {0, kTop, 0, 1}}), kTop * kTop);
}

// Against counting the elements one by one.
TEST(UnionArea, IsWhatCountingSays) {
  std::mt19937 random(20240);
  const auto upto = [&](uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n)(random); };
  for (int round = 0; round < 400; ++round) {
    std::vector<Rectangle> rectangles(upto(12));
    std::vector<std::vector<bool>> held(17, std::vector<bool>(17, false));
    uint64_t area = 0;
    for (Rectangle& r : rectangles) {
      r = {upto(16), upto(17), upto(16), upto(17)};
      for (uint64_t row = r.row_begin; row < r.row_end; ++row) {
        for (uint64_t column = r.column_begin; column < r.column_end; ++column) {
          area += held[row][column] ? 0 : 1;
          held[row][column] = true;
        }
      }
    }
    EXPECT_EQ(UnionArea(rectangles), area) << "round " << round;
  }
}

}  // namespace
}  // namespace mrs::diff
