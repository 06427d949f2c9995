#include "runtime/rank/cpu/cpu_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "plans/verify.h"
#include "runtime/comm/region.h"
#include "runtime/rank/stages.h"
#include "runtime/testing/llama_plan.h"
#include "runtime/testing/scalar_llama.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;
using testing::MakeTestModel;
using testing::TestModel;
using testing::TestModelConfig;

using Prompt = std::vector<int32_t>;
using LogitRows = std::vector<std::vector<float>>;  // [position][vocab], unpadded

std::vector<Prompt> RandomPrompts(const TestModelConfig& config, std::initializer_list<size_t> lengths) {
  std::mt19937_64 random(7);
  std::vector<Prompt> prompts;
  for (const size_t length : lengths) {
    Prompt& prompt = prompts.emplace_back();
    for (size_t i = 0; i < length; ++i) prompt.push_back(static_cast<int32_t>(random() % config.vocab));
  }
  return prompts;
}

// Forwards that feed the prompts in chunks, all prompts side by side, every position asking for logits. Sequences own
// interleaved KV blocks, so that no two blocks of one lie together; where a space is a ring, they go around in it.
std::vector<Batch> MakeBatches(const TestModel& model, const std::vector<Prompt>& prompts, size_t chunk,
                               Variant variant) {
  const auto stride = static_cast<int32_t>((model.config.max_len + 31) / 32);
  const auto rows = static_cast<int32_t>(prompts.size());
  const Result<std::vector<KvSpace>> spaces = KvSpacesOf(model.plan());
  EXPECT_TRUE(spaces.ok()) << spaces.message();
  std::vector<Batch> batches;
  for (size_t begin = 0;; begin += chunk) {
    Batch batch;
    batch.variant = variant;
    batch.kv.resize(spaces->size());
    batch.table_stride = static_cast<uint32_t>(stride);
    for (int32_t row = 0; row < rows; ++row) {
      const auto block_of = [&](const KvSpace& space, int32_t block) {
        return block % static_cast<int32_t>(space.sequence_blocks) * rows + row;
      };
      for (size_t space = 0; space < spaces->size(); ++space) {
        for (int32_t block = 0; block < stride; ++block) {
          batch.kv[space].block_table.push_back(block_of((*spaces)[space], block));
        }
      }
      const Prompt& prompt = prompts[static_cast<size_t>(row)];
      for (size_t i = begin; i < std::min(prompt.size(), begin + chunk); ++i) {
        const auto position = static_cast<int32_t>(i);
        batch.logit_rows.push_back(static_cast<int32_t>(batch.tokens.size()));
        batch.tokens.push_back(prompt[i]);
        batch.positions.push_back(position);
        batch.sequence.push_back(row);
        for (size_t space = 0; space < spaces->size(); ++space) {
          batch.kv[space].slots.push_back(block_of((*spaces)[space], position / 32) * 32 + position % 32);
        }
      }
    }
    if (batch.tokens.empty()) return batches;
    batches.push_back(std::move(batch));
  }
}

struct Setting {
  int threads = 1;
  bool spin = false;
  kernels::Isa isa = kernels::DetectIsa();
};

