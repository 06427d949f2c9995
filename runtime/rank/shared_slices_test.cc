#include "runtime/rank/shared_slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "runtime/rank/weight_reads.h"
#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

class SharedSlicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/shared_slices";
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  testing::TestModel Model(const testing::TestModelConfig& config) {
    return testing::MakeTestModel(config, directory_);
  }
  // The names of what a rank shares.
  static std::set<std::string> Names(const testing::TestModel& model, const SharedSlices& shared, uint32_t rank) {
    std::set<std::string> names;
    const std::vector<WeightRead> reads = PlanWeightReads(model.plan(), rank);
    for (const SharedRead& one : shared.of_rank[rank]) {
      const uint32_t source = reads[one.read].source;
      names.insert(model.tree.names[StageOf(model.plan(), rank).sources()->Get(source)->name()]);
    }
    return names;
  }
  std::string directory_;
};

TEST_F(SharedSlicesTest, OneRankSharesNothing) {
  const testing::TestModel model = Model({});
  const SharedSlices shared = SharedSlicesOf(model.plan());
  EXPECT_TRUE(shared.of_rank.at(0).empty());
  EXPECT_EQ(shared.bytes, 0u);
  EXPECT_GT(shared.all_bytes, 0u);
}

TEST_F(SharedSlicesTest, SplitsAreOnesOwnAndReplicasAreNot) {
  const testing::TestModel two = Model({.tp = 2, .layers = 1, .kv_heads = 2});
  const SharedSlices of_two = SharedSlicesOf(two.plan());
  const std::set<std::string> names = Names(two, of_two, 0);
  EXPECT_FALSE(names.empty());
  for (const std::string& name : names) EXPECT_THAT(name, ::testing::Not(::testing::HasSubstr("gate")));
  EXPECT_EQ(Names(two, of_two, 1), names);
  EXPECT_LT(of_two.bytes, of_two.all_bytes);
  // Two KV heads on four ranks: each is read by two.
  const testing::TestModel four = Model({.tp = 4, .layers = 1, .kv_heads = 2});
  const SharedSlices of_four = SharedSlicesOf(four.plan());
  const std::set<std::string> more = Names(four, of_four, 3);
  EXPECT_GT(more.size(), names.size());
  const auto slices = [&](uint32_t rank) {
    std::set<uint32_t> all;
    for (const SharedRead& one : of_four.of_rank[rank]) all.insert(one.slice);
    return all;
  };
  EXPECT_EQ(slices(0), slices(1));
  EXPECT_EQ(slices(2), slices(3));
  EXPECT_NE(slices(1), slices(2));
}

TEST_F(SharedSlicesTest, NamesTensorSliceAndBothRanks) {
  const testing::TestModel model = Model({.tp = 4, .layers = 1, .kv_heads = 2});
  const SharedSlices shared = SharedSlicesOf(model.plan());
  std::vector<std::vector<std::string>> digests;
  for (const auto& own : shared.of_rank) {
    auto& of_rank = digests.emplace_back();
    for (const SharedRead& one : own) of_rank.push_back(std::string(15, 'x') + static_cast<char>(one.slice));
  }
  EXPECT_TRUE(CompareShared(model.plan(), shared, digests).ok());
  // The one that only ranks 2 and 3 share.
  std::set<uint32_t> of_first;
  for (const SharedRead& one : shared.of_rank[0]) of_first.insert(one.slice);
  size_t at = 0;
  while (of_first.contains(shared.of_rank[3][at].slice)) ++at;
  const std::string before = digests[3][at];
  digests[3][at] = std::string(16, 'y');
  const plan::WeightSource& source = *model.plan().stages()->Get(0)->sources()->Get(
      PlanWeightReads(model.plan(), 3)[shared.of_rank[3][at].read].source);
  EXPECT_THAT(CompareShared(model.plan(), shared, digests).message(),
              ::testing::MatchesRegex(fmt::format("model.safetensors: tensor {}, slice 1 of 2: ranks 2 and 3 read "
                                                  "different bytes \\(XXH3-128 (78)+.. and (79)+\\); .*",
                                                  model.tree.names[source.name()])));
  digests[3].pop_back();
  EXPECT_EQ(CompareShared(model.plan(), shared, digests).message(),
            fmt::format("rank 3 sent {} digests of what other ranks read, too; expected {}",
                        shared.of_rank[3].size() - 1, shared.of_rank[3].size()));
}

}  // namespace
}  // namespace mrs
