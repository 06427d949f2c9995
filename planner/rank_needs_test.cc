// The needs are those of real plans, byte for byte: every family's random checkpoint and the bundled model, in every
// layout that is legal for it.
#include "planner/rank_needs.h"

#include <gtest/gtest.h>

#include "planner/build.h"
#include "planner/cluster/short_form.h"
#include "planner/erasure_subject_for_test.h"
#include "planner/legality.h"
#include "planner/model_facts.h"
#include "plans/plan_generated.h"

namespace mrs::planner {
namespace {

// How many stages were compared.
size_t HoldAgainstItsPlan(const BuildOptions& options) {
  const Result<Built> built = Build(options);
  const Result<ModelFacts> model = ReadModelFacts(options);
  EXPECT_TRUE(built.ok()) << built.message();
  EXPECT_TRUE(model.ok()) << model.message();
  if (!built || !model) return 0;
  const plan::Plan* plan = plan::GetPlan(built->plan_bytes.data());
  const PlanFacts& facts = model->facts;
  const std::vector<RankNeed> needs =
      RankNeeds(facts.model, {model->layout, facts.weight_dtype == "bf16", facts.max_len, facts.max_seqs,
                              model->budget.cuda, model->budget.collectives});
  EXPECT_EQ(needs.size(), plan->stages()->size());
  std::vector<StageKv> kv;
  for (size_t s = 0; s < needs.size(); ++s) {
    const auto first = facts.ranks.begin() + static_cast<std::ptrdiff_t>(s) * model->layout.mesh.tp;
    const auto least = std::min_element(first, first + model->layout.mesh.tp,
                                        [](const RankPlace& a, const RankPlace& b) { return a.memory < b.memory; });
    kv.push_back({least->memory - needs[s].Fixed(), needs[s].kv});
  }
  EXPECT_FALSE(CountKvBlocks({facts.max_len, facts.max_seqs, model->layout.buckets.back().tokens}, &kv));
  for (size_t s = 0; s < needs.size(); ++s) {
    const plan::Stage& stage = *plan->stages()->Get(static_cast<uint32_t>(s));
    EXPECT_EQ(needs[s].weights, static_cast<int64_t>(stage.weight_arena_bytes())) << "stage " << s;
    EXPECT_EQ(needs[s].activations, static_cast<int64_t>(stage.activation_arena_bytes())) << "stage " << s;
    EXPECT_EQ(needs[s].beside.workspace, static_cast<int64_t>(stage.workspace_bytes())) << "stage " << s;
    EXPECT_EQ(needs[s].beside.graphs, static_cast<int64_t>(stage.graphs_bytes())) << "stage " << s;
    EXPECT_EQ(needs[s].beside.communicators, static_cast<int64_t>(stage.communicators_bytes())) << "stage " << s;
    EXPECT_EQ(needs[s].kv.size(), stage.kv_classes()->size()) << "stage " << s;
    if (needs[s].kv.size() != stage.kv_classes()->size()) continue;
    for (size_t c = 0; c < needs[s].kv.size(); ++c) {
      const plan::KvClass& of_class = *stage.kv_classes()->Get(static_cast<uint32_t>(c));
      EXPECT_EQ(needs[s].kv[c].block_bytes, static_cast<int64_t>(of_class.block_bytes())) << "class " << c;
      EXPECT_EQ(needs[s].kv[c].sequence_blocks, static_cast<int64_t>(of_class.sequence_blocks())) << "class " << c;
      EXPECT_EQ(kv[s].classes[c].block_count, static_cast<int64_t>(of_class.block_count())) << "class " << c;
      EXPECT_EQ(needs[s].kv[c].window, static_cast<int64_t>(of_class.window())) << "class " << c;
    }
  }
  return needs.size();
}

class RankNeedsOf : public testing::TestWithParam<const char*> {};

TEST_P(RankNeedsOf, AreThoseOfItsPlans) {
  size_t stages = 0;
  BuildOptions options = Options(GetParam(), {});
  const Result<ModelFacts> model = ReadModelFacts(options);
  ASSERT_TRUE(model.ok()) << model.message();
  const auto layers = static_cast<int64_t>(model->facts.model.layers.size());
  for (const TpVerdict& verdict : LegalTp(model->facts.model)) {
    if (!verdict.legal()) continue;
    options.tp = verdict.tp;
    for (const int64_t pp : {int64_t{1}, int64_t{2}, layers}) {
      options.pp = std::min(pp, layers);
      for (const char* dtype : {"bf16", "f32"}) {
        options.dtype = dtype;
        for (const auto& [max_len, max_seqs] : {std::pair<int64_t, int64_t>{128, 16}, {33, 1}, {8, 700}}) {
          options.max_len = max_len;
          options.max_seqs = max_seqs;
          SCOPED_TRACE(
              fmt::format("tp {} pp {} {} max_len {} max_seqs {}", *options.tp, options.pp, dtype, max_len, max_seqs));
          stages += HoldAgainstItsPlan(options);
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
  EXPECT_GE(stages, 24u);
}

// Of which launches, on GPUs, the arena tells.
INSTANTIATE_TEST_SUITE_P(Heads, RankNeedsOf,
                         testing::Values("HeadsOf32", "HeadsOf16", "HalvesTurned", "NeighboursTurned", "AllProducts"));

INSTANTIATE_TEST_SUITE_P(Families, RankNeedsOf,
                         testing::Values("models/mini", "Exaone4", "Gemma2", "Gemma3", "Glm4", "Granite", "Ministral3",
                                         "Olmo3", "Phi3", "StableLm"));

TEST_P(RankNeedsOf, AreThoseOfItsPlansForGpus) {
  for (const char* gpus : {"2GiB", "2x2GiB", "2GiB,1GiB", "2x2x2GiB"}) {
    for (const bool nccl : {true, false}) {
      BuildOptions options = Options(GetParam(), {});
      const auto cluster = cluster::ParseGpus(gpus);
      ASSERT_TRUE(cluster.ok()) << cluster.message();
      options.cluster = *cluster;
      options.tp.reset();
      options.collectives = nccl ? "nccl" : "staged";
      options.any_world = true;
      SCOPED_TRACE(fmt::format("--gpus {} --collectives {}", gpus, options.collectives));
      EXPECT_GE(HoldAgainstItsPlan(options), 1u);
    }
  }
}

// In the first layer of a stage the angles are made between the products and the append.
TEST_P(RankNeedsOf, AreThoseOfItsPlansForGpusOfALayerEach) {
  BuildOptions options = Options(GetParam(), {});
  const Result<ModelFacts> model = ReadModelFacts(options);
  ASSERT_TRUE(model.ok()) << model.message();
  const size_t layers = model->facts.model.layers.size();
  const auto cluster = cluster::ParseGpus(fmt::format("{}xL4", layers));
  ASSERT_TRUE(cluster.ok()) << cluster.message();
  options.cluster = *cluster;
  options.tp = 1;
  options.pp = static_cast<int64_t>(layers);
  options.collectives = "staged";
  EXPECT_EQ(HoldAgainstItsPlan(options), layers);
}

TEST_P(RankNeedsOf, AreThoseOfItsPlansByPeerMemory) {
  const auto cluster = cluster::ParseGpus("4xH100-SXM");
  ASSERT_TRUE(cluster.ok()) << cluster.message();
  for (const int64_t stages : {1, 2}) {
    BuildOptions options = Options(GetParam(), {});
    options.cluster = *cluster;
    options.tp = 2;
    options.pp = stages;
    options.collectives = "ipc";
    SCOPED_TRACE(fmt::format("{} stages", stages));
    EXPECT_EQ(HoldAgainstItsPlan(options), static_cast<size_t>(stages));
  }
}

TEST(RulesOfOptions, CanFire) {
  BuildOptions options = Options("models/mini", {});
  options.max_seqs = 5000;
  EXPECT_EQ(ReadModelFacts(options).message(), "--max-seqs 5000: expected 1 to 4096 sequences in one forward");
  options.max_seqs = 1;
  options.memory = (uint64_t{1} << 48) + 1;
  EXPECT_EQ(ReadModelFacts(options).message(),
            "--memory 281474976710657: expected at most 281474976710656 bytes a rank");
}

TEST(RankNeeds, OfCudaRanksAreMoreThanArenas) {
  const Result<ModelFacts> model = ReadModelFacts(Options("models/mini", {.tp = 2, .stages = 2}));
  ASSERT_TRUE(model.ok()) << model.message();
  NeedsOf of = {model->layout, true, 256, 16};
  const RankNeed cpu = RankNeeds(model->facts.model, of).front();
  of.cuda = true;
  of.collectives = Collectives::kNccl;
  const RankNeed cuda = RankNeeds(model->facts.model, of).front();
  EXPECT_EQ(cuda.weights, cpu.weights);
  EXPECT_GT(cuda.activations, cpu.activations);  // what gates two products lives in their step, beside both
  EXPECT_EQ(cuda.sequence, cpu.sequence);
  EXPECT_EQ(cpu.beside.Total(), 0);
  EXPECT_EQ(cuda.beside.workspace, 33554432 + 4096);
  EXPECT_EQ(cuda.beside.graphs % (5 * 8192), 0);  // of 1, 2, 4, 8 and 16 rows
  // 32 channels of 4 MiB + 512 KiB + 4800 KiB in the tensor-parallel group, 32 of 4 MiB to the next stage
  EXPECT_EQ(cuda.beside.communicators, int64_t{32} * (4194304 + 524288 + 4915200) + int64_t{32} * 4194304);
  // Of four ranks, sums in shares join each to three others by 4 channels.
  const Result<ModelFacts> four = ReadModelFacts(Options("models/mini", {.tp = 4}));
  ASSERT_TRUE(four.ok()) << four.message();
  NeedsOf of_four = of;
  of_four.layout = four->layout;
  EXPECT_EQ(RankNeeds(four->facts.model, of_four).front().beside.communicators,
            int64_t{32 + 3 * 4} * (4194304 + 524288 + 4915200));
  // Without it there are none, and a graph is cut at each exchange: a piece of 2 MiB more for each.
  of.collectives = Collectives::kStaged;
  const RankNeed staged = RankNeeds(model->facts.model, of).front();
  EXPECT_EQ(staged.beside.communicators, 0);
  const int64_t exchanges = 1 + 2 * model->layout.stages.front().layer_end + 1;  // embedding, layers, a send
  EXPECT_EQ(staged.beside.graphs - cuda.beside.graphs, 5 * exchanges * 2097152);
  // By peer memory a buffer of the group, one of words for the next stage, and there one into which is handed.
  of.collectives = Collectives::kIpc;
  const std::vector<RankNeed> peers = RankNeeds(model->facts.model, of);
  EXPECT_EQ(peers.front().beside.communicators, 6291456 + 2097152);
  EXPECT_EQ(peers.back().beside.communicators, 6291456 + 6291456);
  EXPECT_EQ(peers.front().beside.graphs, cuda.beside.graphs);
  // In stages alone, what the next one gets cuts a graph.
  of.collectives = Collectives::kIpcInStages;
  const RankNeed in_stages = RankNeeds(model->facts.model, of).front();
  EXPECT_EQ(in_stages.beside.communicators, 6291456);
  EXPECT_EQ(in_stages.beside.graphs - cuda.beside.graphs, 5 * 2097152);
  // The stage that ends the model has another program for each variant, and so another graph.
  const LayoutStage& stage = model->layout.stages.back();
  of.collectives = Collectives::kNccl;
  const int64_t once = NeedOfStage(model->facts.model, of, stage, false, false).beside.graphs;
  EXPECT_EQ(RankNeeds(model->facts.model, of).back().beside.graphs % (2 * 5 * 8192), 0);
  EXPECT_GT(RankNeeds(model->facts.model, of).back().beside.graphs, 2 * once);
  EXPECT_EQ(cuda.Least(), cuda.weights + cuda.activations + cuda.beside.Total() + cuda.sequence);
}

}  // namespace
}  // namespace mrs::planner
