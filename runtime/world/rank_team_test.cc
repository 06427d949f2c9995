// The ranks of one process over executors that only write down what they run.
#include "runtime/world/rank_team.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>

namespace mrs {
namespace {

// What all ranks did, and who may go on: rank r runs its n-th forward once `allowed[r]` is past n.
struct Script {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::vector<int32_t>> ran;  // [rank]: the first token of each forward
  std::vector<size_t> allowed;
  int32_t fails_at = -1;  // a forward whose first token this is
  std::vector<std::string> failures;

  explicit Script(uint32_t ranks, size_t allow = SIZE_MAX) : ran(ranks), allowed(ranks, allow) {}
  void Allow(uint32_t rank, size_t count) {
    const std::lock_guard lock(mutex);
    allowed[rank] = count;
    changed.notify_all();
  }
  void AwaitRan(uint32_t rank, size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ran[rank].size() >= count; });
  }
};

class ScriptedExecutor final : public Executor {
 public:
  ScriptedExecutor(Script* script, uint32_t rank) : script_(script), rank_(rank) {}
  Status Enqueue(const Batch& batch) override {
    batch_ = &batch;
    return Status();
  }
  Result<StepOutput> Await() override {
    std::unique_lock lock(script_->mutex);
    std::vector<int32_t>& ran = script_->ran[rank_];
    script_->changed.wait(lock, [&] { return ran.size() < script_->allowed[rank_]; });
    ran.push_back(batch_->tokens[0]);
    script_->changed.notify_all();
    if (batch_->tokens[0] == script_->fails_at) return Unavailable("rank {} stumbles", rank_);
    logit_ = static_cast<float>(100 * rank_) + static_cast<float>(batch_->tokens[0]);
    return StepOutput{.candidates = {}, .logits = {&logit_, 1}};
  }

 private:
  Script* const script_;
  const uint32_t rank_;
  const Batch* batch_ = nullptr;
  float logit_ = 0;
};

std::unique_ptr<RankTeam> MakeTeam(Script* script, const RankTeamShape& shape) {
  auto team = std::make_unique<RankTeam>(
      shape,
      [script, first = shape.first_rank](uint32_t rank) -> Result<std::unique_ptr<Executor>> {
        return std::unique_ptr<Executor>(new ScriptedExecutor(script, rank - first));
      },
      [script](uint32_t rank, const Error& error) {
        const std::lock_guard lock(script->mutex);
        script->failures.push_back(std::to_string(rank) + ": " + error.message);
      });
  team->AwaitLoaded();
  return team;
}

Batch BatchOf(int32_t token) {
  Batch batch;
  batch.tokens = {token};
  return batch;
}

TEST(RankTeam, GivesTheLeadsResultsInOrder) {
  for (const uint32_t depth : {1u, 2u, 3u}) {
    for (const uint32_t lead : {10u, 12u}) {
      Script script(3);
      const auto team = MakeTeam(&script, {.first_rank = 10, .rank_count = 3, .lead = lead, .depth = depth});
      int32_t enqueued = 0;
      for (int32_t awaited = 0; awaited < 20; ++awaited) {
        for (; enqueued < 20 && enqueued < awaited + static_cast<int32_t>(depth); ++enqueued) {
          team->Enqueue(static_cast<uint64_t>(1000 + enqueued), BatchOf(enqueued));
        }
        const Result<RankTeam::Finished> done = team->Await();
        ASSERT_TRUE(done.ok()) << done.message();
        EXPECT_EQ(done->step, static_cast<uint64_t>(1000 + awaited));
        EXPECT_EQ(done->output.logits[0], static_cast<float>(100 * (lead - 10) + static_cast<uint32_t>(awaited)));
      }
      for (uint32_t rank = 0; rank < 3; ++rank) {
        script.AwaitRan(rank, 20);
        for (int32_t i = 0; i < 20; ++i) EXPECT_EQ(script.ran[rank][static_cast<size_t>(i)], i);
      }
    }
  }
}

// The first stage is at its second forward while the lead, in the second stage, has not begun its first.
TEST(RankTeam, OneRankIsAheadOfAnotherByTheDepth) {
  Script script(2, 0);
  const auto team = MakeTeam(&script, {.first_rank = 0, .rank_count = 2, .lead = 1, .depth = 2});
  team->Enqueue(1, BatchOf(7));
  team->Enqueue(2, BatchOf(8));
  script.Allow(0, 2);
  script.AwaitRan(0, 2);
  script.Allow(1, 2);
  EXPECT_EQ(team->Await()->step, 1u);
  EXPECT_EQ(team->Await()->step, 2u);
}

// A forward stays where it is until the slowest rank is done with it.
TEST(RankTeam, ABatchOutlastsItsSlowestRank) {
  Script script(2);
  script.allowed[1] = 0;
  const auto team = MakeTeam(&script, {.first_rank = 0, .rank_count = 2, .lead = 0, .depth = 1});
  team->Enqueue(1, BatchOf(7));
  EXPECT_TRUE(team->Await().ok());
  std::thread later([&] { team->Enqueue(2, BatchOf(8)); });
  script.Allow(1, 2);
  later.join();
  EXPECT_TRUE(team->Await().ok());
  script.AwaitRan(1, 2);
  EXPECT_EQ(script.ran[1], (std::vector<int32_t>{7, 8}));
}

TEST(RankTeam, AFailureIsHeardAtOnceAndEndsAllThatFollows) {
  for (const uint32_t lead : {0u, 1u}) {
    Script script(2);
    script.fails_at = 7;
    const auto team = MakeTeam(&script, {.first_rank = 4, .rank_count = 2, .lead = 4 + lead, .depth = 1});
    team->Enqueue(1, BatchOf(7));
    EXPECT_FALSE(team->Await().ok());
    for (int32_t i = 0; i < 5; ++i) {
      team->Enqueue(static_cast<uint64_t>(2 + i), BatchOf(8));
      EXPECT_FALSE(team->Await().ok());
    }
    const std::lock_guard lock(script.mutex);
    ASSERT_FALSE(script.failures.empty());
    for (const auto& ran : script.ran) EXPECT_LE(ran.size(), 1u);
  }
}

TEST(RankTeam, StopEndsAnAwaitThatWaits) {
  Script script(2);
  const auto team = MakeTeam(&script, {.first_rank = 0, .rank_count = 2, .lead = 1, .depth = 2});
  Status status;
  std::thread awaiting([&] { status = team->Await().status(); });
  team->Stop();
  awaiting.join();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, ErrorKind::kCancelled);
}

}  // namespace
}  // namespace mrs
