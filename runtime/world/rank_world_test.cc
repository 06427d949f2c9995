// Real rank processes: this binary starts itself as `rank --fd 3`. They compute, they are killed, and none is left.
#include "runtime/world/rank_world.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>

#include "kernels/kernels.h"
#include "plans/writer.h"
#include "runtime/engine/engine.h"
#include "runtime/testing/llama_plan.h"
#include "runtime/world/heart.h"
#include "runtime/world/hello.h"
#include "runtime/world/rank_main.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// Set for a rank that is ready, says that it failed, and reads no more.
constexpr const char* kRankThatComplains = "MRS_TEST_RANK_THAT_COMPLAINS";

int ComplainAsRank(int fd) {
  const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Channel channel{Fd(fd)};
  if (!channel.Receive(deadline).ok()) return 1;
  const Result<OpenedPlan> opened = OpenPlanDescriptor(channel.TakePassed().at(0).get(), "test");
  if (!opened.ok() || !channel.Send(wire::Encode(MakeHello(*opened)), deadline).ok()) return 1;
  if (!channel.Receive(deadline).ok() || shutdown(fd, SHUT_RD) != 0) return 1;
  const wire::Failure failure{.rank = 0, .kind = ErrorKind::kRefused, .message = "a cosmic ray"};
  if (!channel.Send(wire::Encode(wire::Ready{}) + wire::Encode(failure), deadline).ok()) return 1;
  for (;;) pause();
}

// Set to the number of a rank that lives, but never says hello.
constexpr const char* kRankThatHangs = "MRS_TEST_RANK_THAT_HANGS";

bool HangsAsRank(int fd) {
  if (std::getenv(kRankThatHangs) == nullptr) return false;
  std::vector<uint64_t> words(1024);
  const ssize_t size = recv(fd, words.data(), words.size() * 8, MSG_PEEK);  // a config is sent as one
  if (size < static_cast<ssize_t>(wire::kHeaderBytes)) return false;
  const auto bytes = std::as_bytes(std::span(words)).first(static_cast<size_t>(size));
  const Result<wire::Config> config = wire::DecodeConfig(bytes.subspan(wire::kHeaderBytes));
  return config.ok() && std::to_string(config->first_rank) == std::getenv(kRankThatHangs);
}

int HangAsRank(int fd) {
  Channel channel{Fd(fd)};
  const Result<Message> message = channel.Receive(kForever);
  if (!message.ok()) return 1;
  const wire::Config config = *wire::DecodeConfig(message->body);
  const std::vector<Fd> passed = channel.TakePassed();
  const ProgressBoard board = *ProgressBoard::Map(passed.at(1).get(), config.world_size);
  Pulse pulse(&board.line(config.first_rank));
  pulse.Enter(RankPhase::kStarting);
  Heart heart;
  if (!heart.Start({&pulse}).ok()) return 1;
  for (;;) pause();
}

// Stops one thread of a child and lets the others run, as no signal can.
class HeldThread {
 public:
  explicit HeldThread(int tid) : tid_(tid) {
    int status = 0;
    EXPECT_EQ(ptrace(PTRACE_SEIZE, tid, nullptr, nullptr), 0) << strerror(errno);
    EXPECT_EQ(ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr), 0) << strerror(errno);
    EXPECT_EQ(waitpid(tid, &status, __WALL), tid);
    EXPECT_TRUE(WIFSTOPPED(status));
  }
  ~HeldThread() { ptrace(PTRACE_DETACH, tid_, nullptr, nullptr); }
  HeldThread(const HeldThread&) = delete;
  HeldThread& operator=(const HeldThread&) = delete;

 private:
  const int tid_;
};

class RankWorldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/rank_world_XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  void TearDown() override {
    // The promise of the file: no child is left, whatever the test did to them.
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    std::filesystem::remove_all(directory_);
  }

  OpenedPlan MakePlan(uint32_t tp, uint32_t stages = 1) {
    const testing::TestModel model = testing::MakeTestModel({.tp = tp, .stages = stages}, directory_);
    const Result<std::string> bytes = SerializePlan(model.tree);
    EXPECT_TRUE(bytes.ok()) << bytes.message();
    path_ = directory_ + "/x.mrsplan";
    EXPECT_TRUE(WritePlanFile(path_, *bytes).ok());
    Result<OpenedPlan> opened = OpenPlan(path_);
    EXPECT_TRUE(opened.ok()) << opened.message();
    return *std::move(opened);
  }

  RankOptions Options(wire::Transport transport) {
    RankOptions options;
    options.plan_path = path_;
    options.model_dir = directory_;
    options.transport = transport;
    options.isa = static_cast<uint8_t>(kernels::DetectIsa());
    return options;
  }

  // Starts, loads, and fails the test otherwise.
  std::unique_ptr<RankWorld> StartReady(const OpenedPlan& opened, wire::Transport transport,
                                        RankCallbacks callbacks = {}, LivenessLimits liveness = {}) {
    RankOptions options = Options(transport);
    options.liveness = liveness;
    Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(opened, options, std::move(callbacks));
    EXPECT_TRUE(world.ok()) << world.message();
    const Status ready = (*world)->AwaitReady();
    EXPECT_TRUE(ready.ok()) << ready.message();
    return *std::move(world);
  }

  std::string directory_;
  std::string path_;
};

constexpr LivenessLimits kShortLimits = {.lost_after = std::chrono::milliseconds(1000),
                                         .hang_after = std::chrono::milliseconds(1500)};

Batch SomeBatch() {
  return {.variant = Variant::kAllLogits,
          .tokens = {5, 6, 7},
          .positions = {0, 1, 2},
          .sequence = {0, 0, 0},
          .logit_rows = {2},
          .kv = {{.slots = {0, 1, 2}, .block_table = {0, 0, 0, 0}}},
          .table_stride = 4};
}

Result<StepOutput> RunStep(RankWorld& world, uint64_t step, const Batch& batch) {
  MRS_RETURN_IF_ERROR(world.Enqueue(step, batch));
  return world.Await();
}