// What each batch left on the rank that answers, as bytes; the other ranks of its stage must have left the same, those
// of other stages nothing.
std::vector<std::string> RunBatches(const TestModel& model, const std::vector<Batch>& batches, const Setting& setting) {
  const auto world_size = static_cast<int>(model.config.tp * model.config.stages);
  std::vector<std::unique_ptr<Communicator>> world(static_cast<size_t>(world_size));
  if (world_size > 1) world = *MakeLocalCommunicators(world_size);
  std::vector<std::vector<std::string>> outputs(static_cast<size_t>(world_size));
  const auto run = [&](int rank) {
    const auto executor = MakeCpuExecutor(
        model.plan(), static_cast<uint32_t>(rank), world[static_cast<size_t>(rank)].get(),
        {.model_dir = model.directory, .threads = setting.threads, .isa = setting.isa, .spin = setting.spin});
    ASSERT_TRUE(executor.ok()) << executor.message();
    for (const Batch& batch : batches) {
      const Result<StepOutput> out = RunForward(**executor, batch);
      ASSERT_TRUE(out.ok()) << out.message();
      const auto bytes = batch.variant == Variant::kCandidates ? out->candidates : std::as_bytes(out->logits);
      outputs[static_cast<size_t>(rank)].emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
  };
  std::vector<std::thread> ranks;
  for (int rank = 1; rank < world_size; ++rank) ranks.emplace_back(run, rank);
  run(0);
  for (std::thread& rank : ranks) rank.join();
  const size_t answering = AnsweringRank(model.plan());
  EXPECT_EQ(answering, (model.config.stages - 1) * model.config.tp);
  const std::vector<std::string> nothing(batches.size());
  for (size_t rank = 0; rank < outputs.size(); ++rank) {
    EXPECT_TRUE(outputs[rank] == (rank < answering ? nothing : outputs[answering])) << "rank " << rank;
  }
  return outputs[answering];
}

// The logits of every position of every prompt.
std::vector<LogitRows> Logits(const TestModel& model, const std::vector<Prompt>& prompts, size_t chunk,
                              const Setting& setting = {}) {
  const std::vector<Batch> batches = MakeBatches(model, prompts, chunk, Variant::kAllLogits);
  const std::vector<std::string> outputs = RunBatches(model, batches, setting);
  std::vector<LogitRows> logits(prompts.size());
  const uint32_t padded = model.plan().model()->vocab_padded();
  const uint32_t part = padded / model.config.tp;
  for (size_t i = 0; i < outputs.size(); ++i) {  // [tp, L, part]
    const size_t rows = batches[i].logit_rows.size();
    EXPECT_EQ(outputs[i].size(), rows * padded * sizeof(float));
    std::vector<float> values(outputs[i].size() / sizeof(float));
    std::memcpy(values.data(), outputs[i].data(), outputs[i].size());
    for (size_t row = 0; row < rows && values.size() == rows * padded; ++row) {
      std::vector<float>& of_row = logits[static_cast<size_t>(batches[i].sequence[row])].emplace_back();
      for (uint32_t id = 0; id < model.config.vocab; ++id) {
        of_row.push_back(values[(id / part * rows + row) * part + id % part]);
      }
    }
  }
  return logits;
}

class CpuExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = ::testing::TempDir() + "/executor_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST_F(CpuExecutorTest, RunsPlansThatVerify) {
  for (const uint32_t tp : {1, 2, 4}) {
    for (const uint32_t stages : {1, 2}) {
      for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
        for (const uint32_t window : {0, 20}) {
          const TestModel model = MakeTestModel(
              {.tp = tp, .stages = stages, .dtype = dtype, .layers = 4, .window = window, .max_tokens = 16},
              directory_);
          const Status status = VerifyPlan(model.plan());
          EXPECT_TRUE(status.ok()) << status.message();
        }
      }
    }
  }
}

// f32 sums against double: 1e-4 of the logits' RMS is hundreds of roundings, and far below any mistake.
void ExpectTheModel(const TestModel& model, size_t chunk = 64) {
  const std::vector<Prompt> prompts = RandomPrompts(model.config, {70});
  const LogitRows actual = Logits(model, prompts, chunk)[0];
  const std::vector<std::vector<double>> expected = testing::ScalarLogits(model, prompts[0]);
  ASSERT_EQ(actual.size(), expected.size());
  double squares = 0;
  double worst = 0;
  for (size_t row = 0; row < expected.size(); ++row) {
    for (size_t id = 0; id < expected[row].size(); ++id) {
      squares += expected[row][id] * expected[row][id];
      worst = std::max(worst, std::abs(expected[row][id] - actual[row][id]));
    }
  }
  const double rms = std::sqrt(squares / static_cast<double>(expected.size() * model.config.vocab));
  EXPECT_GT(rms, 0.1);
  EXPECT_LT(worst, 1e-4 * rms);
}

