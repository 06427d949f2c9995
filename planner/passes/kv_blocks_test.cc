#include "planner/passes/kv_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace mrs::planner {
namespace {

using ::testing::ElementsAre;

constexpr KvLimits kLimits = {.max_len = 96, .max_seqs = 4, .batch_tokens = 8};

// Blocks of each class, stage by stage, of classes given as {window, block bytes}; empty where one sequence does not
// fit.
struct Given {
  int64_t bytes;
  std::vector<std::pair<int64_t, int64_t>> classes;
};
std::vector<std::vector<int64_t>> Blocks(const std::vector<Given>& given, const KvLimits& limits = kLimits) {
  std::vector<StageKv> stages;
  for (const Given& stage : given) {
    StageKv& kv = stages.emplace_back();
    kv.bytes = stage.bytes;
    for (const auto& [window, bytes] : stage.classes)
      kv.classes.push_back({.window = window, .layers = 1, .block_bytes = bytes});
  }
  if (CountKvBlocks(limits, &stages)) return {};
  std::vector<std::vector<int64_t>> counts;
  for (const StageKv& stage : stages) {
    counts.emplace_back();
    for (const KvClassBlocks& of_class : stage.classes) counts.back().push_back(of_class.block_count);
  }
  return counts;
}

TEST(KvBlocks, ASequenceHoldsAllOrARing) {
  EXPECT_EQ(SequenceBlocks(0, kLimits), 3);
  EXPECT_EQ(SequenceBlocks(0, {.max_len = 97, .max_seqs = 1, .batch_tokens = 8}), 4);
  EXPECT_EQ(SequenceBlocks(1, {.max_len = 4096, .max_seqs = 1, .batch_tokens = 1}), 1);  // the token itself
  EXPECT_EQ(SequenceBlocks(2, {.max_len = 4096, .max_seqs = 1, .batch_tokens = 1}),
            2);  // and one before it, in another
  EXPECT_EQ(SequenceBlocks(32, {.max_len = 4096, .max_seqs = 1, .batch_tokens = 1}), 2);
  EXPECT_EQ(SequenceBlocks(1024, {.max_len = 8192, .max_seqs = 1, .batch_tokens = 512}), 49);
  EXPECT_EQ(SequenceBlocks(1024, {.max_len = 1000, .max_seqs = 1, .batch_tokens = 512}), 32);  // never more than all
}

TEST(KvBlocks, NoneWaitsForMoreThanMaxSeqsCanUse) {
  EXPECT_THAT(Blocks({{1 << 20, {{0, 10}}}}), ElementsAre(ElementsAre(12)));
  EXPECT_THAT(Blocks({{1 << 20, {{0, 10}, {16, 10}}}}), ElementsAre(ElementsAre(12, 8)));  // 3 and 2 blocks a sequence
}

TEST(KvBlocks, OneClassTakesWhatThereIs) {
  EXPECT_THAT(Blocks({{79, {{0, 10}}}}), ElementsAre(ElementsAre(7)));
  EXPECT_THAT(Blocks({{30, {{0, 10}}}}), ElementsAre(ElementsAre(3)));
  EXPECT_THAT(Blocks({{29, {{0, 10}}}}), ElementsAre());
}

// 1024 layers of 4096 heads of 4096, for sequences of 2^30 tokens.
TEST(KvBlocks, MoreThan64BitsCountDoesNotFit) {
  const KvLimits limits = {.max_len = int64_t{1} << 30, .max_seqs = 4096, .batch_tokens = 4096};
  for (const int64_t bytes : {int64_t{1} << 38, int64_t{1} << 39, int64_t{1} << 41}) {  // 2^63, 2^64 and 2^66 in all
    std::vector<StageKv> stages = {{int64_t{1} << 48, {{.window = 0, .layers = 1024, .block_bytes = bytes}}}};
    EXPECT_EQ(CountKvBlocks(limits, &stages), 0u);
    EXPECT_EQ(SequenceBytes(stages[0]), std::numeric_limits<int64_t>::max());
  }
}

TEST(KvBlocks, ClassesHoldEquallyManySequencesAndTheFirstTheRest) {
  // A sequence is 3 x 10 + 2 x 10 bytes; two fit, and 4 blocks more.
  EXPECT_THAT(Blocks({{149, {{0, 10}, {16, 10}}}}), ElementsAre(ElementsAre(10, 4)));
  EXPECT_THAT(Blocks({{50, {{0, 10}, {16, 10}}}}), ElementsAre(ElementsAre(3, 2)));
  EXPECT_THAT(Blocks({{49, {{0, 10}, {16, 10}}}}), ElementsAre());
}

TEST(KvBlocks, StagesHaveEquallyManyOfAClass) {
  EXPECT_THAT(Blocks({{1 << 20, {{0, 10}}}, {79, {{0, 10}}}}), ElementsAre(ElementsAre(7), ElementsAre(7)));
  // One stage has windows alone, and they are as short of blocks as in the other.
  EXPECT_THAT(Blocks({{1 << 20, {{16, 10}}}, {100, {{0, 10}, {16, 10}}}}),
              ElementsAre(ElementsAre(4), ElementsAre(6, 4)));
  std::vector<StageKv> stages = {{1 << 20, {{.window = 0, .layers = 1, .block_bytes = 10}}},
                                 {29, {{.window = 0, .layers = 1, .block_bytes = 10}}}};
  EXPECT_EQ(CountKvBlocks(kLimits, &stages), 1u);
}

}  // namespace
}  // namespace mrs::planner
