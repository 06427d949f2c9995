#include "runtime/serve/byte_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace mrs::serve {
namespace {

TEST(ByteHold, TakesNoMoreThanTheOthersLeave) {
  ByteBudget budget(100);
  ByteHold first(&budget);
  {
    ByteHold second(&budget);
    EXPECT_TRUE(first.Resize(60));
    EXPECT_FALSE(second.Resize(41));
    EXPECT_EQ(second.bytes(), 0u);
    EXPECT_TRUE(second.Resize(40));
    EXPECT_FALSE(first.Resize(61));
    EXPECT_EQ(budget.held(), 100u);
    EXPECT_TRUE(first.Resize(10));
    EXPECT_TRUE(second.Resize(90));
    const ByteHold moved = std::move(second);
    EXPECT_EQ(moved.bytes(), 90u);
    EXPECT_FALSE(first.Resize(11));
  }
  EXPECT_EQ(budget.held(), 10u);
  EXPECT_FALSE(first.Resize(SIZE_MAX));
  first.Clear();
  EXPECT_EQ(budget.held(), 0u);
  EXPECT_EQ(budget.peak(), 100u);
}

TEST(ByteBudget, HoldsItsLimitAmongThreads) {
  ByteBudget budget(1000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&budget] {
      for (size_t round = 0; round < 2000; ++round) {
        ByteHold hold(&budget);
        (void)hold.Resize(round % 700);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.held(), 0u);
  EXPECT_LE(budget.peak(), 1000u);
}

}  // namespace
}  // namespace mrs::serve
