#include "runtime/world/node_facts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/testing/llama_plan.h"

namespace mrs {
namespace {

TEST(MemoryNeeds, OfAGpuAreTheBuffersThatItsWeightsPass) {
  const std::string folder = ::testing::TempDir() + "/needs";
  std::filesystem::create_directories(folder);
  testing::TestModel model = testing::MakeTestModel({.tp = 2}, folder);
  const plan::StageT& stage = *model.tree.stages[0];
  const uint64_t weights = stage.weight_arena_bytes;
  const uint64_t all = weights + stage.activation_arena_bytes + stage.kv_arena_bytes;
  ASSERT_LT(weights, all);
  EXPECT_EQ(MemoryNeeds(model.plan()), std::vector<uint64_t>(2, all));
  for (plan::Rank& rank : model.tree.ranks) rank.mutate_kind(plan::DeviceKind::cuda);
  testing::Repack(&model);
  EXPECT_EQ(MemoryNeeds(model.plan()), std::vector<uint64_t>(2, weights));  // all of them are one buffer
  model.tree.stages[0]->weight_arena_bytes = uint64_t{80} << 30;
  testing::Repack(&model);
  EXPECT_EQ(MemoryNeeds(model.plan()), std::vector<uint64_t>(2, uint64_t{128} << 20));
}

}  // namespace
}  // namespace mrs
