#include "runtime/rank/kv_spaces.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

class KvSpacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/kv_spaces";
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Four layers in two stages, every second with a window.
  testing::TestModel Model() {
    return testing::MakeTestModel({.stages = 2, .layers = 4, .window = 20, .max_tokens = 16}, directory_);
  }
  std::string directory_;
};

TEST_F(KvSpacesTest, OneForEachWindowWhateverStageHasIt) {
  testing::TestModel model = Model();
  // The first stage has windows alone, fewer blocks of them.
  auto& first = model.tree.stages[0]->kv_classes;
  ASSERT_EQ(first.size(), 2u);
  first.erase(first.begin());
  first[0].mutate_block_count(7);
  testing::Repack(&model);
  const Result<std::vector<KvSpace>> spaces = KvSpacesOf(model.plan());
  ASSERT_TRUE(spaces.ok()) << spaces.message();
  ASSERT_EQ(spaces->size(), 2u);
  EXPECT_EQ((*spaces)[0].window, 0u);
  EXPECT_EQ((*spaces)[0].block_count, 16u);
  EXPECT_EQ((*spaces)[0].sequence_blocks, 4u);
  EXPECT_EQ((*spaces)[1].window, 20u);
  EXPECT_EQ((*spaces)[1].block_count, 7u);
  EXPECT_EQ((*spaces)[1].sequence_blocks, 3u);
  EXPECT_EQ(SpacesOfClasses(*spaces, *model.plan().stages()->Get(0)), std::vector<uint32_t>{1});
  EXPECT_EQ(SpacesOfClasses(*spaces, *model.plan().stages()->Get(1)), (std::vector<uint32_t>{0, 1}));
}

TEST_F(KvSpacesTest, RefusesRingsThatDifferAndKindsThatNobodyReads) {
  testing::TestModel model = Model();
  model.tree.stages[1]->kv_classes[1].mutate_sequence_blocks(4);
  testing::Repack(&model);
  EXPECT_EQ(KvSpacesOf(model.plan()).message(),
            "the plan's layers of window 20 have rings of 3 blocks in one stage and of 4 in another; build it again "
            "with this version's mrs-plan");
  model.tree.stages[0]->kv_classes[0].mutate_kind(plan::KvKind::latent);
  testing::Repack(&model);
  EXPECT_EQ(KvSpacesOf(model.plan()).message(),
            "this mrs-exec runs attention that is full or has a window; the plan has a KV class that is latent");
}

}  // namespace
}  // namespace mrs
