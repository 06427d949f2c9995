#include "runtime/world/liveness.h"

#include <gtest/gtest.h>

#include <functional>

#include "runtime/world/finding_text.h"

namespace mrs {
namespace {

using std::chrono::milliseconds;
using Kind = Finding::Kind;

// A world of ranks that beat and work every 250 ms unless they are told otherwise; its clock is the test's.
class World {
 public:
  explicit World(uint32_t ranks, uint32_t ranks_per_process = 1, LivenessLimits limits = {})
      : liveness_(limits), beats_(ranks, true), works_(ranks, true), wakes_(ranks, true) {
    sight_.ranks.resize(ranks);
    for (uint32_t rank = 0; rank < ranks; ++rank) {
      sight_.ranks[rank].process = rank / ranks_per_process;
      progress(rank) = {.beat = 1, .step = 57, .phase = RankPhase::kWorking, .operation = 12, .operations = 203};
      names_.processes.push_back({rank, 1, static_cast<int>(70 + rank)});
    }
    if (ranks_per_process > 1) names_.processes = {{0, ranks_per_process, 70}};
    names_.step_name = [](uint32_t, uint32_t plan_step) { return plan_step == 14 ? "l3.o_proj.all_reduce" : ""; };
  }

  RankProgress& progress(uint32_t rank) { return sight_.ranks[rank].progress; }
  Sight& sight() { return sight_; }
  void Freeze(uint32_t rank) { beats_[rank] = works_[rank] = false; }
  void Thaw(uint32_t rank) { beats_[rank] = works_[rank] = true; }
  void Beat(uint32_t rank) { beats_[rank] = true; }
  void Hang(uint32_t rank) { works_[rank] = false; }
  void Wait(uint32_t rank, uint32_t peer) {
    works_[rank] = false;
    progress(rank).waits_for = peer;
  }
  void HangInAWait(uint32_t rank, uint32_t peer) {
    Wait(rank, peer);
    wakes_[rank] = false;
  }
  void Idle(uint32_t rank) {
    works_[rank] = false;
    progress(rank).phase = RankPhase::kIdle;
  }
  void Name(uint32_t process, NamedProcess name) { names_.processes[process] = std::move(name); }
  // Nobody lives or looks.
  void Sleep(milliseconds time) { sight_.now += time; }

  // Looks every 250 ms for so long; what the first look that finds something found, else nothing.
  std::optional<Finding> Run(milliseconds time) {
    for (milliseconds done{0}; done < time; done += milliseconds(250)) {
      sight_.now += milliseconds(250);
      for (uint32_t rank = 0; rank < beats_.size(); ++rank) {
        if (beats_[rank]) ++progress(rank).beat;
        if (works_[rank]) ++progress(rank).work;
        if (beats_[rank] && wakes_[rank]) ++progress(rank).wakes;
        if (beats_[rank] && progress(rank).phase == RankPhase::kIdle && looks_) ++progress(rank).looks;
      }
      if (auto found = liveness_.Look(sight_); found.has_value() && (found->fatal() || heed_slow_)) {
        found_after_ = done + milliseconds(250);
        return found;
      }
    }
    return std::nullopt;
  }
  std::string Says(milliseconds time) {
    const std::optional<Finding> found = Run(time);
    return found.has_value() ? Describe(*found, names_) : "";
  }
  milliseconds found_after() const { return found_after_; }
  void StopLooking() { looks_ = false; }
  void HeedSlow() { heed_slow_ = true; }

