// By a stream that is done when it has been asked often enough; the emulated device's is done at once.
#include "runtime/rank/cuda/await_stream.h"

#include <gtest/gtest.h>

#include <utility>

namespace mrs {
namespace {

struct SlowStream {
  int asks_left = 0;
  bool is_finished = false;

  Result<bool> IsDone() { return asks_left-- == 0; }
  Status Finish() {
    is_finished = true;
    return Status();
  }
};

TEST(AwaitStream, LooksAroundAndOnceMoreWhenItIsDone) {
  for (const auto& [asks, expected] : {std::pair{0, 1}, {199, 1}, {200, 2}, {1000, 6}}) {
    SlowStream stream{asks};
    int looks = 0;
    const Status done = AwaitStream(stream, [&]() -> Status {
      ++looks;
      return Status();
    });
    EXPECT_TRUE(done.ok());
    EXPECT_TRUE(stream.is_finished);
    EXPECT_EQ(looks, expected) << asks;
  }
}

TEST(AwaitStream, IsGivenUpWithTheErrorOfALook) {
  SlowStream never{-1};
  const Status given_up = AwaitStream(never, [] { return Status(Unavailable("rank 1 has ended")); });
  EXPECT_EQ(given_up.message(), "rank 1 has ended");
  EXPECT_FALSE(never.is_finished);
}

TEST(QuietWait, IsToldOnceItIsLongAndNoMoreWhenItIsOver) {
  ProgressLine line;
  Pulse pulse(&line);
  {
    QuietWait is_short(&pulse, 7, std::chrono::hours(1));
    is_short.Look();
    EXPECT_EQ(line.waits_for, 0u);
    QuietWait is_long(&pulse, 7, std::chrono::milliseconds(0));
    is_long.Look();
    EXPECT_EQ(line.waits_for, 8u);
    const uint64_t wakes = line.wakes;
    is_long.Look();
    EXPECT_GT(line.wakes, wakes);
    is_long.GetsOn();
    EXPECT_EQ(line.waits_for, 0u);
    is_long.Look();
    EXPECT_EQ(line.waits_for, 8u);
  }
  EXPECT_EQ(line.waits_for, 0u);
  QuietWait unseen(nullptr, 7, std::chrono::milliseconds(0));
  unseen.Look();
}

}  // namespace
}  // namespace mrs
