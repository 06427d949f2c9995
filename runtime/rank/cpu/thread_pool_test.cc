#include "runtime/rank/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <new>
#include <vector>

namespace mrs {
namespace {

// How often each item was taken.
std::vector<int> Taken(ThreadPool& pool, int64_t item_count) {
  std::vector<int> taken(static_cast<size_t>(item_count));
  pool.For(item_count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ++taken[static_cast<size_t>(i)];
  });
  return taken;
}

TEST(ThreadPool, TakesEveryItemOnce) {
  for (const bool spin : {true, false}) {
    for (const int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads, spin);
      EXPECT_EQ(pool.thread_count(), threads);
      for (const int64_t items : {0, 1, 2, 7, 8, 1009}) {
        EXPECT_EQ(Taken(pool, items), std::vector<int>(static_cast<size_t>(items), 1)) << threads << " " << items;
      }
    }
  }
}

TEST(ThreadPool, SplitsByCountsAlone) {
  ThreadPool pool(4, true);
  for (int round = 0; round < 100; ++round) {
    std::vector<int64_t> begins(10);
    pool.For(10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) begins[static_cast<size_t>(i)] = begin;
    });
    EXPECT_EQ(begins, (std::vector<int64_t>{0, 0, 2, 2, 2, 5, 5, 7, 7, 7}));
  }
}

TEST(ThreadPool, SurvivesManyRoundsOfNothing) {
  ThreadPool pool(3, false);
  std::atomic<int64_t> sum = 0;
  for (int round = 0; round < 2000; ++round) pool.For(3, [&](int64_t begin, int64_t) { sum += begin; });
  EXPECT_EQ(sum, 2000 * 3);
}

TEST(ThreadPool, WorkersFlushDenormals) {
  ThreadPool pool(3, true);
  std::vector<float> products(3, 1.0F);
  volatile float tiny = std::numeric_limits<float>::min();
  pool.For(3, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) products[static_cast<size_t>(i)] = tiny * 0.5F;
  });
  EXPECT_EQ(products[1], 0.0F);
  EXPECT_EQ(products[2], 0.0F);
}

TEST(ThreadPool, HandsOnWhatABodyThrowsOnceAllHaveEnded) {
  ThreadPool pool(4, false);
  std::atomic<int> ended{0};
  for (int64_t thrower = 0; thrower < 4; ++thrower) {
    ended = 0;
    EXPECT_THROW(pool.For(4,
                          [&](int64_t begin, int64_t) {
                            ++ended;
                            if (begin == thrower) throw std::bad_alloc();
                          }),
                 std::bad_alloc);
    EXPECT_EQ(ended, 4);
  }
  pool.For(4, [&](int64_t, int64_t) { ++ended; });
  EXPECT_EQ(ended, 8);
}

}  // namespace
}  // namespace mrs
