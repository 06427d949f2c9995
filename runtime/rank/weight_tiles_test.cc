#include "runtime/rank/weight_tiles.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "runtime/testing/weight_cases.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

// Whose rows have so many bytes.
WeightRead Read(uint64_t row_bytes, uint64_t row_count) {
  WeightRead read{};
  read.row_bytes = row_bytes;
  read.row_count = row_count;
  return read;
}
WeightTile Tile(uint32_t read, uint64_t row_begin, uint64_t row_end) {
  return {.read = read, .piece = 0, .row_begin = row_begin, .row_end = row_end};
}
std::string TextOf(const WeightWindow& window) {
  std::string text = fmt::format("{}..{}, {} bytes:", window.first, window.last, window.bytes);
  for (const WeightRun& run : window.runs) {
    text += fmt::format(" {} [{}, {}) at {}", run.read, run.row_begin, run.row_end, run.at);
  }
  return text;
}
std::vector<std::string> TextOf(const std::vector<WeightWindow>& windows) {
  std::vector<std::string> text;
  for (const WeightWindow& window : windows) text.push_back(TextOf(window));
  return text;
}

TEST(CutWindows, TakesTilesWhileTheyFit) {
  EXPECT_TRUE(CutWindows({}, {}, 8).empty());
  const std::vector<WeightRead> reads = {Read(10, 30), Read(4, 1), Read(128, 2)};
  const std::vector<WeightTile> tiles = {Tile(0, 0, 16), Tile(0, 16, 30), Tile(1, 0, 1), Tile(2, 0, 2)};
  EXPECT_THAT(TextOf(CutWindows(reads, tiles, 1000)),
              ElementsAre("0..4, 768 bytes: 0 [0, 30) at 0 1 [0, 1) at 384 2 [0, 2) at 512"));
  EXPECT_EQ(CutWindows(reads, tiles, 768).size(), 1u);
  EXPECT_THAT(TextOf(CutWindows(reads, tiles, 767)),
              ElementsAre("0..3, 512 bytes: 0 [0, 30) at 0 1 [0, 1) at 384", "3..4, 256 bytes: 2 [0, 2) at 0"));
  EXPECT_THAT(TextOf(CutWindows(reads, tiles, 383)),
              ElementsAre("0..1, 256 bytes: 0 [0, 16) at 0", "1..2, 256 bytes: 0 [16, 30) at 0",
                          "2..3, 128 bytes: 1 [0, 1) at 0", "3..4, 256 bytes: 2 [0, 2) at 0"));
  EXPECT_EQ(CutWindows(reads, tiles, 1).size(), 4u);
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

TEST(CutTiles, HaveEachRowOnceInTheOrderOfTheArena) {
  // A piece of these rows is less than all of them.
  for (const auto& [hidden, ffn] : {std::pair{32u, 12u}, {1040u, 1032u}}) {
    const Cut cut = CutOf({.tp = 2, .layers = 1, .hidden = hidden, .ffn = ffn}, {"l0.gate", "l0.up", "l0.gate"});
    std::vector<uint64_t> rows(cut.reads.size());
    uint64_t last = 0;
    for (size_t i = 0; i < cut.tiles.size(); ++i) {
      const WeightTile& tile = cut.tiles[i];
      EXPECT_EQ(tile.row_begin, rows[tile.read]);
      EXPECT_GT(tile.row_end, tile.row_begin);
      rows[tile.read] = tile.row_end;
      const uint64_t weight_at = cut.stage().weights()->Get(cut.reads[tile.read].weight)->offset();
      EXPECT_GE(weight_at, last);
      last = weight_at;
    }
    for (size_t i = 0; i < cut.reads.size(); ++i) EXPECT_EQ(rows[i], cut.reads[i].row_count);
    EXPECT_EQ(cut.tiles.size() > cut.reads.size(), hidden > 1000);
  }
}

TEST(BuffersFor, AreNoLargerThanAllReadsAndNoSmallerThanATile) {
  const std::vector<WeightRead> small = {Read(10, 30), Read(4, 1)};
  EXPECT_EQ(BuffersFor(small).bytes, 384u + 128);
  EXPECT_EQ(BuffersFor(small).count, 1);
  EXPECT_EQ(BuffersFor(small, 511).bytes, 512u);  // of whole lines
  EXPECT_EQ(BuffersFor(small, 511).count, 1);
  EXPECT_EQ(BuffersFor(small, 384).bytes, 384u);
  EXPECT_EQ(BuffersFor(small, 384).count, 2);
  EXPECT_EQ(BuffersFor({}, 384).bytes, 0u);
  const Cut large = CutOf({.tp = 2, .layers = 1, .hidden = 1040, .ffn = 1032}, {"l0.gate", "l0.up"});
  uint64_t most = 0;
  for (const WeightTile& tile : large.tiles) {
    most = std::max(most, (tile.row_end - tile.row_begin) * large.reads[tile.read].row_bytes);
  }
  EXPECT_GT(most, uint64_t{1} << 19);
  EXPECT_GE(BuffersFor(large.reads, 1).bytes, most);
  EXPECT_LT(BuffersFor(large.reads, 1).bytes, most + kRunAlignment);
  EXPECT_EQ(BuffersFor(large.reads, 1).count, 2);
  for (const WeightWindow& window : CutWindows(large.reads, large.tiles, BuffersFor(large.reads, 1).bytes)) {
    EXPECT_LE(window.bytes, BuffersFor(large.reads, 1).bytes);
  }
  const WeightBuffers all = BuffersFor(large.reads, uint64_t{1} << 30);
  EXPECT_EQ(all.count, 1);
  ASSERT_EQ(CutWindows(large.reads, large.tiles, all.bytes).size(), 1u);
  EXPECT_EQ(CutWindows(large.reads, large.tiles, all.bytes)[0].bytes, all.bytes);
}

}  // namespace
}  // namespace mrs
