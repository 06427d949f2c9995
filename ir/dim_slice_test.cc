#include "ir/dim_slice.h"

#include <gtest/gtest.h>

namespace mrs::ir {
namespace {

TEST(DimSlice, Split_DividesReplicatesOrRefuses) {
  struct Row {
    int64_t extent, ranks;
    std::optional<DimSlice> expected;
  };
  const Row rows[] = {
      {8, 1, DimSlice{}},           {8, 2, DimSlice{0, 4, 4, 1}},   {8, 8, DimSlice{0, 1, 1, 1}},
      {4, 8, DimSlice{0, 1, 1, 2}}, {1, 16, DimSlice{0, 1, 1, 16}}, {6, 4, std::nullopt},
      {3, 2, std::nullopt},         {0, 2, std::nullopt},
  };
  for (const Row& row : rows)
    EXPECT_EQ(Split(row.extent, row.ranks), row.expected) << row.extent << " over " << row.ranks;
}

TEST(DimSlice, AreAlongAnAxis) {
  EXPECT_EQ(Split(8, 2, Axis::kEp), (DimSlice{0, 4, 4, 1, Axis::kEp}));
  EXPECT_NE(Split(8, 2, Axis::kEp), Split(8, 2, Axis::kTp));
  EXPECT_EQ(Split(8, 1, Axis::kEp), DimSlice{});  // the whole is along none
  EXPECT_EQ(Scale({0, 1, 1, 2, Axis::kEp}, 32), (DimSlice{0, 32, 32, 2, Axis::kEp}));
  EXPECT_EQ(Coarsen({0, 1, 1, 1, Axis::kEp}, 8, 4, 8), (DimSlice{0, 1, 1, 2, Axis::kEp}));
  EXPECT_TRUE(Aligned({0, 4, 4, 1, Axis::kEp}, 8, {0, 2, 2, 1, Axis::kEp}, 4, 2));
  EXPECT_FALSE(Aligned({0, 4, 4, 1, Axis::kEp}, 8, {0, 2, 2, 1, Axis::kTp}, 4, 2));
}

TEST(DimSlice, SetsOfAxes) {
  const AxisSet both = AxisSet(Axis::kTp).With(Axis::kEp);
  EXPECT_TRUE(both.Has(Axis::kEp));
  EXPECT_FALSE(both.Has(Axis::kStage));
  EXPECT_EQ(both.size(), 2);
  EXPECT_EQ(both.Without(Axis::kTp), AxisSet(Axis::kEp));
  EXPECT_TRUE(both.Without(both).empty());
  EXPECT_EQ(AxisOf("stage"), Axis::kStage);
  EXPECT_EQ(AxisOf("pp"), std::nullopt);
  EXPECT_EQ((Mesh{.tp = 2, .ep = 3, .stage = 4}.RankCount()), 24);
}

TEST(DimSlice, At_FollowsTheCoordinate) {
  EXPECT_EQ((DimSlice{0, 4, 4, 1}.At(3)), (Range{12, 4}));
  EXPECT_EQ((DimSlice{0, 1, 1, 2}.At(5)), (Range{2, 1}));
  EXPECT_EQ((DimSlice{4, -4, 4, 1}.At(1)), (Range{0, 4}));
}

TEST(DimSlice, Covers_WantsEveryElementInsideAndAccountedFor) {
  EXPECT_TRUE(Covers({0, 4, 4, 1}, 8, 2, true));
  EXPECT_TRUE(Covers({4, -4, 4, 1}, 8, 2, true));    // swapped, yet covering
  EXPECT_FALSE(Covers({0, 0, 4, 1}, 8, 2, false));   // both ranks hold the first half
  EXPECT_FALSE(Covers({0, 4, 4, 1}, 12, 2, false));  // the last third is nobody's
  EXPECT_FALSE(Covers({4, 4, 4, 1}, 8, 2, false));   // past the end
  EXPECT_TRUE(Covers({0, 1, 1, 2}, 4, 8, false));
  EXPECT_FALSE(Covers({0, 1, 1, 2}, 4, 8, true));  // replicated: summing would count twice
}

TEST(DimSlice, Coarsen_GivesTheKvHeadsThatQueryHeadsRead) {
  EXPECT_EQ(Coarsen({0, 2, 2, 1}, 8, 4, 4), (DimSlice{0, 1, 1, 1}));
  EXPECT_EQ(Coarsen({0, 1, 1, 1}, 8, 4, 8), (DimSlice{0, 1, 1, 2}));  // replicated in pairs
  EXPECT_EQ(Coarsen({0, 4, 4, 1}, 8, 8, 2), (DimSlice{0, 4, 4, 1}));
  EXPECT_EQ(Coarsen({0, 3, 3, 1}, 6, 3, 2), std::nullopt);  // rank 0 would read one and a half KV heads
}

TEST(DimSlice, Aligned_RefusesSwappedKvHeads) {
  EXPECT_TRUE(Aligned({0, 4, 4, 1}, 8, {0, 2, 2, 1}, 4, 2));
  EXPECT_FALSE(Aligned({0, 4, 4, 1}, 8, {2, -2, 2, 1}, 4, 2));
  EXPECT_FALSE(Aligned({0, 4, 4, 1}, 8, {}, 4, 2));
  EXPECT_TRUE(Aligned({}, 8, {}, 4, 1));
}

}  // namespace
}  // namespace mrs::ir
