#include "runtime/world/node_facts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "runtime/rank/weight_reads.h"
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
  // All rows that a rank reads are one buffer, each source's of whole lines.
  std::vector<uint64_t> read(2);
  for (uint32_t rank = 0; rank < 2; ++rank) {
    for (const WeightRead& of : PlanWeightReads(model.plan(), rank)) {
      read[rank] += (of.row_count * of.row_bytes + 127) / 128 * 128;
    }
    EXPECT_LT(read[rank], weights);  // of bf16, which are f32 on the device
  }
  EXPECT_EQ(MemoryNeeds(model.plan()), read);
  plan::WeightSource& large = model.tree.stages[0]->sources[0];  // whose rows all ranks read
  large.mutate_row_count(uint64_t{1} << 40);
  large.mutable_rows().mutate_size(uint64_t{1} << 40);
  testing::Repack(&model);
  EXPECT_EQ(MemoryNeeds(model.plan()), std::vector<uint64_t>(2, uint64_t{128} << 20));
}

}  // namespace
}  // namespace mrs
