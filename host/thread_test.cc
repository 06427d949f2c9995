#include "host/thread.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <new>
#include <stdexcept>
#include <vector>

namespace mrs {
namespace {

std::string Escaped(std::function<void()> body) {
  std::string heard = "nothing";
  Result<std::thread> thread =
      StartThread("a test", std::move(body), [&](const Error& error) { heard = error.message; });
  EXPECT_TRUE(thread.ok()) << thread.message();
  if (thread.ok()) thread->join();
  return heard;
}

TEST(StartThread, TellsWhatLeavesTheBody) {
  EXPECT_EQ(Escaped([] {}), "nothing");
  EXPECT_EQ(Escaped([] { throw std::bad_alloc(); }), "out of memory");
  EXPECT_EQ(Escaped([] { throw std::runtime_error("a table has no legs"); }), "a table has no legs");
  EXPECT_EQ(Escaped([] { throw 7; }), "unknown error");
}

TEST(StartThread, EndsTheProcessWhereNobodyCanHear) {
  const auto run = [] {
    Result<std::thread> thread = StartThread(
        "a test", [] { throw std::bad_alloc(); }, [](const Error&) { throw std::bad_alloc(); });
    if (thread.ok()) thread->join();
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(1), ": a test: out of memory\n$");
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // they need address space of their own
TEST(StartThread, IsAnErrorWithoutAddressSpace) {
  const auto run = [] {
    const rlimit limit{.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
    std::vector<std::thread> threads;  // more than there may be stacks left of threads before
    for (int i = 0; i < 8; ++i) {
      Result<std::thread> thread = StartThread(
          "a test", [] { pause(); }, [](const Error&) {});
      if (thread.ok()) {
        threads.push_back(*std::move(thread));
        continue;
      }
      std::fputs(thread.message().c_str(), stderr);
      _exit(0);
    }
    _exit(4);
  };
  EXPECT_EXIT(
      run(), ::testing::ExitedWithCode(0),
      "^cannot start a thread: Resource temporarily unavailable \\(for a test\\); raise ulimit -u, ulimit -v or "
      "the cgroup's pids.max$");
}
#endif

}  // namespace
}  // namespace mrs
