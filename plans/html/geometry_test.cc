#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "plans/html/cluster_layout.h"
#include "plans/html/timeline.h"
#include "plans/html/treemap.h"

namespace mrs::html {
namespace {

using ::testing::ElementsAre;

bool Overlap(const Rect& a, const Rect& b) {
  constexpr double kEps = 1e-6;
  return a.x + kEps < b.x + b.width && b.x + kEps < a.x + a.width && a.y + kEps < b.y + b.height &&
         b.y + kEps < a.y + a.height;
}

bool Within(const Rect& a, const Rect& b) {
  constexpr double kEps = 1e-6;
  return a.x >= b.x - kEps && a.y >= b.y - kEps && a.x + a.width <= b.x + b.width + kEps &&
         a.y + a.height <= b.y + b.height + kEps;
}

TEST(Squarify, GivesTheFigureOfThePaper) {
  const std::vector<uint64_t> sizes = {6, 6, 4, 3, 2, 2, 1};
  const std::vector<Rect> rects = Squarify(sizes, {0, 0, 6, 4});
  const auto is = [&](size_t i, double x, double y, double width, double height) {
    EXPECT_NEAR(rects[i].x, x, 1e-9) << i;
    EXPECT_NEAR(rects[i].y, y, 1e-9) << i;
    EXPECT_NEAR(rects[i].width, width, 1e-9) << i;
    EXPECT_NEAR(rects[i].height, height, 1e-9) << i;
  };
  is(0, 0, 0, 3, 2);
  is(1, 0, 2, 3, 2);
  is(2, 3, 0, 12.0 / 7, 7.0 / 3);
  is(3, 3 + 12.0 / 7, 0, 9.0 / 7, 7.0 / 3);
}

TEST(Squarify, FillsTheAreaInProportionAndNeverTwice) {
  for (const Sequence sequence : {Sequence::kLargestFirst, Sequence::kInOrder}) {
    for (const std::vector<uint64_t>& sizes : std::vector<std::vector<uint64_t>>{{1},
                                                                                 {1, 1, 1, 1, 1, 1, 1},
                                                                                 {1000000, 1, 999, 0, 5},
                                                                                 {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
                                                                                 {UINT64_MAX, 1}}) {
      const Rect area{10, 20, 300, 100};
      const std::vector<Rect> rects = Squarify(sizes, area, sequence);
      ASSERT_EQ(rects.size(), sizes.size());
      double total = 0;
      for (const uint64_t size : sizes) total += static_cast<double>(size);
      for (size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] == 0) {
          EXPECT_EQ(rects[i].width * rects[i].height, 0);
          continue;
        }
        EXPECT_TRUE(Within(rects[i], area)) << i;
        EXPECT_NEAR(rects[i].width * rects[i].height, static_cast<double>(sizes[i]) / total * 30000, 1e-3) << i;
        for (size_t j = 0; j < i; ++j) EXPECT_FALSE(sizes[j] > 0 && Overlap(rects[i], rects[j])) << i << " " << j;
      }
    }
  }
}

TEST(Squarify, HasNothingToDrawOfNothing) {
  EXPECT_TRUE(Squarify({}, {0, 0, 1, 1}).empty());
  const std::vector<uint64_t> zeros = {0, 0};
  EXPECT_EQ(Squarify(zeros, {0, 0, 1, 1})[1].width, 0);
  const std::vector<uint64_t> one = {1, 1};
  for (const Rect& rect : Squarify(one, {0, 0, 0, 0})) EXPECT_EQ(rect.width * rect.height, 0);
}

PageFacts World(uint32_t stages, uint32_t tp, uint32_t dp, uint32_t nodes) {
  PageFacts facts;
  facts.stages.resize(stages);
  for (uint32_t s = 0; s < stages; ++s) facts.stages[s].index = s;
  const uint32_t world = stages * tp * dp;
  for (uint32_t r = 0; r < world; ++r) {
    const uint32_t node = static_cast<uint32_t>(uint64_t{r} * nodes / world);
    facts.ranks.push_back(
        {.rank = r,
         .at = plan::Rank(r % tp, 0, r / tp % stages, r / tp / stages, r, node, plan::DeviceKind::cpu),
         .budget_bytes = {}});
  }
  return facts;
}

TEST(DrawCluster, PutsEveryRankIntoItsFrameAndNowhereTwice) {
  for (const uint32_t stages : {1u, 2u, 3u, 8u, 13u}) {
    for (const uint32_t tp : {1u, 2u, 8u, 16u}) {
      for (const uint32_t dp : {1u, 2u}) {
        for (const uint32_t nodes : {1u, 2u}) {
          const ClusterDrawing drawing = DrawCluster(World(stages, tp, dp, nodes));
          EXPECT_EQ(drawing.nodes.size(), std::min(nodes, stages * tp * dp));
          uint64_t count = 0;
          for (const NodeDrawing& node : drawing.nodes) {
            std::vector<Rect> seen;
            for (const Frame& frame : node.frames) {
              EXPECT_TRUE(Within(frame.at, {0, 0, 1, node.height}));
              for (const Rect& other : seen) EXPECT_FALSE(Overlap(frame.at, other));
              seen.push_back(frame.at);
              for (size_t c = 0; c < frame.chips.size(); ++c) {
                ++count;
                EXPECT_TRUE(Within(frame.chips[c].at, frame.at));
                EXPECT_GE(frame.chips[c].at.width * 340, 30) << "a number of five digits";
                for (size_t d = 0; d < c; ++d) EXPECT_FALSE(Overlap(frame.chips[c].at, frame.chips[d].at));
              }
            }
          }
          EXPECT_EQ(count, uint64_t{stages} * tp * dp);
        }
      }
    }
  }
}

TEST(DrawCluster, LeavesOutWhatIsTooMuchAndCountsIt) {
  const ClusterDrawing drawing = DrawCluster(World(4, 1024, 1, 1));
  EXPECT_EQ(drawing.ranks_left_out, 4 * 1024 - kMaxChips);
}

StepFacts Step(uint32_t index, plan::OpKind op, int32_t layer, uint64_t bytes) {
  const StepKind kind = op == plan::OpKind::all_reduce ? StepKind::kCollective
                        : op == plan::OpKind::send     ? StepKind::kTransfer
                                                       : StepKind::kCompute;
  return {.index = index, .name = "", .op = op, .kind = kind, .layer = layer, .weight_bytes = bytes, .buffer_bytes = 0};
}

StageFacts Stage(uint32_t index, uint32_t layer_begin, uint32_t layer_end, bool first) {
  StageFacts stage{.index = index, .layer_begin = layer_begin, .layer_end = layer_end, .memory = {}};
  const auto add = [&](plan::OpKind op, int32_t layer, uint64_t bytes) {
    stage.steps.push_back(Step(static_cast<uint32_t>(stage.steps.size()), op, layer, bytes));
  };
  if (first) add(plan::OpKind::embed, -1, 10);
  for (uint32_t layer = layer_begin; layer < layer_end; ++layer) {
    add(plan::OpKind::rms_norm, static_cast<int32_t>(layer), 1);
    if (first && layer == layer_begin) add(plan::OpKind::rope_angles, -1, 2);
    add(plan::OpKind::matmul, static_cast<int32_t>(layer), 100);
    add(plan::OpKind::all_reduce, static_cast<int32_t>(layer), 5);
  }
  if (first) add(plan::OpKind::send, -1, 3);
  return stage;
}

PageFacts TwoStages() {
  PageFacts facts;
  facts.stages = {Stage(0, 0, 3, true), Stage(1, 3, 5, false)};
  return facts;
}

TEST(SegmentsOf, CutAtLayersAndKeepWhatLiesWithinOne) {
  const std::vector<Segment> segments = SegmentsOf(TwoStages().stages[0]);
  std::vector<std::string> shown;
  for (const Segment& s : segments) shown.push_back(fmt::format("{}:{}-{} {}", s.layer, s.begin, s.end, s.bytes));
  EXPECT_THAT(shown, ElementsAre("-1:0-1 10", "0:1-5 108", "1:5-8 106", "2:8-11 106", "-1:11-12 3"));
}

TEST(FoldSegments, DrawsWhatIsAlikeOnceAndCoversEveryStep) {
  const PageFacts facts = TwoStages();
  std::vector<std::string> labels;
  size_t steps = 0;
  for (const FoldedSegment& folded : FoldSegments(facts)) {
    labels.push_back(SegmentLabel(facts, folded));
    for (const Segment& segment : folded.all) steps += segment.end - segment.begin;
  }
  EXPECT_THAT(labels, ElementsAre("stage 0, before the layers", "layer 0", "layers 1–4", "stage 0, after the layers"));
  EXPECT_EQ(steps, facts.stages[0].steps.size() + facts.stages[1].steps.size());
}

TEST(Ranges, AreShort) {
  EXPECT_EQ(Ranges({}), "");
  EXPECT_EQ(Ranges({4}), "4");
  EXPECT_EQ(Ranges({0, 1}), "0, 1");
  EXPECT_EQ(Ranges({0, 1, 2, 5, 7, 8, 9}), "0–2, 5, 7–9");
}

TEST(StepShares, AreNeverTooNarrowNorMoreThanAll) {
  StageFacts stage = Stage(0, 0, 1, false);
  const Segment segment{.begin = 0, .end = 3};
  const std::vector<double> shares = StepShares(stage, segment, 106, 0.05);
  EXPECT_GE(shares[0], 0.05);
  EXPECT_GT(shares[1], 0.7);
  EXPECT_LE(shares[0] + shares[1] + shares[2], 1 + 1e-9);
  const std::vector<double> half = StepShares(stage, segment, 212, 0.0);
  EXPECT_NEAR(half[0] + half[1] + half[2], 0.5, 1e-9);
  stage.steps.assign(1000, Step(0, plan::OpKind::add, 0, 0));
  double sum = 0;
  for (const double share : StepShares(stage, {.begin = 0, .end = 1000}, 0, 0.05)) sum += share;
  EXPECT_LE(sum, 1 + 1e-9);
}

TEST(LanesOf, FollowOneAnotherAndTellWorkFromTraffic) {
  const std::vector<std::vector<LanePiece>> lanes = LanesOf(TwoStages());
  ASSERT_EQ(lanes.size(), 2u);
  double at = 0;
  size_t collectives = 0, transfers = 0;
  for (const std::vector<LanePiece>& lane : lanes) {
    for (const LanePiece& piece : lane) {
      EXPECT_NEAR(piece.begin, at, 1e-9);
      EXPECT_GE(piece.end, piece.begin);
      at = piece.end;
      collectives += piece.kind == StepKind::kCollective ? 1 : 0;
      transfers += piece.kind == StepKind::kTransfer ? 1 : 0;
    }
  }
  EXPECT_NEAR(at, 1, 1e-9);
  EXPECT_EQ(collectives, 5u);
  EXPECT_EQ(transfers, 1u);
}

TEST(LanesOf, HaveBoundedPieces) {
  PageFacts facts;
  facts.stages.resize(1);
  for (uint32_t i = 0; i < 200'000; ++i) {
    facts.stages[0].steps.push_back(
        Step(i, i % 2 == 0 ? plan::OpKind::send : plan::OpKind::all_reduce, static_cast<int32_t>(i % 4096), 1));
  }
  const std::vector<std::vector<LanePiece>> lanes = LanesOf(facts);
  EXPECT_LE(lanes[0].size(), 20'001u);
  EXPECT_NEAR(lanes[0].back().end, 1, 1e-9);
}

}  // namespace
}  // namespace mrs::html