 private:
  Liveness liveness_;
  Sight sight_;
  WorldNames names_;
  std::vector<bool> beats_, works_, wakes_;
  bool looks_ = true;
  bool heed_slow_ = false;
  milliseconds found_after_{0};
};

constexpr milliseconds kHour = std::chrono::hours(1);

TEST(Liveness, WhoeverBeatsAndGetsOnMayTakeForever) {
  World world(4);
  EXPECT_EQ(world.Says(kHour), "");
  world.Wait(0, 1);
  world.Wait(1, 3);
  world.Wait(2, 3);
  EXPECT_EQ(world.Says(kHour), "");
}

TEST(Liveness, ARankWithoutABeatIsLostAfterFourSeconds) {
  World world(4);
  world.Run(milliseconds(1000));
  world.Freeze(2);
  world.progress(2).phase = RankPhase::kLoading;
  EXPECT_EQ(world.Says(kHour), "rank 2 (pid 72) is frozen or cut off: no sign of life for 4.0 s while loading weights");
  EXPECT_EQ(world.found_after(), milliseconds(4000));
}

TEST(Liveness, RanksThatAreFrozenTogetherAreNamedTogether) {
  World world(4);
  world.Run(milliseconds(1000));
  world.Freeze(1);
  world.Run(milliseconds(250));
  world.Freeze(3);
  EXPECT_EQ(world.Says(kHour),
            "rank 1 (pid 71) and rank 3 (pid 73) are frozen or cut off: no sign of life for 4.0 s at "
            "step 57, operation 12 of 203");
  World process(4, 4);
  process.Run(milliseconds(1000));
  for (uint32_t rank = 0; rank < 4; ++rank) process.Freeze(rank);
  EXPECT_EQ(process.Says(kHour),
            "ranks 0 to 3 (pid 70) are frozen or cut off: no sign of life for 4.0 s at step 57, "
            "operation 12 of 203");
}

TEST(Liveness, ARankThatIsThawedInTimeGoesOn) {
  World world(2);
  for (int i = 0; i < 20; ++i) {
    world.Freeze(1);
    EXPECT_EQ(world.Says(milliseconds(3500)), "");
    world.Thaw(1);
    EXPECT_EQ(world.Says(milliseconds(500)), "");
  }
}

// docker pause, a machine that is suspended, SIGSTOP to all.
TEST(Liveness, AWatcherThatSleptJudgesNobodyByIt) {
  World world(4);
  world.Wait(0, 1);
  world.Run(milliseconds(1000));
  world.Sleep(kHour);
  EXPECT_EQ(world.Says(milliseconds(60000)), "");
  world.Freeze(1);
  world.Sleep(kHour);  // the others live on after it
  EXPECT_EQ(world.Says(milliseconds(3750)), "");
  EXPECT_EQ(world.Says(milliseconds(750)).substr(0, 40), "rank 1 (pid 71) is frozen or cut off: no");
}

TEST(Liveness, ARankThatDoesNotGetOnHangsWhoeverWaitsForIt) {
  World world(4);
  world.Run(milliseconds(1000));
  world.Wait(0, 2);
  world.Wait(2, 3);
  world.Wait(3, 1);
  world.Hang(1);
  world.progress(1).plan_step = 14;
  EXPECT_EQ(world.Says(kHour),
            "rank 1 (pid 71) hangs at step 57, operation 12 of 203 ('l3.o_proj.all_reduce'): alive, "
            "but no progress for 30.0 s; ranks 0, 2 and 3 wait for it");
  EXPECT_EQ(world.found_after(), milliseconds(30000));
}

// Three stages: 0 waits for the next batch, 2 for what 1 has to give.
TEST(Liveness, AHangInTheMiddleBlamesNeitherNeighbour) {
  World world(3);
  world.Run(milliseconds(1000));
  world.Idle(0);
  world.Hang(1);
  world.Wait(2, 1);
  EXPECT_EQ(world.Says(kHour),
            "rank 1 (pid 71) hangs at step 57, operation 12 of 203: alive, but no progress for 30.0 "
            "s; rank 2 waits for it");
}

TEST(Liveness, RanksThatHangWhileTheyStart) {
  const std::pair<RankPhase, const char*> phases[] = {{RankPhase::kStarting, "while starting"},
                                                      {RankPhase::kMeeting, "while meeting the others"},
                                                      {RankPhase::kLoading, "while loading weights"},
                                                      {RankPhase::kSending, "while sending the result of step 57"}};
  for (const auto& [phase, where] : phases) {
    World world(2);
    world.Idle(0);
    world.Run(milliseconds(1000));
    world.progress(1).phase = phase;
    world.Hang(1);
    EXPECT_EQ(world.Says(kHour), fmt::format("rank 1 (pid 71) hangs {}: alive, but no progress for 30.0 s", where));
  }
}

TEST(Liveness, IdleRanksNeedOnlyBeatAndLook) {
  World world(2);
  world.Idle(0);
  world.Idle(1);
  EXPECT_EQ(world.Says(kHour), "");
  world.StopLooking();
  EXPECT_EQ(world.Says(kHour), "rank 0 (pid 70) hangs while idle: alive, but has not looked for a message for 30.0 s");
}

TEST(FindingText, SaysOnWhichNodeARankIs) {
  World world(2);
  world.Name(0, {0, 1, 70, "node 0 (a at 10.0.0.1)"});
  world.Name(1, {1, 1, 0, "node 1 (b at 10.0.0.2)"});
  world.Freeze(1);
  world.Wait(0, 1);
  EXPECT_EQ(
      world.Says(kHour),
      "rank 1 on node 1 (b at 10.0.0.2) is frozen or cut off: no sign of life for 4.0 s at step 57, operation 12 of "
      "203");
  World other(2);
  other.Name(0, {0, 1, 70, "node 0 (a at 10.0.0.1)"});
  other.Idle(1);
  other.Freeze(0);
  EXPECT_EQ(other.Says(kHour),
            "rank 0 on node 0 (a at 10.0.0.1) (pid 70) is frozen or cut off: no sign of life for 4.0 s at step 57, "
            "operation 12 of "
            "203");
}

// One thread runs the first rank and looks for messages: while it works, it does not look.
TEST(Liveness, AnIdleRankOfAProcessThatWorksIsNotDeaf) {
  World world(2, 2);
  world.Idle(1);
  world.StopLooking();
  EXPECT_EQ(world.Says(kHour), "");
  world.Idle(0);
  EXPECT_EQ(world.Says(kHour),
            "ranks 0 to 1 (pid 70) hang while idle: alive, but have not looked for a message for 30.0 s");
}

TEST(Liveness, ACircleOfWaitsIsSaidToBeOne) {
  World world(4);
  world.Run(milliseconds(1000));
  world.Wait(0, 2);
  world.Wait(1, 3);
  world.Wait(3, 1);
  world.Wait(2, 1);
  EXPECT_EQ(world.Says(kHour),
            "rank 1 (pid 71) and rank 3 (pid 73) wait for each other at step 57, operation 12 of 203: no "
            "byte has moved between them for 30.0 s");
}

// Its last word was that it waits for 0; 0 has long sent that, and waits for it, or is done.
TEST(Liveness, ARankThatHangsInItsWaitIsNoOneThatWaits) {
  for (const bool done : {false, true}) {
    World world(3);
    world.Run(milliseconds(1000));
    world.HangInAWait(1, 0);
    world.Wait(2, 1);
    if (done) world.Idle(0);
    if (!done) world.Wait(0, 1);
    EXPECT_EQ(world.Says(kHour).substr(0, 71),
              "rank 1 (pid 71) hangs at step 57, operation 12 of 203: alive, but no pr");
  }
}

// In a ring what goes from 0 to 2 is relayed by 1.
TEST(Liveness, ARankThatHangsComesBeforeACircle) {
  World world(4);
  world.Run(milliseconds(1000));
  world.Wait(0, 2);
  world.Wait(2, 0);
  world.Hang(3);
  EXPECT_EQ(world.Says(kHour).substr(0, 35), "rank 3 (pid 73) hangs at step 57, o");
}

TEST(Liveness, ARankThatIsIdleWhileOthersWaitForItIsMissed) {
  World world(2);
  world.Idle(1);
  world.Run(kHour);
  world.Wait(0, 1);
  world.sight().handing_out = true;
  EXPECT_EQ(world.Says(kHour), "");  // it has not been given the batch
  world.sight().handing_out = false;
  EXPECT_EQ(world.Says(milliseconds(250)).substr(0, 44), "rank 1 (pid 71) hangs after step 57: alive, ");
}

TEST(Liveness, AMessageThatNeverComesIsOwed) {
  World world(2);
  world.Idle(0);
  world.Idle(1);
  EXPECT_EQ(world.Says(kHour), "");
  world.sight().awaited = 1;
  EXPECT_EQ(world.Says(milliseconds(29000)), "");
  EXPECT_EQ(world.Says(milliseconds(1500)),
            "rank 1 (pid 71) hangs after step 57: alive, but idle for 30.0 s; the "
            "supervisor waits for its message");
}

// Until a program has written its first word, storage that is far away may keep it: only the hang clock counts.
TEST(Liveness, ARankThatNeverBeatHasTheLongClockUnlessItIsStopped) {
  World world(2);
  world.Idle(0);
  world.Freeze(1);
  world.progress(1) = {};
  EXPECT_EQ(world.Says(milliseconds(30000)), "");
  EXPECT_EQ(world.Says(milliseconds(1000)), "rank 1 (pid 71) does not start: no sign of life for 30.0 s");
  World stopped(2);
  stopped.Idle(0);
  stopped.Freeze(1);
  stopped.progress(1) = {};
  stopped.sight().ranks[1].stopped = true;
  EXPECT_EQ(stopped.Says(milliseconds(5000)),
            "rank 1 (pid 71) is frozen or cut off: no sign of life for 4.0 s while starting");
}

TEST(Liveness, AnEndedProcessIsNotItsBusiness) {
  World world(2);
  world.Freeze(1);
  world.Wait(0, 1);
  world.sight().ranks[1].ended = true;
  EXPECT_EQ(world.Says(kHour), "");
}

TEST(Liveness, SlowIsSaidOnceAMinuteOfTheOneFurthestBehind) {
  World world(3);
  world.HeedSlow();
  world.Wait(0, 2);
  world.progress(1).operation = 13;
  EXPECT_EQ(world.Says(milliseconds(10000)), "");
  EXPECT_EQ(world.Says(milliseconds(5000)),
            "step 57 is slow: after 10.0 s rank 2 (pid 72) is at operation 12 of 203, 1.2 "
            "operations a second; rank 0 waits for it");
  EXPECT_EQ(world.Says(milliseconds(59000)), "");
  EXPECT_NE(world.Says(milliseconds(1500)), "");
}

// A line holds what its rank wrote there: none of it may do more harm than a wrong name.
TEST(Liveness, NonsenseOnALineIsNoWait) {
  for (const uint32_t peer : {1u, 2u, 4000000000u}) {
    World world(2);
    world.Run(milliseconds(1000));
    world.Wait(1, peer);
    world.progress(1).operation = 4000000000;
    world.progress(1).operations = 0;
    world.progress(1).plan_step = 4000000000;
    EXPECT_EQ(world.Says(kHour),
              "rank 1 (pid 71) hangs at step 57, operation 4000000000 of 0: alive, but no progress for "
              "30.0 s");
  }
}

// With a hang timeout below the time that a rank may be silent.
TEST(Liveness, ARankThatIsFrozenDoesNotHang) {
  for (const RankPhase phase : {RankPhase::kWorking, RankPhase::kIdle}) {
    World world(2, 1, {.hang_after = milliseconds(1500)});
    world.Run(milliseconds(1000));
    world.progress(1).phase = phase;
    world.Freeze(1);
    world.Wait(0, 1);
    EXPECT_EQ(world.Says(kHour).substr(0, 64), "rank 1 (pid 71) is frozen or cut off: no sign of life for 4.0 s ");
  }
}

// It was stopped for longer than it may be without progress, and has a moment to show some again.
TEST(Liveness, ARankThatGoesOnStartsItsClocksAnew) {
  World world(2, 1, {.hang_after = milliseconds(1500)});
  world.Idle(1);
  world.Run(milliseconds(1000));
  world.Freeze(1);
  EXPECT_EQ(world.Says(milliseconds(2500)), "");
  world.Beat(1);
  world.StopLooking();
  EXPECT_EQ(world.Says(milliseconds(1250)), "");
  EXPECT_EQ(world.Says(milliseconds(1000)).substr(0, 32), "rank 1 (pid 71) hangs while idle");
}

TEST(Liveness, LimitsAreItsOwn) {
  World world(2, 1, {.lost_after = milliseconds(1000), .hang_after = milliseconds(1500)});
  world.Run(milliseconds(1000));
  world.Hang(0);
  EXPECT_EQ(world.Says(kHour).substr(0, 30), "rank 0 (pid 70) hangs at step ");
  EXPECT_EQ(world.found_after(), milliseconds(1500));
}

TEST(RankList, CountsWhatItDoesNotName) {
  EXPECT_EQ(RankList({3}), "rank 3");
  EXPECT_EQ(RankList({0, 3}), "ranks 0 and 3");
  EXPECT_EQ(RankList({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 3 others");
}

}  // namespace
}  // namespace mrs
