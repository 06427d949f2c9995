#include "runtime/engine/verdict.h"

#include <gtest/gtest.h>

namespace mrs {
namespace {

constexpr int kKilledBy9 = 9;
constexpr int kExited1 = 1 << 8;

TEST(Verdict, AKilledRankIsTheCauseWhateverItsPeersSay) {
  const std::vector<ProcessEnd> ends = {{0, 1, 122, kExited1}, {1, 1, 123, kKilledBy9}};
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"}};
  EXPECT_EQ(Judge(ends, failures, "at step 57", false), "rank 1 (pid 123) was killed by signal 9 (Killed) at step 57");
}

TEST(Verdict, WaitsForACauseWhileOnlyAPeerIsMissed) {
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"}};
  EXPECT_EQ(Judge({}, failures, "at step 2", false), std::nullopt);
  EXPECT_EQ(Judge({}, failures, "at step 2", true), "rank 0 failed at step 2: rank 1 is gone");
  const std::vector<ProcessEnd> ends = {{0, 4, 122, kExited1}};
  EXPECT_EQ(Judge(ends, {}, "while loading weights", false), std::nullopt);
  EXPECT_EQ(Judge(ends, {}, "while loading weights", true),
            "ranks 0 to 3 (pid 122) exited with status 1 while loading weights");
}

TEST(Verdict, AReasonOfItsOwnComesBeforeAMissedPeer) {
  const std::vector<wire::Failure> failures = {{0, ErrorKind::kUnavailable, "rank 1 is gone"},
                                               {1, ErrorKind::kRefused, "model.safetensors: truncated"}};
  EXPECT_EQ(Judge({}, failures, "while loading weights", false),
            "rank 1 failed while loading weights: model.safetensors: truncated");
}

TEST(Verdict, NothingHappenedIsNoVerdict) { EXPECT_EQ(Judge({}, {}, "at step 1", true), std::nullopt); }

}  // namespace
}  // namespace mrs
