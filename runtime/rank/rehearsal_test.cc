#include "runtime/rank/rehearsal.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "runtime/rank/batch_bounds.h"
#include "runtime/rank/measured.h"
#include "runtime/rank/weight_reads.h"
#include "runtime/rank/weight_tiles.h"
#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

class RehearsalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/rehearsal";
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  testing::TestModel Model(const testing::TestModelConfig& config) {
    return testing::MakeTestModel(config, directory_);
  }
  std::string directory_;
};

TEST_F(RehearsalTest, AllOfAStageLiesWhereThePlanSays) {
  const testing::TestModel model = Model({.layers = 3});
  const plan::Stage& stage = *model.plan().stages()->Get(0);
  const RehearsedStage all = RehearsedStageOf(stage, RehearsalScope::kAll);
  EXPECT_EQ(all.layers, (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(all.weight_bytes, stage.weight_arena_bytes());
  for (uint32_t i = 0; i < stage.weights()->size(); ++i) {
    EXPECT_EQ(all.weight_offsets[i], stage.weights()->Get(i)->offset());
  }
  for (const plan::Step* step : *stage.steps()) EXPECT_TRUE(RunsIn(all, *step));
}

TEST_F(RehearsalTest, OneLayerOfEachKindStandsForAllOfItsKind) {
  struct Case {
    testing::TestModelConfig config;
    std::vector<std::vector<uint32_t>> layers;  // of each stage
  };
  const Case cases[] = {{{.layers = 5}, {{0}}},
                        {{.layers = 5, .window = 20}, {{0, 1}}},
                        {{.stages = 2, .layers = 4}, {{0}, {2}}},
                        {{.stages = 2, .layers = 4, .window = 20}, {{0, 1}, {2, 3}}}};
  for (const Case& one : cases) {
    const testing::TestModel model = Model(one.config);
    for (uint32_t s = 0; s < model.plan().stages()->size(); ++s) {
      EXPECT_EQ(RehearsedStageOf(*model.plan().stages()->Get(s), RehearsalScope::kLayers).layers, one.layers[s]);
    }
  }
}

TEST_F(RehearsalTest, WeightsOfWhatRunsHavePlacesOfTheirOwnAndOthersNone) {
  const testing::TestModel model = Model({.layers = 6});
  const plan::Stage& stage = *model.plan().stages()->Get(0);
  const RehearsedStage one = RehearsedStageOf(stage, RehearsalScope::kLayers);
  EXPECT_LT(one.weight_bytes, stage.weight_arena_bytes());
  std::set<uint32_t> used;
  for (const plan::Step* step : *stage.steps()) {
    if (!RunsIn(one, *step)) continue;
    EXPECT_LE(step->layer(), 0);
    for (uint32_t i = 0; i < step->operand_count(); ++i) {
      const plan::Ref& ref = *stage.refs()->Get(step->operand_begin() + i);
      if (ref.space() == plan::RefSpace::weight) used.insert(ref.index());
    }
  }
  ASSERT_FALSE(used.empty());
  ASSERT_LT(used.size(), stage.weights()->size());
  uint64_t end = 0;  // weights lie in their order
  for (const uint32_t index : used) {
    EXPECT_EQ(one.weight_offsets[index] % 64, 0u);
    EXPECT_GE(one.weight_offsets[index], end);
    end = one.weight_offsets[index] + stage.weights()->Get(index)->bytes();
  }
  EXPECT_LE(end, one.weight_bytes);
}

TEST_F(RehearsalTest, AllIsRehearsedWhereTheRanksOfTheNodeFit) {
  testing::TestModel model = Model({.tp = 2});
  const plan::Stage& stage = *model.plan().stages()->Get(0);
  const uint64_t now = 2 * (stage.weight_arena_bytes() + stage.activation_arena_bytes());
  const uint64_t all = now + 2 * stage.kv_arena_bytes();
  const auto scope = [&](uint64_t total, uint64_t free) {
    return ChooseScope(model.plan(), 0, {.total_bytes = total, .free_bytes = free});
  };
  EXPECT_EQ(scope(all, now), RehearsalScope::kAll);
  EXPECT_EQ(scope(all - 1, now), RehearsalScope::kLayers);
  EXPECT_EQ(scope(all, now - 1), RehearsalScope::kLayers);
  EXPECT_EQ(scope(UINT64_MAX, UINT64_MAX), RehearsalScope::kAll);
  model.tree.ranks[1].mutate_node(1);
  testing::Repack(&model);
  EXPECT_EQ(NeedOfNode(model.plan(), 1).rank_count, 1u);
  EXPECT_EQ(NeedOfNode(model.plan(), 0).now_bytes, now / 2);
}

// Whatever the plan: what is sent must be what a serving engine could send.
// Of two on one host: its memory is passed by both's weights, and has nothing else of them.
TEST_F(RehearsalTest, GpusNeedBuffersOfTheirHost) {
  testing::TestModel model = Model({.tp = 2});
  for (plan::Rank& rank : model.tree.ranks) rank.mutate_kind(plan::DeviceKind::cuda);
  plan::WeightSource& large = model.tree.stages[0]->sources[0];  // whose rows all ranks read
  large.mutate_row_count(uint64_t{1} << 40);
  large.mutable_rows().mutate_size(uint64_t{1} << 40);
  testing::Repack(&model);
  const NodeNeed need = NeedOfNode(model.plan(), 0);
  EXPECT_EQ(need.rank_count, 2u);
  EXPECT_EQ(need.now_bytes, 2 * 2 * kWeightBufferBytes);
  EXPECT_EQ(need.kv_bytes, 0u);
}

TEST_F(RehearsalTest, EveryBucketsBatchIsWithinBoundsAndFillsIt) {
  const testing::TestModelConfig configs[] = {{},
                                              {.max_seqs = 1},
                                              {.max_len = 1, .max_tokens = 16},
                                              {.max_len = 33, .max_seqs = 3, .max_tokens = 128},
                                              {.stages = 2, .layers = 4, .window = 20, .max_tokens = 64}};
  for (const testing::TestModelConfig& config : configs) {
    const testing::TestModel model = Model(config);
    const plan::Plan& plan = model.plan();
    const Result<std::vector<KvSpace>> spaces = KvSpacesOf(plan);
    ASSERT_TRUE(spaces.ok()) << spaces.message();
    for (const plan::Bucket* bucket : *plan.stages()->Get(plan.stages()->size() - 1)->buckets()) {
      for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
        const Batch batch = RehearsalBatch(plan, *spaces, *bucket, variant);
        const Status checked = CheckBatch(BoundsOf(plan, 0, *spaces), batch);
        EXPECT_TRUE(checked.ok()) << checked.message();
        EXPECT_EQ(batch.tokens.size(),
                  std::min<uint64_t>(bucket->tokens(), uint64_t{bucket->sequences()} * plan.max_len()));
        EXPECT_EQ(batch.logit_rows.size(), std::min<uint64_t>(bucket->logit_rows(), batch.tokens.size()));
        EXPECT_EQ(batch.variant, variant);
        // No two tokens are written to one place.
        std::set<int32_t> slots(batch.kv[0].slots.begin(), batch.kv[0].slots.end());
        EXPECT_EQ(slots.size(), batch.tokens.size());
      }
    }
  }
}

TEST(CollectiveTimes, TellsLeastAndMiddleOfEachKindAndSize) {
  CollectiveTimes times;
  const Exchange sum{.kind = ExchangeKind::kAllReduce, .algorithm = plan::CollectiveAlgorithm::doubling, .bytes = 64};
  const Exchange larger{
      .kind = ExchangeKind::kAllReduce, .algorithm = plan::CollectiveAlgorithm::doubling, .bytes = 65};
  for (const uint64_t ns : {9, 3, 5}) times.Add(sum, ns);
  times.Add(larger, 7);
  const std::vector<MeasuredExchange> summary = times.Summary();
  ASSERT_EQ(summary.size(), 2u);
  EXPECT_EQ(summary[0].exchange, sum);
  EXPECT_EQ(summary[0].count, 3u);
  EXPECT_EQ(summary[0].min_ns, 3u);
  EXPECT_EQ(summary[0].median_ns, 5u);
  EXPECT_EQ(summary[1].exchange, larger);
  EXPECT_EQ(Median({}), 0u);
}

}  // namespace
}  // namespace mrs
