#include "runtime/world/verdict.h"

#include <gtest/gtest.h>

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
  const Evidence missed = {.failures = failures, .silent = {1, 2}, .phase = "at step 2"};
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
  EXPECT_EQ(Judge({.failures = failures, .silent = {2}, .phase = "while loading weights"}, false),
            "rank 1 failed while loading weights: model.safetensors: truncated");
}

// Rank 3 of 4 hangs; rank 0 waits for rank 2, which waits for rank 3.
TEST(Verdict, TheOneSilentRankIsTheCauseWhenTheOthersMissSomeone) {
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 2 gave up"},
                                               {2, ErrorKind::kTimedOut, "no data from rank 3 for 60 s"},
                                               {1, ErrorKind::kTimedOut, "no data from rank 3 for 60 s"}};
  Evidence evidence = {.ends = {{0, 1, 122, kExited1}}, .failures = failures, .silent = {3}, .phase = "at step 2"};
  EXPECT_EQ(Judge(evidence, false), std::nullopt);
  EXPECT_EQ(Judge(evidence, true),
            "rank 3 hangs at step 2: it says nothing while the others wait; rank 2: no data from rank 3 for 60 s");
  evidence.ends.push_back({2, 1, 124, kExited1});  // it has said why
  EXPECT_EQ(Judge(evidence, true)->substr(0, 12), "rank 3 hangs");
  evidence.failures.erase(evidence.failures.begin() + 1);  // now it exits without a word
  EXPECT_EQ(Judge(evidence, true), "rank 0 failed at step 2: rank 2 gave up");
}

TEST(Verdict, ARankThatCannotReadItsWeightsIsNotAPeersHang) {
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "model.safetensors: cannot be read"}};
  EXPECT_EQ(Judge({.failures = failures, .silent = {1}, .phase = "while loading weights"}, true),
            "rank 0 failed while loading weights: model.safetensors: cannot be read");
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
