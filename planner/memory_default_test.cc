#include "planner/memory_default.h"

#include <gtest/gtest.h>

namespace mrs {
namespace {

// What a host has is host/memory.h's to say, and tested there.
TEST(MemoryDefault, RefusesAHostThatDoesNotSay) {
  const std::string root = ::testing::TempDir() + "/mrs_no_meminfo";
  EXPECT_EQ(HostMemoryBytes(root).message(),
            root + "/proc/meminfo: no MemTotal to read this host's memory from; give it with --memory BYTES");
}

TEST(MemoryDefault, ReadsThisHost) {
  const Result<uint64_t> bytes = HostMemoryBytes();
  ASSERT_TRUE(bytes.ok()) << bytes.message();
  EXPECT_GT(*bytes, uint64_t{1} << 20);
}

TEST(MemoryDefault, SplitsNineTenthsOverTheRanks) {
  EXPECT_EQ(DefaultMemoryPerRank(1000, 1), 900u);
  EXPECT_EQ(DefaultMemoryPerRank(1009, 1), 908u);
  EXPECT_EQ(DefaultMemoryPerRank(17179869184, 2), 7730941132u);
  EXPECT_EQ(DefaultMemoryPerRank(UINT64_MAX, 1), 16602069666338596453u);
  EXPECT_EQ(DefaultMemoryPerRank(0, 8), 0u);
}

}  // namespace
}  // namespace mrs
