// One logits hash and one answer, whatever the number of ranks and stages, the chunk, and who else is in the batch.
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>

#include "runtime/comm/region.h"
#include "runtime/engine/engine.h"
#include "runtime/rank/cpu/cpu_executor.h"
#include "runtime/rank/stages.h"
#include "runtime/testing/llama_plan.h"
#include "runtime/world/rank_team.h"

namespace mrs {
namespace {

struct Answered {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::string logits_sha256;
  bool operator==(const Answered&) const = default;
};

// Ranks as threads of this process, an engine over them, and the answers to some requests in their order. Those from
// `leaving` on are given up: every second one as soon as it is asked, the others at their first token.
std::vector<Answered> Answer(const testing::TestModel& model, uint32_t chunk, const std::vector<Request>& requests,
                             size_t leaving = SIZE_MAX) {
  const uint32_t world_size = model.config.tp * model.config.stages;
  std::vector<std::unique_ptr<Communicator>> comms(world_size);
  if (world_size > 1) comms = *MakeLocalCommunicators(static_cast<int>(world_size), {.spin = 0});
  RankTeam team(
      {.first_rank = 0, .rank_count = world_size, .lead = AnsweringRank(model.plan()), .depth = model.config.stages},
      [&](uint32_t rank) -> Result<std::unique_ptr<Executor>> {
        CpuExecutorOptions options;
        options.model_dir = model.directory;
        options.spin = false;
        MRS_ASSIGN_OR_RETURN(std::unique_ptr<CpuExecutor> executor,
                             MakeCpuExecutor(model.plan(), rank, comms[rank].get(), std::move(options)));
        return std::unique_ptr<Executor>(std::move(executor));
      },
      [](uint32_t rank, const Error& error) { ADD_FAILURE() << "rank " << rank << ": " << error.message; });
  EngineRanks calls{.await_ready =
                        [&] {
                          team.AwaitLoaded();
                          return Status();
                        },
                    .enqueue =
                        [&](uint64_t step, const Batch& batch) {
                          team.Enqueue(step, batch);
                          return Status();
                        },
                    .await = [&]() -> Result<StepOutput> {
                      MRS_ASSIGN_OR_RETURN(const RankTeam::Finished done, team.Await());
                      return done.output;
                    }};
  std::mutex mutex;
  std::condition_variable changed;
  size_t open_count = requests.size();
  std::vector<Answered> answers(requests.size());
  Result<EngineConfig> config = MakeEngineConfig(model.plan(), chunk, nullptr);
  EXPECT_TRUE(config.ok()) << config.message();
  Engine engine(*config, calls);
  for (size_t i = 0; i < requests.size(); ++i) {
    const Result<RequestId> id = engine.Submit(requests[i], [&, i](const Event& event) {
      const std::lock_guard lock(mutex);
      if (event.token) {
        if (i >= leaving) engine.Cancel(i + 1);  // ids count from 1
        answers[i].tokens.push_back(event.token->token.id);
        answers[i].logprobs.push_back(event.token->token.logprob);
        return;
      }
      EXPECT_EQ(event.finish->reason, i < leaving ? FinishReason::kLength : FinishReason::kCancelled)
          << event.finish->error;
      answers[i].logits_sha256 = event.finish->logits_sha256;
      --open_count;
      changed.notify_all();
    });
    EXPECT_TRUE(id.ok()) << id.message();
    if (i >= leaving && i % 2 == 0) engine.Cancel(*id);
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return open_count == 0; });
  lock.unlock();
  engine.Stop();
  return answers;
}

Request MakeRequest(uint32_t seed, size_t prompt_count, bool hash, float temperature) {
  Request request;
  for (size_t i = 0; i < prompt_count; ++i) {
    request.prompt.push_back(static_cast<int32_t>((seed * 31 + i * 17 + i * i) % 67));
  }
  request.sampling.max_tokens = 12;
  request.sampling.ignore_eos = true;
  request.sampling.logits_hash = hash;
  request.sampling.temperature = temperature;
  request.sampling.seed = seed;
  return request;
}

struct Layout {
  uint32_t tp, stages;
};

// A model of four layers, two of which see a window where there is one; rings go around in it.
void ExpectOneHash(uint32_t window, std::initializer_list<Layout> layouts) {
  std::optional<Answered> greedy, drawn;
  for (const auto [tp, stages] : layouts) {
    std::string pattern = ::testing::TempDir() + "/invariance_XXXXXX";
    const std::string directory = mkdtemp(pattern.data());
    const testing::TestModel model = testing::MakeTestModel(
        {.tp = tp, .stages = stages, .layers = 4, .window = window, .max_tokens = 32}, directory);
    for (const uint32_t chunk : {1u, 7u, 64u}) {
      for (const size_t other_count : {0u, 5u}) {
        SCOPED_TRACE("tp " + std::to_string(tp) + ", stages " + std::to_string(stages) + ", chunk " +
                     std::to_string(chunk) + ", others " + std::to_string(other_count));
        std::vector<Request> requests = {MakeRequest(1, 110, true, 0.0f), MakeRequest(2, 40, true, 0.8f)};
        for (size_t i = 0; i < other_count; ++i) {
          requests.push_back(MakeRequest(static_cast<uint32_t>(10 + i), 5 + 9 * i, i % 2 == 0, 0.5f * (i % 3)));
        }
        const std::vector<Answered> answers = Answer(model, chunk, requests);
        if (!greedy) greedy = answers[0];
        if (!drawn) drawn = answers[1];
        EXPECT_EQ(answers[0], *greedy);
        EXPECT_EQ(answers[1], *drawn);
      }
    }
    // Without the hash the ranks return candidates only: the same tokens and the same log-probabilities.
    Answered candidates = Answer(model, 7, {MakeRequest(1, 110, false, 0.0f)})[0];
    candidates.logits_sha256 = greedy->logits_sha256;
    EXPECT_EQ(candidates, *greedy);
    std::filesystem::remove_all(directory);
  }
  EXPECT_EQ(greedy->tokens.size(), 12u);
  EXPECT_EQ(greedy->logits_sha256.size(), 64u);
}

TEST(Invariance, OneHashOverRanksStagesChunksAndNeighbours) {
  ExpectOneHash(0, {{1, 1}, {2, 1}, {4, 1}, {1, 2}, {1, 4}, {2, 2}});
}

TEST(Invariance, OneHashWithWindows) { ExpectOneHash(20, {{1, 1}, {2, 1}, {1, 2}, {2, 2}}); }

// Their blocks are others' at once, while forwards that write them are still under way.
TEST(Invariance, OneHashWhoeverLeaves) {
  std::optional<Answered> alone;
  for (const auto& [tp, stages] : {Layout{1, 1}, Layout{1, 2}, Layout{1, 4}, Layout{2, 2}}) {
    SCOPED_TRACE("tp " + std::to_string(tp) + ", stages " + std::to_string(stages));
    std::string pattern = ::testing::TempDir() + "/invariance_XXXXXX";
    const std::string directory = mkdtemp(pattern.data());
    const testing::TestModel model =
        testing::MakeTestModel({.tp = tp, .stages = stages, .layers = 4, .window = 20, .max_tokens = 32}, directory);
    std::vector<Request> requests = {MakeRequest(1, 110, true, 0.0f)};
    if (!alone) alone = Answer(model, 7, requests)[0];
    for (uint32_t i = 0; i < 24; ++i) requests.push_back(MakeRequest(10 + i, 5 + 4 * i, true, 0.5f));
    EXPECT_EQ(Answer(model, 7, requests, /*leaving=*/1)[0], *alone);
    std::filesystem::remove_all(directory);
  }
}

}  // namespace
}  // namespace mrs
