// Sanitizers need address space of their own, so this does not run under them.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "host/thread.h"

namespace mrs {
namespace {

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

}  // namespace
}  // namespace mrs
