#include "planner/passes/first_fit.h"

#include <gmock/gmock.h>

namespace mrs {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> Offsets(const std::vector<Lifetime>& values) { return PlaceByFirstFit(values).offsets; }

TEST(PlaceByFirstFit, TakesTheLowestGap) {
  EXPECT_THAT(Offsets({{100, 0, 2}, {50, 1, 3}, {64, 3, 4}}), ElementsAre(0, 128, 0));
  EXPECT_EQ(PlaceByFirstFit(std::vector<Lifetime>{{100, 0, 2}, {50, 1, 3}, {64, 3, 4}}).arena_bytes, 192);
  // A gap of 128 bytes is too small for 129; what is read in a step is alive while that step writes.
  EXPECT_THAT(Offsets({{128, 0, 1}, {64, 0, 9}, {128, 1, 5}, {129, 2, 3}, {128, 3, 4}}),
              ElementsAre(0, 128, 192, 320, 0));
  EXPECT_THAT(Offsets({}), ElementsAre());
  EXPECT_EQ(PlaceByFirstFit({}).arena_bytes, 0);
}

TEST(PlaceByFirstFit, AResultInPlaceTakesTheBytesOver) {
  EXPECT_THAT(Offsets({{64, 0, 1}, {64, 0, 9}, {64, 1, 3, 0}, {64, 2, 4}}), ElementsAre(0, 64, 0, 128));
  EXPECT_THAT(Offsets({{64, 0, 1}, {64, 1, 3, 0}, {64, 4, 4}}), ElementsAre(0, 0, 0));
}

}  // namespace
}  // namespace mrs
