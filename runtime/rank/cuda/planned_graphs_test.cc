// Plans of the planner count the graphs that their ranks come to: decodes of every size, of which some want candidates
// and some all logits, as requests without and with logprobs come to a server in turn, are all captured at start. On
// the emulated device, of the bundled model.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "host/source_dir_for_test.h"
#include "kernels/kernels.h"
#include "planner/build.h"
#include "planner/cluster/short_form.h"
#include "runtime/comm/region.h"
#include "runtime/rank/cuda/cuda_executor.h"
#include "runtime/rank/cuda/random_batches_for_test.h"

namespace mrs {
namespace {

constexpr uint32_t kMaxSeqs = 3;  // graphs are of 1, 2 and 3 rows
constexpr uint32_t kRounds = 2;

struct Row {
  const char* gpus;
  int64_t tp, stages;
  const char* collectives;
};

// The planner's plan, as batches are made for one.
testing::TestModel PlanOf(const Row& row) {
  planner::BuildOptions options;
  options.model_dir = SourceDir() + "/models/mini";
  options.name = "mini";
  options.tp = row.tp;
  options.pp = row.stages;
  options.numerics = "pair2";
  options.max_len = 64;
  options.max_seqs = kMaxSeqs;
  options.collectives = row.collectives;
  options.cluster = *cluster::ParseGpus(row.gpus);
  const Result<planner::Built> built = planner::Build(options);
  EXPECT_TRUE(built.ok()) << built.message();
  testing::TestModel model;
  if (!built.ok()) return model;
  model.bytes.assign(built->plan_bytes.begin(), built->plan_bytes.end());
  model.directory = options.model_dir;
  model.config.max_len = model.plan().max_len();
  model.config.max_seqs = model.plan().max_seqs();
  model.config.vocab = static_cast<uint32_t>(model.plan().model()->vocab());
  return model;
}

// Of each size a decode that wants candidates, then one that wants all logits, and so on.
std::vector<Batch> AlternatingDecodes(const testing::TestModel& model) {
  RandomBatches random(model, 20261127);
  std::vector<Batch> batches;
  for (uint32_t round = 0; round < kRounds; ++round) {
    for (uint32_t rows = 1; rows <= kMaxSeqs; ++rows) {
      for (const Variant variant : {Variant::kCandidates, Variant::kAllLogits}) {
        batches.push_back(random.Continue(rows, 1));
        batches.back().variant = variant;
      }
    }
  }
  return batches;
}

// What each rank's graphs came to; a thread a rank.
std::vector<GraphCache::Counts> CountsOf(const testing::TestModel& model, const std::vector<Batch>& batches) {
  const uint32_t rank_count = model.plan().ranks()->size();
  std::vector<std::unique_ptr<Communicator>> world = *MakeLocalCommunicators(static_cast<int>(rank_count));
  std::vector<GraphCache::Counts> counts(rank_count);
  std::vector<std::thread> ranks;
  for (uint32_t rank = 0; rank < rank_count; ++rank) {
    ranks.emplace_back([&, rank] {
      const kernels::ScopedFlushToZero flush;
      const auto executor = MakeCudaExecutor(model.plan(), rank, world[rank].get(),
                                             {.model_dir = model.directory, .graph_counts = &counts[rank]});
      ASSERT_TRUE(executor.ok()) << executor.message();
      for (const Batch& batch : batches) {
        const Result<StepOutput> out = RunForward(**executor, batch);
        ASSERT_TRUE(out.ok()) << out.message();
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  return counts;
}

TEST(PlannedGraphs, AreEnoughForDecodesOfBothVariantsInTurn) {
  const Row rows[] = {
      {"EMU-2GB", 1, 1, ""}, {"2xEMU-2GB", 2, 1, "staged"}, {"2xEMU-2GB", 1, 2, "staged"}, {"2xEMU-2GB", 1, 2, "nccl"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(fmt::format("{}, tp {}, {} stages {}", row.gpus, row.tp, row.stages, row.collectives));
    const testing::TestModel model = PlanOf(row);
    ASSERT_FALSE(model.bytes.empty());
    const std::vector<Batch> batches = AlternatingDecodes(model);
    const std::vector<GraphCache::Counts> counts = CountsOf(model, batches);
    ASSERT_EQ(counts.size(), static_cast<size_t>(row.tp * row.stages));
    for (size_t rank = 0; rank < counts.size(); ++rank) {
      const bool ends_model = static_cast<int64_t>(rank) / row.tp + 1 == row.stages;
      const uint64_t programs = ends_model ? 2 : 1;  // another does the same for both variants
      EXPECT_EQ(counts[rank].captured, programs * kMaxSeqs) << "rank " << rank;
      EXPECT_EQ(counts[rank].launched, batches.size()) << "rank " << rank;
    }
  }
}

}  // namespace
}  // namespace mrs
