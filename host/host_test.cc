// What a host says it has, by tables: trees of /proc and /sys as kernels and containers make them.
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "host/cores.h"
#include "host/memory.h"

namespace mrs {
namespace {

using Tree = std::map<std::string, std::string>;

class Host {
 public:
  explicit Host(const Tree& tree) {
    std::string pattern = ::testing::TempDir() + "/mrs_host_XXXXXX";
    root_ = mkdtemp(pattern.data());
    for (const auto& [name, text] : tree) {
      const std::filesystem::path path = root_ + name;
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path) << text;
    }
  }
  ~Host() { std::filesystem::remove_all(root_); }
  const std::string& root() const { return root_; }

 private:
  std::string root_;
};

TEST(Cores, AreTheLowerOfAffinityAndQuota) {
  const std::string v2 = "/sys/fs/cgroup";
  const std::string v1 = "/sys/fs/cgroup/cpu";
  const auto v1_of = [](const std::string& folder, const std::string& quota) {
    return Tree{{"/proc/self/cgroup", "12:memory:/\n4:cpu,cpuacct:/pod\n0::/\n"},
                {folder + "/cpu.cfs_quota_us", quota},
                {folder + "/cpu.cfs_period_us", "100000\n"}};
  };
  const std::string docker =
      "31 23 0:27 /docker/1 /sys/fs/cgroup/cpu,cpuacct ro,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n";
  const std::string hybrid = "30 23 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
  const struct {
    const char* name;
    Tree tree;
    uint32_t affinity, cores;
  } kCases[] = {
      {"nothing is there", {}, 8, 8},
      {"no affinity", {}, 0, 1},
      {"v2, no limit", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "max 100000\n"}}, 8, 8},
      {"v2, two cores", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "200000 100000\n"}}, 8, 2},
      {"v2, two and a half", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "250000 100000\n"}}, 8, 2},
      {"v2, half a core", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "50000 100000\n"}}, 8, 1},
      {"v2, another period", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "30000 10000\n"}}, 8, 3},
      {"v2, more than there are", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "900000 100000\n"}}, 4, 4},
      {"v2, of a parent",
       {{"/proc/self/cgroup", "0::/pod/app\n"},
        {v2 + "/pod/app/cpu.max", "max 100000\n"},
        {v2 + "/pod/cpu.max", "300000 100000\n"}},
       8,
       3},
      {"v2, the lowest of several",
       {{"/proc/self/cgroup", "0::/pod/app\n"},
        {v2 + "/pod/app/cpu.max", "400000 100000\n"},
        {v2 + "/cpu.max", "200000 100000\n"}},
       8,
       2},
      {"v2, beside v1",
       {{"/proc/self/cgroup", "3:pids:/x\n0::/\n"},
        {"/proc/self/mountinfo", hybrid},
        {v2 + "/unified/cpu.max", "300000 100000\n"}},
       8,
       3},
      {"v2, a group outside of what is seen",
       {{"/proc/self/cgroup", "0::/../../other\n"}, {v2 + "/cpu.max", "500000 100000\n"}},
       8,
       5},
      {"v2, nonsense", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "200000\n"}}, 8, 8},
      {"v2, no period", {{"/proc/self/cgroup", "0::/\n"}, {v2 + "/cpu.max", "200000 0\n"}}, 8, 8},
      {"v1, no limit", v1_of(v1 + "/pod", "-1\n"), 8, 8},
      {"v1, four cores", v1_of(v1 + "/pod", "400000\n"), 8, 4},
      {"v1, of the root", v1_of(v1, "300000\n"), 8, 3},
      {"v1, beyond the affinity", v1_of(v1 + "/pod", "400000\n"), 2, 2},
      {"v1, mounted under both names, its own group as the root",
       {{"/proc/self/cgroup", "4:cpu,cpuacct:/docker/1/job\n"},
        {"/proc/self/mountinfo", docker},
        {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "600000\n"},
        {"/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n"},
        {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "500000\n"},
        {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}},
       8,
       5},
      {"v1, another controller's group",
       {{"/proc/self/cgroup", "4:cpuset:/pod\n"},
        {v1 + "/pod/cpu.cfs_quota_us", "100000\n"},
        {v1 + "/pod/cpu.cfs_period_us", "100000\n"}},
       8,
       8},
  };
  for (const auto& test : kCases) {
    const Host host(test.tree);
    EXPECT_EQ(CoreCount(test.affinity, host.root()), test.cores) << test.name;
  }
}

