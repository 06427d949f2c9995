#include "runtime/world/verdict.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace mrs {
namespace {

constexpr int kKilledBy9 = 9;
constexpr int kExited1 = 1 << 8;

TEST(Verdict, AKilledRankIsTheCauseWhateverItsPeersSay) {
  const std::vector<ProcessEnd> ends = {{0, 1, 122, kExited1}, {1, 1, 123, kKilledBy9}};
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"}};
  EXPECT_EQ(Judge({.ends = ends, .failures = failures, .phase = "at step 57"}, false),
            "rank 1 (pid 123) was killed by signal 9 (Killed) at step 57");
}

TEST(Verdict, WaitsForACauseWhileOnlyAPeerIsMissed) {
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"}};
  const Evidence missed = {.failures = failures, .phase = "at step 2"};
  EXPECT_EQ(Judge(missed, false), std::nullopt);
  EXPECT_EQ(Judge(missed, true), "rank 0 failed at step 2: rank 1 is gone");
  const std::vector<ProcessEnd> ends = {{0, 4, 122, kExited1}};
  const Evidence exited = {.ends = ends, .phase = "while loading weights"};
  EXPECT_EQ(Judge(exited, false), std::nullopt);
  EXPECT_EQ(Judge(exited, true), "ranks 0 to 3 (pid 122) exited with status 1 while loading weights");
}

TEST(Verdict, AReasonOfItsOwnComesBeforeAMissedPeer) {
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"},
                                               {1, ErrorKind::kRefused, "model.safetensors: truncated"}};
  EXPECT_EQ(Judge({.failures = failures, .phase = "while loading weights"}, false),
            "rank 1 failed while loading weights: model.safetensors: truncated");
}

// Peers of a rank that hangs may be asked to end, or be gone, before the verdict comes.
TEST(Verdict, WhatTheBoardShowsIsTheCauseUnlessARankHasAReasonOfItsOwn) {
  const std::string seen = "rank 3 (pid 7) hangs while idle";
  Evidence evidence = {.ends = {{0, 1, 122, kExited1}, {1, 1, 123, SIGTERM}},
                       .failures = {{0, ErrorKind::kUnavailable, "rank 3 gave up"}},
                       .seen = seen,
                       .phase = "at step 2"};
  EXPECT_EQ(Judge(evidence, false), seen);
  EXPECT_EQ(Judge({.seen = seen, .phase = "at step 2"}, false), seen);
  evidence.failures.push_back({2, ErrorKind::kRefused, "out of memory"});
  EXPECT_EQ(Judge(evidence, false), "rank 2 failed at step 2: out of memory");
  evidence.ends.push_back({3, 1, 125, kKilledBy9});
  EXPECT_EQ(Judge(evidence, false), "rank 3 (pid 125) was killed by signal 9 (Killed) at step 2");
}

// systemd asks all processes of a service at once: the supervisor has a moment to end by its own signal.
TEST(Verdict, ARankThatWasAskedToEndIsNamedOnlyWhenNobodyElseWas) {
  for (const int signal : {1, 2, 3, 15}) {
    const Evidence asked = {.ends = {{1, 1, 123, signal}},
                            .failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"}},
                            .phase = "at step 57"};
    EXPECT_EQ(Judge(asked, false), std::nullopt);
    EXPECT_TRUE(Judge(asked, true)->starts_with(fmt::format("rank 1 (pid 123) was killed by signal {} (", signal)));
  }
}

TEST(Verdict, AnEndThatNobodyCouldSeeIsNoExitWithStatus0) {
  const Evidence unseen = {.ends = {{1, 1, 123, std::nullopt}}, .phase = "at step 57"};
  EXPECT_EQ(Judge(unseen, false), std::nullopt);
  EXPECT_EQ(Judge(unseen, true),
            "rank 1 (pid 123) ended at step 57, and how is not known: something else in this process waited for it");
}

TEST(Verdict, NothingHappenedIsNoVerdict) { EXPECT_EQ(Judge({.phase = "at step 1"}, true), std::nullopt); }

}  // namespace
}  // namespace mrs
