#include "planner/memory_default.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mrs {
namespace {

class MemoryDefault : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / "mrs_memory_XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    Write("proc/meminfo", "MemFree: 7 kB\nMemTotal:       1000 kB\nMemAvailable: 5 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = root_ + "/" + name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  Result<uint64_t> Bytes() { return HostMemoryBytes(root_ + "/proc", root_ + "/cgroup"); }

  std::string root_;
};

TEST_F(MemoryDefault, IsTheHostsTotalWithoutLimits) {
  EXPECT_EQ(*Bytes(), 1024000u);
  Write("proc/self/cgroup", "0::/\n");
  Write("cgroup/memory.max", "max\n");
  EXPECT_EQ(*Bytes(), 1024000u);
  Write("cgroup/memory.max", "2048000\n");
  EXPECT_EQ(*Bytes(), 1024000u);
}

TEST_F(MemoryDefault, TakesTheLowestV2LimitUpToTheRoot) {
  Write("proc/self/cgroup", "0::/pod/app\n");
  Write("cgroup/pod/app/memory.max", "max\n");
  Write("cgroup/pod/memory.max", "5000\n");
  EXPECT_EQ(*Bytes(), 5000u);
  Write("cgroup/pod/app/memory.max", "4000\n");
  EXPECT_EQ(*Bytes(), 4000u);
  Write("cgroup/memory.max", "3000\n");
  EXPECT_EQ(*Bytes(), 3000u);
}

TEST_F(MemoryDefault, TakesTheV1Limit) {
  Write("proc/self/cgroup", "11:cpuset:/x\n10:cpu,memory:/box\n0::/other\n");
  Write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(*Bytes(), 1024000u);
  Write("cgroup/memory/box/memory.limit_in_bytes", "7000\n");
  EXPECT_EQ(*Bytes(), 7000u);
}

TEST_F(MemoryDefault, ReadsOnlyTheRootOfAForeignNamespace) {
  Write("proc/self/cgroup", "0::/../../proc\n");
  Write("cgroup/memory.max", "6000\n");
  EXPECT_EQ(*Bytes(), 6000u);
}

TEST_F(MemoryDefault, RefusesAHostThatDoesNotSay) {
  Write("proc/meminfo", "MemFree: 7 kB\n");
  EXPECT_EQ(Bytes().message(), root_ +
                                   "/proc/meminfo: no MemTotal to read this host's memory from; give it with "
                                   "--memory BYTES");
}

TEST_F(MemoryDefault, ReadsThisHost) {
  const Result<uint64_t> bytes = HostMemoryBytes();
  ASSERT_TRUE(bytes.ok()) << bytes.message();
  EXPECT_GT(*bytes, uint64_t{1} << 20);
}

TEST_F(MemoryDefault, SplitsNineTenthsOverTheRanks) {
  EXPECT_EQ(DefaultMemoryPerRank(1000, 1), 900u);
  EXPECT_EQ(DefaultMemoryPerRank(1009, 1), 908u);
  EXPECT_EQ(DefaultMemoryPerRank(17179869184, 2), 7730941132u);
  EXPECT_EQ(DefaultMemoryPerRank(UINT64_MAX, 1), 16602069666338596453u);
  EXPECT_EQ(DefaultMemoryPerRank(0, 8), 0u);
}

}  // namespace
}  // namespace mrs
