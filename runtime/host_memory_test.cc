#include "runtime/host_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

namespace mrs {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

class HostMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "/host_memory_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
    Write("/proc/meminfo", "MemTotal:       1024 kB\nMemFree:        100 kB\nMemAvailable:    512 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(HostMemoryTest, ReadsWhatIsAvailable) {
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 1024 * 1024);
  EXPECT_EQ(memory.free_bytes, 512 * 1024);
}

TEST_F(HostMemoryTest, ParentCgroupLimits) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  Write("/sys/fs/cgroup/a/b/memory.max", "max\n");
  Write("/sys/fs/cgroup/a/memory.max", "400000\n");
  Write("/sys/fs/cgroup/a/memory.current", "300000\n");
  Write("/sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 200000\n");
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 400000);
  EXPECT_EQ(memory.free_bytes, 300000);  // 100000 are held, 200000 are cache
}

TEST_F(HostMemoryTest, VersionOneCgroupLimits) {
  Write("/proc/self/cgroup", "5:cpu:/x\n4:memory:/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "90000\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 90000);
  EXPECT_EQ(memory.free_bytes, 0);
}

TEST(CheckMemory, NamesWhatIsMissing) {
  const MemoryNeed need{.rank = 3, .weight_bytes = 400 * kMiB, .activation_bytes = 12 * kMiB, .kv_bytes = 100 * kMiB};
  EXPECT_TRUE(CheckMemory(need, 1, {512 * kMiB, 412 * kMiB}).ok());
  const Status now = CheckMemory(need, 1, {512 * kMiB, 411 * kMiB});
  ASSERT_FALSE(now.ok());
  EXPECT_THAT(now.message(), HasSubstr("rank 3 needs 412.0 MiB now (400.0 MiB weights, 12.0 MiB activations), but only "
                                       "411.0 MiB"));
  const Status all = CheckMemory(need, 2, {1023 * kMiB, 1000 * kMiB});
  ASSERT_FALSE(all.ok());
  EXPECT_THAT(all.message(), HasSubstr("2 rank(s) here need 512.0 MiB each"));
}

}  // namespace
}  // namespace mrs