TEST_F(CpuExecutorTest, ComputesTheModel) {
  for (const bool bias_and_qk_norm : {true, false}) {
    ExpectTheModel(MakeTestModel({.qk_norm = bias_and_qk_norm, .bias = bias_and_qk_norm}, directory_));
  }
}

// The rings of three blocks go around: two layers see the last 20 tokens of 110, two see all.
TEST_F(CpuExecutorTest, ComputesAModelWithWindows) {
  const TestModelConfig config{.layers = 4, .window = 20, .max_tokens = 16};
  const TestModel model = MakeTestModel(config, directory_);
  ASSERT_EQ(model.plan().stages()->Get(0)->kv_classes()->Get(1)->sequence_blocks(), 3u);
  const std::vector<Prompt> prompts = RandomPrompts(config, {110});
  const LogitRows windowed = Logits(model, prompts, 16)[0];
  ExpectTheModel(model, 16);
  TestModelConfig without = config;
  without.window = 0;
  const LogitRows full = Logits(MakeTestModel(without, directory_), prompts, 16)[0];
  EXPECT_TRUE(std::equal(full.begin(), full.begin() + 20, windowed.begin()));
  EXPECT_FALSE(full[20] == windowed[20]);
}

// The same checkpoint, cut across ranks, across stages, and both ways.
TEST_F(CpuExecutorTest, GivesTheSameBitsOnAnyStages) {
  for (const uint32_t window : {0, 20}) {
    std::vector<LogitRows> alone;
    for (const uint32_t stages : {1, 2, 4}) {
      for (const uint32_t tp : {1, 2}) {
        const TestModel model = MakeTestModel(
            {.tp = tp, .stages = stages, .dtype = plan::DType::bf16, .layers = 4, .window = window, .max_tokens = 16},
            directory_);
        const std::vector<LogitRows> logits = Logits(model, RandomPrompts(model.config, {110, 5}), 7);
        if (stages == 1 && tp == 1) alone = logits;
        EXPECT_TRUE(logits == alone) << stages << " stages, tp " << tp << ", window " << window;
      }
    }
  }
}

TEST_F(CpuExecutorTest, MultipliesRotationsByTheAttentionFactor) {
  TestModel model = MakeTestModel({}, directory_);
  const std::vector<Prompt> prompts = RandomPrompts(model.config, {20});
  const std::vector<LogitRows> plain = Logits(model, prompts, 20);
  model.tree.ropes[0]->attention_factor = 1.25F;
  testing::Repack(&model);
  ASSERT_TRUE(VerifyPlan(model.plan()).ok());
  ExpectTheModel(model);
  EXPECT_FALSE(Logits(model, prompts, 20) == plain);
}

// Where a layer's cache lies changes no bit: three layers in one class, or one in a class of its own, whose window all
// tokens lie in.
TEST_F(CpuExecutorTest, KeepsEachCacheClassApart) {
  for (const uint32_t tp : {1, 2}) {
    TestModel model = MakeTestModel({.tp = tp, .layers = 3}, directory_);
    const std::vector<Prompt> prompts = RandomPrompts(model.config, {70, 33, 5});
    const std::vector<LogitRows> together = Logits(model, prompts, 7);
    TestModel apart = MakeTestModel({.tp = tp, .layers = 3, .window = 77}, directory_);
    ASSERT_EQ(apart.tree.stages[0]->kv_classes.size(), 2u);
    const Status status = VerifyPlan(apart.plan());
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(Logits(apart, prompts, 7) == together) << "tp " << tp;
  }
}

TEST_F(CpuExecutorTest, GivesTheSameBitsOnAnyNumberOfRanks) {
  for (const plan::Chain chain : {plan::Chain::pair2, plan::Chain::block32}) {
    for (const plan::DType dtype : {plan::DType::f32, plan::DType::bf16}) {
      std::vector<LogitRows> alone;
      for (const uint32_t tp : {1, 2, 4}) {
        const TestModel model = MakeTestModel({.tp = tp, .dtype = dtype, .chain = chain}, directory_);
        const std::vector<LogitRows> logits = Logits(model, RandomPrompts(model.config, {33, 5}), 7);
        if (tp == 1) alone = logits;
        EXPECT_TRUE(logits == alone) << "tp " << tp << " " << plan::EnumNameChain(chain) << " "
                                     << plan::EnumNameDType(dtype);
      }
    }
  }
}