// Of this process: no more than its affinity, whatever the host has.
TEST(Cores, AreOfThisProcess) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  EXPECT_GE(CoreCount(), 1u);
  EXPECT_LE(CoreCount(), static_cast<uint32_t>(CPU_COUNT(&before)));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(CoreCount(), 1u);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(Memory, IsTheLowerOfTheHostsAndTheCgroups) {
  const std::string meminfo = "MemTotal:       1000 kB\nMemFree:        100 kB\nMemAvailable:    500 kB\n";
  const std::string v2 = "/sys/fs/cgroup";
  const std::string v1 = "/sys/fs/cgroup/memory";
  const struct {
    const char* name;
    Tree tree;
    uint64_t total, free;
  } kCases[] = {
      {"no cgroup", {{"/proc/meminfo", meminfo}}, 1024000, 512000},
      {"nothing is there", {}, UINT64_MAX, UINT64_MAX},
      {"v2, no limit",
       {{"/proc/meminfo", meminfo}, {"/proc/self/cgroup", "0::/\n"}, {v2 + "/memory.max", "max\n"}},
       1024000,
       512000},
      {"v2, above the host's",
       {{"/proc/meminfo", meminfo}, {"/proc/self/cgroup", "0::/\n"}, {v2 + "/memory.max", "2048000\n"}},
       1024000,
       512000},
      {"v2, of a parent; its cache is free",
       {{"/proc/meminfo", meminfo},
        {"/proc/self/cgroup", "0::/a/b\n"},
        {v2 + "/a/b/memory.max", "max\n"},
        {v2 + "/a/memory.max", "400000\n"},
        {v2 + "/a/memory.current", "300000\n"},
        {v2 + "/a/memory.stat", "anon 5\ninactive_file 200000\n"}},
       400000,
       300000},
      {"v2, the lowest up to the root",
       {{"/proc/meminfo", meminfo},
        {"/proc/self/cgroup", "0::/pod/app\n"},
        {v2 + "/pod/app/memory.max", "4000\n"},
        {v2 + "/pod/memory.max", "5000\n"},
        {v2 + "/memory.max", "3000\n"}},
       3000,
       3000},
      {"v2, a wide limit whose group is nearly full",
       {{"/proc/meminfo", meminfo},
        {"/proc/self/cgroup", "0::/a\n"},
        {v2 + "/a/memory.max", "2048000\n"},
        {v2 + "/a/memory.current", "2000000\n"}},
       1024000,
       48000},
      {"v2, a group outside of what is seen",
       {{"/proc/meminfo", meminfo}, {"/proc/self/cgroup", "0::/../../proc\n"}, {v2 + "/memory.max", "6000\n"}},
       6000,
       6000},
      {"v1, in use beyond its limit",
       {{"/proc/meminfo", meminfo},
        {"/proc/self/cgroup", "5:cpu:/x\n4:memory:/\n"},
        {v1 + "/memory.limit_in_bytes", "90000\n"},
        {v1 + "/memory.usage_in_bytes", "100000\n"}},
       90000,
       0},
      {"v1, together with another controller",
       {{"/proc/meminfo", meminfo},
        {"/proc/self/cgroup", "11:cpuset:/x\n10:cpu,memory:/box\n0::/other\n"},
        {v1 + "/memory.limit_in_bytes", "9223372036854771712\n"},
        {v1 + "/box/memory.limit_in_bytes", "7000\n"}},
       7000,
       7000},
      {"v1, another controller's group",
       {{"/proc/meminfo", meminfo}, {"/proc/self/cgroup", "4:cpu:/box\n"}, {v1 + "/box/memory.limit_in_bytes", "7\n"}},
       1024000,
       512000},
  };
  for (const auto& test : kCases) {
    const Host host(test.tree);
    const HostMemory memory = ReadHostMemory(host.root());
    EXPECT_EQ(memory.total_bytes, test.total) << test.name;
    EXPECT_EQ(memory.free_bytes, test.free) << test.name;
  }
}

TEST(Memory, IsOfThisHost) {
  const HostMemory memory = ReadHostMemory();
  EXPECT_GT(memory.total_bytes, uint64_t{1} << 20);
  EXPECT_LE(memory.free_bytes, memory.total_bytes);
}

}  // namespace
}  // namespace mrs
