#include "host/thread.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

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

}  // namespace
}  // namespace mrs
