#include "runtime/rank/weight_tiles.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "runtime/testing/weight_cases.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

WeightTile Tile(uint64_t begin, uint64_t end) {
  return {.read = 0, .piece = 0, .row_begin = 0, .row_end = 1, .begin = begin, .end = end};
}
std::string TextOf(const WeightWindow& window) {
  return fmt::format("{}..{}: [{}, {})", window.first, window.last, window.begin, window.end);
}
std::vector<std::string> TextOf(const std::vector<WeightWindow>& windows) {
  std::vector<std::string> text;
  for (const WeightWindow& window : windows) text.push_back(TextOf(window));
  return text;
}

TEST(CutWindows, TakesTilesWhileTheyFit) {
  EXPECT_TRUE(CutWindows({}, 8).empty());
  const std::vector<WeightTile> tiles = {Tile(0, 40), Tile(40, 50), Tile(48, 60), Tile(100, 110), Tile(110, 300)};
  EXPECT_THAT(TextOf(CutWindows(tiles, 1000)), ElementsAre("0..5: [0, 300)"));
  EXPECT_THAT(TextOf(CutWindows(tiles, 60)), ElementsAre("0..3: [0, 60)", "3..4: [100, 110)", "4..5: [110, 300)"));
  EXPECT_THAT(TextOf(CutWindows(tiles, 59)),
              ElementsAre("0..2: [0, 50)", "2..3: [48, 60)", "3..4: [100, 110)", "4..5: [110, 300)"));
  EXPECT_EQ(CutWindows(tiles, 1).size(), 5u);
}

struct Cut {
  testing::TestModel model;
  std::vector<WeightRead> reads;
  std::vector<WeightTile> tiles;
  const plan::Stage& stage() const { return StageOf(model.plan(), 1); }
};
Cut CutOf(const testing::TestModelConfig& config, const std::vector<std::string>& fused) {
  const std::string folder = ::testing::TempDir() + "/tiles";
  std::filesystem::create_directories(folder);
  Cut cut{testing::MakeTestModel(config, folder), {}, {}};
  if (!fused.empty()) testing::FuseInto(&cut.model, fused);
  testing::Repack(&cut.model);
  cut.reads = PlanWeightReads(cut.model.plan(), 1);
  cut.tiles = CutTiles(cut.stage(), cut.reads);
  return cut;
}

// [6, 48] of f32 each: blocks of 16 rows of 64 elements, 4096 bytes.
TEST(CutTiles, AreOfTheBlocksThatHoldTheirRows) {
  const Cut cut = CutOf({.tp = 2, .layers = 1, .ffn = 12}, {"l0.gate", "l0.up", "l0.gate"});
  const uint64_t at = cut.stage().weights()->Get(cut.stage().weights()->size() - 1)->offset();
  std::vector<std::string> last;
  for (const WeightTile& tile : std::span(cut.tiles).last(3)) {
    last.push_back(
        fmt::format("rows [{}, {}) at [{}, {})", tile.row_begin, tile.row_end, tile.begin - at, tile.end - at));
  }
  EXPECT_THAT(last, ElementsAre("rows [0, 6) at [0, 4096)", "rows [0, 6) at [0, 4096)", "rows [0, 6) at [0, 8192)"));
  uint64_t rows = 0, all_rows = 0;
  for (size_t i = 0; i < cut.tiles.size(); ++i) {
    rows += cut.tiles[i].row_end - cut.tiles[i].row_begin;
    EXPECT_LE(cut.tiles[i].end, cut.stage().weight_arena_bytes());
    EXPECT_GE(cut.tiles[i].end, i == 0 ? 0 : cut.tiles[i - 1].end);
  }
  for (const WeightRead& read : cut.reads) all_rows += read.row_count;
  EXPECT_EQ(rows, all_rows);
}

TEST(BuffersFor, AreNoLargerThanTheArenaAndNoSmallerThanATile) {
  const Cut small = CutOf({.tp = 2}, {});
  const uint64_t arena = small.stage().weight_arena_bytes();
  EXPECT_EQ(BuffersFor(small.stage(), small.reads).bytes, arena);
  EXPECT_EQ(BuffersFor(small.stage(), small.reads).count, 1);
  EXPECT_EQ(BuffersFor(small.stage(), small.reads, arena - 1).bytes, arena - 1);
  EXPECT_EQ(BuffersFor(small.stage(), small.reads, arena - 1).count, 2);
  // Files of bf16 become twice as large, and where a source begins inside a block a tile has one more.
  const Cut large =
      CutOf({.tp = 2, .file_dtype = plan::DType::bf16, .layers = 1, .hidden = 1040, .ffn = 1032}, {"l0.gate", "l0.up"});
  uint64_t most = 0;
  for (const WeightTile& tile : large.tiles) most = std::max(most, tile.end - tile.begin);
  EXPECT_GT(most, uint64_t{2} << 20);
  EXPECT_EQ(BuffersFor(large.stage(), large.reads, 1).bytes, most);
  EXPECT_EQ(BuffersFor(large.stage(), large.reads, 1).count, 2);
}

}  // namespace
}  // namespace mrs