TEST_F(CpuExecutorTest, GivesTheSameBitsWithEveryCanonicalSumOnly) {
  const TestModel alone = MakeTestModel({}, directory_);
  const std::vector<Prompt> prompts = RandomPrompts(alone.config, {20});
  const std::vector<LogitRows> expected = Logits(alone, prompts, 20);
  using plan::CollectiveAlgorithm;
  for (const CollectiveAlgorithm sum : {CollectiveAlgorithm::doubling, CollectiveAlgorithm::halving_doubling,
                                        CollectiveAlgorithm::gather_add, CollectiveAlgorithm::rank_order}) {
    const TestModel model = MakeTestModel({.tp = 4, .sum = sum}, directory_);
    EXPECT_EQ(Logits(model, prompts, 20) == expected, sum != CollectiveAlgorithm::rank_order)
        << plan::EnumNameCollectiveAlgorithm(sum);
  }
}

TEST_F(CpuExecutorTest, GivesTheSameBitsInAnyChunkBatchThreadsAndInstructionSet) {
  for (const plan::Chain chain : {plan::Chain::pair2, plan::Chain::block32}) {
    const TestModel model = MakeTestModel({.dtype = plan::DType::bf16, .chain = chain}, directory_);
    const std::vector<Prompt> prompts = RandomPrompts(model.config, {100, 3, 40, 1});
    const LogitRows alone = Logits(model, {prompts[0]}, 64)[0];
    ASSERT_EQ(alone.size(), 100);
    EXPECT_TRUE(Logits(model, {prompts[0]}, 1)[0] == alone);
    EXPECT_TRUE(Logits(model, {prompts[0]}, 7)[0] == alone);
    EXPECT_TRUE(Logits(model, prompts, 7)[0] == alone);
    EXPECT_TRUE(Logits(model, prompts, 32)[0] == alone);
    EXPECT_TRUE(Logits(model, prompts, 7, {.threads = 2, .spin = true})[0] == alone);
    EXPECT_TRUE(Logits(model, prompts, 7, {.threads = 3})[0] == alone);
    EXPECT_TRUE(Logits(model, {prompts[0]}, 64, {.isa = kernels::Isa::kReference})[0] == alone);
  }
}

TEST_F(CpuExecutorTest, CandidatesAreTheBestLogits) {
  for (const uint32_t tp : {1, 4}) {
    const TestModel model = MakeTestModel({.tp = tp}, directory_);
    const std::vector<Prompt> prompts = RandomPrompts(model.config, {9});
    const LogitRows logits = Logits(model, prompts, 9)[0];
    const std::string records = RunBatches(model, MakeBatches(model, prompts, 9, Variant::kCandidates), {})[0];
    const plan::TopCandidatesAttr& attr = *model.plan().stages()->Get(0)->candidates()->Get(0);
    const auto record_bytes = static_cast<size_t>(kernels::TopCandidatesRecordBytes(attr.k(), attr.chunk_count()));
    ASSERT_EQ(records.size(), tp * 9 * record_bytes);
    for (size_t row = 0; row < 9; ++row) {
      std::map<int32_t, float> found;
      for (uint32_t rank = 0; rank < tp; ++rank) {
        const char* record = records.data() + (rank * 9 + row) * record_bytes;
        for (uint32_t i = 0; i < attr.k(); ++i) {
          int32_t id = 0;
          float logit = 0;
          std::memcpy(&id, record + i * 4, 4);
          std::memcpy(&logit, record + (attr.k() + i) * 4, 4);
          if (id >= 0) found[id] = logit;
        }
      }
      for (const auto& [id, logit] : found) EXPECT_EQ(logit, logits[row][static_cast<size_t>(id)]);
      const auto best = std::max_element(logits[row].begin(), logits[row].end()) - logits[row].begin();
      EXPECT_TRUE(found.contains(static_cast<int32_t>(best)));
    }
  }
}