bool IsGone(int pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

TEST_F(RankWorldTest, GivesTheSameBitsOverEveryTransportAndNumberOfRanks) {
  std::vector<float> expected;
  for (const uint32_t tp : {1u, 2u, 4u}) {
    const OpenedPlan opened = MakePlan(tp);
    for (const wire::Transport transport :
         {wire::Transport::kLocal, wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
      SCOPED_TRACE(fmt::format("tp {} over {}", tp, wire::TransportName(transport)));
      const std::unique_ptr<RankWorld> world = StartReady(opened, transport);
      EXPECT_EQ(world->pids().size(), transport == wire::Transport::kLocal ? 1 : tp);
      const Result<StepOutput> output = RunStep(*world, 1, SomeBatch());
      ASSERT_TRUE(output.ok()) << output.message();
      // One row: shards of all ranks lie one after the other, so the row is the padded vocabulary.
      std::vector<float> logits(output->logits.begin(), output->logits.end());
      if (expected.empty()) expected = logits;
      ASSERT_EQ(logits.size(), expected.size());
      EXPECT_EQ(std::memcmp(logits.data(), expected.data(), logits.size() * 4), 0);
      Batch candidates = SomeBatch();
      candidates.variant = Variant::kCandidates;
      EXPECT_FALSE(RunStep(*world, 2, candidates)->candidates.empty());
    }
  }
}

// Results come in the order of the batches, each with its step's bits, while both stages have work.
TEST_F(RankWorldTest, KeepsAForwardForEveryStageUnderWay) {
  std::vector<std::vector<float>> expected;
  for (const uint32_t stages : {1u, 2u}) {
    const OpenedPlan opened = MakePlan(2, stages);
    for (const wire::Transport transport :
         {wire::Transport::kLocal, wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
      SCOPED_TRACE(fmt::format("{} stages over {}", stages, wire::TransportName(transport)));
      const std::unique_ptr<RankWorld> world = StartReady(opened, transport);
      std::vector<std::vector<float>> results;
      for (uint64_t step = 1; step <= 20 + stages; ++step) {
        if (step > stages) {
          const Result<StepOutput> output = world->Await();
          ASSERT_TRUE(output.ok()) << output.message();
          results.emplace_back(output->logits.begin(), output->logits.end());
        }
        if (step > 20) continue;
        Batch batch = SomeBatch();
        for (int32_t& token : batch.tokens) token += static_cast<int32_t>(step);
        const Status enqueued = world->Enqueue(step, batch);
        ASSERT_TRUE(enqueued.ok()) << enqueued.message();
      }
      if (expected.empty()) expected = results;
      EXPECT_EQ(results.size(), 20u);
      EXPECT_TRUE(results == expected);
    }
  }
  EXPECT_FALSE(expected[0] == expected[1]);
}

TEST_F(RankWorldTest, NamesARankOfAnyStageThatIsKilledInAStep) {
  for (const wire::Transport transport : {wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
    for (const size_t victim : {0u, 1u}) {
      const OpenedPlan opened = MakePlan(1, 2);
      const std::unique_ptr<RankWorld> world = StartReady(opened, transport);
      ASSERT_TRUE(RunStep(*world, 1, SomeBatch()).ok());
      const std::vector<int> pids = world->pids();
      kill(pids[victim], SIGSTOP);  // so that no step can end
      ASSERT_TRUE(world->Enqueue(57, SomeBatch()).ok());
      ASSERT_TRUE(world->Enqueue(58, SomeBatch()).ok());
      kill(pids[victim], SIGKILL);
      const std::string why = world->Await().message();
      EXPECT_EQ(why, fmt::format("rank {} (pid {}) was killed by signal 9 (Killed) at step 57", victim, pids[victim]));
      for (const int pid : pids) EXPECT_TRUE(IsGone(pid));
    }
  }
}

TEST_F(RankWorldTest, NamesARankThatIsKilledWhileLoading) {
  for (const wire::Transport transport : {wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
    for (const size_t victim : {0u, 1u}) {
      const OpenedPlan opened = MakePlan(2);
      std::promise<std::string> lost;
      std::shared_future<std::string> verdict = lost.get_future().share();
      RankWorld* of_callback = nullptr;
      bool killed = false;
      RankCallbacks callbacks;
      callbacks.on_lost = [&](const std::string& why) { lost.set_value(why); };
      callbacks.on_progress = [&](uint64_t, uint64_t) {
        if (killed) return;
        killed = true;
        kill(of_callback->pids()[victim], SIGKILL);
        verdict.wait();
      };
      Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(opened, Options(transport), callbacks);
      ASSERT_TRUE(world.ok()) << world.message();
      of_callback = world->get();
      const std::vector<int> pids = of_callback->pids();
      const Status ready = of_callback->AwaitReady();
      ASSERT_FALSE(ready.ok());
      const std::string expected =
          fmt::format("rank {} (pid {}) was killed by signal 9 (Killed) while loading weights", victim, pids[victim]);
      EXPECT_EQ(ready.message(), expected);
      EXPECT_EQ(verdict.get(), expected);
      for (const int pid : pids) EXPECT_TRUE(IsGone(pid));
    }
  }
}

TEST_F(RankWorldTest, NamesARankThatIsKilledInAStep) {
  for (const wire::Transport transport : {wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
    for (const size_t victim : {0u, 1u}) {
      const OpenedPlan opened = MakePlan(2);
      const std::unique_ptr<RankWorld> world = StartReady(opened, transport);
      ASSERT_TRUE(RunStep(*world, 1, SomeBatch()).ok());
      const std::vector<int> pids = world->pids();
      kill(pids[victim], SIGSTOP);  // so that the step cannot end
      std::future<Status> step =
          std::async(std::launch::async, [&] { return RunStep(*world, 57, SomeBatch()).status(); });
      while (world->phase() != "at step 57") std::this_thread::yield();
      const auto killed_at = std::chrono::steady_clock::now();
      kill(pids[victim], SIGKILL);
      const Status status = step.get();
      EXPECT_LT(std::chrono::steady_clock::now() - killed_at, std::chrono::seconds(5));
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.message(),
                fmt::format("rank {} (pid {}) was killed by signal 9 (Killed) at step 57", victim, pids[victim]));
      EXPECT_EQ(RunStep(*world, 58, SomeBatch()).message(), status.message());
      for (const int pid : pids) EXPECT_TRUE(IsGone(pid));
    }
  }
}

TEST_F(RankWorldTest, NoticesALossWhileNobodyWaits) {
  const OpenedPlan opened = MakePlan(2);
  for (const wire::Transport transport : {wire::Transport::kLocal, wire::Transport::kShm}) {
    std::promise<std::string> lost;
    RankCallbacks callbacks;
    callbacks.on_lost = [&](const std::string& why) { lost.set_value(why); };
    const std::unique_ptr<RankWorld> world = StartReady(opened, transport, callbacks);
    ASSERT_TRUE(RunStep(*world, 3, SomeBatch()).ok());
    kill(world->pids().back(), SIGKILL);
    EXPECT_THAT(lost.get_future().get(),
                HasSubstr(transport == wire::Transport::kLocal ? "ranks 0 to 1 (pid " : "rank 1 (pid "));
    EXPECT_THAT(RunStep(*world, 4, SomeBatch()).message(),
                MatchesRegex(".*killed by signal 9 \\(Killed\\) after step 3"));
  }
}

// As some parents leave it; the kernel would reap the ranks, and nobody would know how they ended.
TEST_F(RankWorldTest, SeesHowARankEndsWhereSigchldWasIgnored) {
  signal(SIGCHLD, SIG_IGN);
  const OpenedPlan opened = MakePlan(2);
  const std::unique_ptr<RankWorld> world = StartReady(opened, wire::Transport::kShm);
  const int pid = world->pids()[1];
  kill(pid, SIGKILL);
  EXPECT_EQ(RunStep(*world, 1, SomeBatch()).message().substr(0, 60),
            fmt::format("rank 1 (pid {}) was killed by signal 9 (Killed) at step 1", pid).substr(0, 60));
}

TEST_F(RankWorldTest, PassesOnWhyARankCannotLoad) {
  const OpenedPlan opened = MakePlan(2);
  std::filesystem::resize_file(directory_ + "/model.safetensors", 100);
  for (const wire::Transport transport : {wire::Transport::kLocal, wire::Transport::kShm}) {
    Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(opened, Options(transport), {});
    ASSERT_TRUE(world.ok()) << world.message();
    const Status ready = (*world)->AwaitReady();
    ASSERT_FALSE(ready.ok());
    EXPECT_THAT(ready.message(), MatchesRegex("rank [01] failed while loading weights: .*model.safetensors.*"));
  }
}

// It reads no more, so the batch cannot be written: that is the consequence, and what it said before is the cause.
TEST_F(RankWorldTest, AWriteErrorHidesNoFailure) {
  setenv(kRankThatComplains, "1", 1);
  const OpenedPlan opened = MakePlan(1);
  const std::unique_ptr<RankWorld> world = StartReady(opened, wire::Transport::kLocal);
  unsetenv(kRankThatComplains);
  EXPECT_EQ(RunStep(*world, 1, SomeBatch()).message(), "rank 0 failed at step 1: a cosmic ray");
}

// A batch of more bytes than a socket holds, to a rank that is stopped, or whose main thread is.
TEST_F(RankWorldTest, NamesARankThatTakesNoBatch) {
  const OpenedPlan opened = MakePlan(2);
  Batch batch = SomeBatch();
  batch.kv[0].block_table.resize(size_t{4} << 20);
  for (const wire::Transport transport : {wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
    const std::unique_ptr<RankWorld> frozen = StartReady(opened, transport, {}, kShortLimits);
    const int victim = frozen->pids()[0];
    kill(victim, SIGSTOP);
    EXPECT_THAT(
        frozen->Enqueue(1, batch).message(),
        MatchesRegex(fmt::format("rank 0 \\(pid {}\\) is frozen or cut off: no sign of life for [12]\\.. s while "
                                 "idle",
                                 victim)));
    const std::unique_ptr<RankWorld> hung = StartReady(opened, transport, {}, kShortLimits);
    const HeldThread held(hung->pids()[0]);
    EXPECT_THAT(
        hung->Enqueue(1, batch).message(),
        MatchesRegex(fmt::format("rank 0 \\(pid {}\\) hangs while idle: alive, but has not looked for a message "
                                 "for [12]\\.. s",
                                 hung->pids()[0])));
  }
}

// Nobody waits for anything, and it is noticed all the same.
TEST_F(RankWorldTest, NamesAnIdleRankThatHangsOrIsFrozen) {
  const OpenedPlan opened = MakePlan(1, 2);
  for (const bool frozen : {false, true}) {
    std::promise<std::string> lost;
    RankCallbacks callbacks;
    callbacks.on_lost = [&](const std::string& why) { lost.set_value(why); };
    const std::unique_ptr<RankWorld> world = StartReady(opened, wire::Transport::kShm, callbacks, kShortLimits);
    ASSERT_TRUE(RunStep(*world, 1, SomeBatch()).ok());
    std::optional<HeldThread> held;
    if (frozen) {
      kill(world->pids()[1], SIGSTOP);
    } else {
      held.emplace(world->pids()[1]);
    }
    EXPECT_THAT(lost.get_future().get(), HasSubstr(frozen ? "is frozen or cut off" : "hangs while idle"));
  }
}

// The others have long said hello, and wait for what the supervisor says next.
TEST_F(RankWorldTest, NamesARankThatHangsBeforeItsHello) {
  for (const char* victim : {"0", "1"}) {
    setenv(kRankThatHangs, victim, 1);
    const OpenedPlan opened = MakePlan(2);
    RankOptions options = Options(wire::Transport::kTcp);
    options.liveness = kShortLimits;
    Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(opened, options, {});
    ASSERT_TRUE(world.ok()) << world.message();
    EXPECT_THAT((*world)->AwaitReady().message(),
                MatchesRegex(fmt::format(
                    "rank {} \\(pid [0-9]+\\) hangs while starting: alive, but no progress for [12]\\.. s", victim)));
    unsetenv(kRankThatHangs);
  }
}

// Longer than a rank may be silent, but the watcher did not watch: the world is as it was.
TEST_F(RankWorldTest, GoesOnWhenAllWereFrozenTogether) {
  const OpenedPlan opened = MakePlan(2);
  for (const wire::Transport transport : {wire::Transport::kShm, wire::Transport::kTcp, wire::Transport::kRing}) {
    const std::unique_ptr<RankWorld> world =
        StartReady(opened, transport, {}, {.lost_after = std::chrono::milliseconds(1000)});
    ASSERT_TRUE(RunStep(*world, 1, SomeBatch()).ok());
    // A child of this process that freezes it and its ranks, and thaws them, the watcher first.
    const pid_t self = getpid();
    const std::vector<int> pids = world->pids();
    const pid_t freezer = fork();
    if (freezer == 0) {
      for (const int pid : pids) kill(pid, SIGSTOP);
      kill(self, SIGSTOP);
      usleep(2500000);
      kill(self, SIGCONT);
      usleep(300000);
      for (const int pid : pids) kill(pid, SIGCONT);
      _exit(0);
    }
    ASSERT_EQ(waitpid(freezer, nullptr, 0), freezer);
    const Result<StepOutput> output = RunStep(*world, 2, SomeBatch());
    EXPECT_TRUE(output.ok()) << output.message();
  }
}

TEST_F(RankWorldTest, AnInterruptEndsAnEnqueueThatWaits) {
  const OpenedPlan opened = MakePlan(1, 2);
  RankOptions options = Options(wire::Transport::kShm);
  options.liveness.lost_after = std::chrono::minutes(10);
  Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(opened, options, {});
  ASSERT_TRUE(world.ok()) << world.message();
  ASSERT_TRUE((*world)->AwaitReady().ok());
  kill((*world)->pids()[0], SIGSTOP);
  Batch batch = SomeBatch();
  batch.kv[0].block_table.resize(size_t{4} << 20);
  std::future<Status> enqueued = std::async(std::launch::async, [&] { return (*world)->Enqueue(1, batch); });
  while ((*world)->phase() != "at step 1") std::this_thread::yield();
  (*world)->Interrupt();
  const bool ended = enqueued.wait_for(std::chrono::seconds(5)) == std::future_status::ready;
  if (!ended) kill((*world)->pids()[0], SIGKILL);
  EXPECT_TRUE(ended);
  EXPECT_EQ(enqueued.get().error().kind, ErrorKind::kCancelled);
}

// The file behind a verified plan is another's to change: overwritten in place, truncated, gone.
TEST_F(RankWorldTest, RunsWhatWasVerifiedWhateverBecomesOfTheFile) {
  const OpenedPlan opened = MakePlan(2);
  std::vector<float> expected;
  for (const char* fate : {"kept", "overwritten", "truncated", "removed"}) {
    SCOPED_TRACE(fate);
    if (std::strcmp(fate, "overwritten") == 0) {
      std::vector<char> noise(std::filesystem::file_size(path_), 'x');
      std::FILE* file = std::fopen(path_.c_str(), "r+b");
      ASSERT_EQ(std::fwrite(noise.data(), 1, noise.size(), file), noise.size());
      std::fclose(file);
    } else if (std::strcmp(fate, "truncated") == 0) {
      std::filesystem::resize_file(path_, 0);
    } else if (std::strcmp(fate, "removed") == 0) {
      std::filesystem::remove(path_);
    }
    const std::unique_ptr<RankWorld> world = StartReady(opened, wire::Transport::kShm);
    const Result<StepOutput> output = RunStep(*world, 1, SomeBatch());
    ASSERT_TRUE(output.ok()) << output.message();
    const std::vector<float> logits(output->logits.begin(), output->logits.end());
    if (expected.empty()) expected = logits;
    EXPECT_EQ(std::memcmp(logits.data(), expected.data(), expected.size() * 4), 0);
  }
}

TEST_F(RankWorldTest, EndsAtOnceWhileLoadingOrServing) {
  const OpenedPlan opened = MakePlan(2);
  Result<std::unique_ptr<RankWorld>> world = RankWorld::Start(opened, Options(wire::Transport::kTcp), {});
  ASSERT_TRUE(world.ok()) << world.message();
  const std::vector<int> pids = (*world)->pids();
  (*world)->Stop();
  for (const int pid : pids) EXPECT_TRUE(IsGone(pid));

  const std::unique_ptr<RankWorld> serving = StartReady(opened, wire::Transport::kTcp);
  const auto begin = std::chrono::steady_clock::now();
  serving->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  for (const int pid : serving->pids()) EXPECT_TRUE(IsGone(pid));
}

TEST(CompareHello, NamesRankAndField) {
  wire::Hello supervisor;
  supervisor.mrs_version = "1";
  supervisor.numerics_revision = 1;
  supervisor.world_size = 2;
  wire::Hello rank = supervisor;
  rank.first_rank = 1;
  EXPECT_TRUE(CompareHello(supervisor, rank).ok());
  rank.numerics_revision = 2;
  EXPECT_EQ(CompareHello(supervisor, rank).message(),
            "rank 1: its numerics revision is 2, its supervisor's is 1; run the same mrs-exec everywhere");
  rank = supervisor;
  rank.world_size = 4;
  EXPECT_THAT(CompareHello(supervisor, rank).message(), HasSubstr("its world size is 4, its supervisor's is 2"));
  rank = supervisor;
  rank.format_minor = 9;
  EXPECT_THAT(CompareHello(supervisor, rank).message(), HasSubstr("its plan format is 0.9"));
  rank = supervisor;
  rank.mrs_version = "2";
  EXPECT_THAT(CompareHello(supervisor, rank).message(), HasSubstr("its mrs version is 2"));
}

}  // namespace
}  // namespace mrs

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "rank") == 0) {
    const int fd = std::atoi(argv[3]);
    if (mrs::HangsAsRank(fd)) return mrs::HangAsRank(fd);
    return std::getenv(mrs::kRankThatComplains) != nullptr ? mrs::ComplainAsRank(fd) : mrs::RankMain(fd);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