TEST_F(CpuExecutorTest, RunsABatchThatWantsNoLogits) {
  for (const uint32_t tp : {1, 2}) {
    const TestModel model = MakeTestModel({.tp = tp}, directory_);
    std::vector<Batch> batches = MakeBatches(model, RandomPrompts(model.config, {6}), 6, Variant::kCandidates);
    batches[0].logit_rows.clear();
    EXPECT_EQ(RunBatches(model, batches, {}), std::vector<std::string>{""});
  }
}

TEST_F(CpuExecutorTest, RefusesABatchBeforeItRuns) {
  const TestModel model = MakeTestModel({}, directory_);
  const auto executor = MakeCpuExecutor(model.plan(), 0, nullptr, {.model_dir = directory_});
  ASSERT_TRUE(executor.ok()) << executor.message();
  Batch batch = MakeBatches(model, RandomPrompts(model.config, {6}), 6, Variant::kCandidates)[0];
  batch.tokens[3] = 67;
  const Result<StepOutput> out = RunForward(**executor, batch);
  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.message(), "batch: token 3 is 67, it must be in [0, 67)");
  EXPECT_EQ((*executor)->counters().steps_run, 0);
}

TEST_F(CpuExecutorTest, CountsWhatItDid) {
  const TestModel model = MakeTestModel({}, directory_);
  const auto executor = MakeCpuExecutor(model.plan(), 0, nullptr, {.model_dir = directory_});
  ASSERT_TRUE(executor.ok()) << executor.message();
  const std::vector<Batch> batches = MakeBatches(model, RandomPrompts(model.config, {6}), 3, Variant::kCandidates);
  for (const Batch& batch : batches) ASSERT_TRUE(RunForward(**executor, batch).ok());
  const ExecutorCounters& counters = (*executor)->counters();
  EXPECT_EQ(counters.forward_count, 2);
  EXPECT_EQ(counters.steps_run, 2 * counters.step_count);
  EXPECT_EQ(counters.step_count, model.tree.stages[0]->steps.size());
  EXPECT_EQ(counters.read_bytes, std::filesystem::file_size(model.file) - model.header_bytes);
}

TEST_F(CpuExecutorTest, NamesTheStepOfALostPeer) {
  const TestModel model = MakeTestModel({.tp = 2}, directory_);
  const std::vector<std::unique_ptr<Communicator>> world = *MakeLocalCommunicators(2);
  const auto executor = MakeCpuExecutor(model.plan(), 1, world[1].get(), {.model_dir = directory_});
  ASSERT_TRUE(executor.ok()) << executor.message();
  world[0]->Abort();
  const Result<StepOutput> out =
      RunForward(**executor, MakeBatches(model, RandomPrompts(model.config, {6}), 6, Variant::kCandidates)[0]);
  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(out.message(), HasSubstr("rank 1 step 1 'embed.all_reduce': "));
}

TEST_F(CpuExecutorTest, RefusesWhatItCannotBe) {
  TestModel model = MakeTestModel({.tp = 2}, directory_);
  const auto error = [&](uint32_t rank, Communicator* comm, CpuExecutorOptions options) {
    options.model_dir = directory_;
    const auto executor = MakeCpuExecutor(model.plan(), rank, comm, std::move(options));
    return executor.ok() ? "started" : executor.message();
  };
  const std::vector<std::unique_ptr<Communicator>> world = *MakeLocalCommunicators(2);
  EXPECT_EQ(error(2, world[0].get(), {}), "rank 2: the plan has ranks 0 to 1; start exactly those");
  EXPECT_EQ(error(0, nullptr, {}), "rank 0: the plan has 2 ranks, 1 run; start exactly those");
  EXPECT_EQ(error(0, world[0].get(), {.threads = 0}), "rank 0: 0 threads asked for; --threads takes 1 to 1024");
  EXPECT_THAT(error(0, world[0].get(), {.host_memory = HostMemory{1 << 30, 1000}}), HasSubstr("rank 0 needs"));
}

}  // namespace
}  // namespace mrs
