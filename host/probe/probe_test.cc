// What is found on a host, by trees of /proc and /sys as kernels and containers make them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/probe/cpu.h"
#include "host/probe/limits.h"
#include "host/probe/loopback.h"
#include "host/probe/nics.h"
#include "host/probe/testing/fake_tree.h"

namespace mrs::probe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Cpus, AreCountedAndNamed) {
  const FakeTree host(
      {{"/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon 8480C\n"},
       {"/sys/devices/system/cpu/online", "0-3,8\n"},
       {"/sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"},
       {"/sys/devices/system/cpu/cpu1/topology/physical_package_id", "1\n"},
       {"/sys/devices/system/cpu/cpu2/topology/physical_package_id", "1\n"},
       {"/sys/devices/system/cpu/cpufreq/topology/physical_package_id", "7\n"},
       {"/sys/devices/system/node/node10/cpulist", "\n"},
       {"/sys/devices/system/node/node10/meminfo", "Node 10 MemTotal:       32 kB\n"},
       {"/sys/devices/system/node/node2/cpulist", "0-3\n"},
       {"/sys/devices/system/node/node2/meminfo", "Node 2 MemFree: 1 kB\nNode 2 MemTotal:  64 kB\n"},
       {"/sys/devices/system/node/online", "0-1\n"}});
  const CpuFacts facts = ReadCpus(host.root());
  EXPECT_EQ(facts.vendor, "GenuineIntel");
  EXPECT_EQ(facts.model, "Xeon 8480C");
  EXPECT_EQ(facts.family, 6);
  EXPECT_EQ(facts.model_number, 143);
  EXPECT_EQ(facts.online, 5u);
  EXPECT_EQ(facts.sockets, 2u);
  ASSERT_EQ(facts.nodes.size(), 2u);
  EXPECT_EQ(facts.nodes[0].node, 2);
  EXPECT_EQ(facts.nodes[0].cpus, "0-3");
  EXPECT_EQ(facts.nodes[0].memory_bytes, 65536u);
  EXPECT_EQ(facts.nodes[1].node, 10);
  EXPECT_EQ(facts.nodes[1].cpus, "");
}

TEST(Cpus, AreNotKnownWhereNothingIsThere) {
  const FakeTree host({});
  const CpuFacts facts = ReadCpus(host.root());
  EXPECT_EQ(facts.vendor + facts.model, "");
  EXPECT_EQ(facts.online + facts.sockets, 0u);
  EXPECT_THAT(facts.nodes, IsEmpty());
}

TEST(Cpus, OfALookedAtListAreCounted) {
  const struct {
    const char* list;
    uint32_t count;
  } kCases[] = {{"", 0},    {"0", 1},  {"0-1", 2},    {"0-3,8", 5},      {"7-7,9,11-12", 4},
                {"3-1", 0}, {"x", 0},  {"1-", 0},     {"0,", 1},         {"0-4294967295", 0},
                {"1;2", 0}, {"-1", 0}, {"0-1,,2", 0}, {"99999999999", 0}};
  for (const auto& test : kCases) EXPECT_EQ(CountOfList(test.list), test.count) << test.list;
}

TEST(Limits, AreTheSoftOnesAndTheCgroups) {
  const FakeTree host(
      {{"/proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max core file size        0                    unlimited            bytes     \n"
        "Max processes             96365                96365                processes \n"
        "Max open files            1024                 524288               files     \n"
        "Max locked memory         8388608              8388608              bytes     \n"
        "Max address space         unlimited            unlimited            bytes     \n"},
       {"/proc/self/cgroup", "0::/pod/app\n"},
       {"/sys/fs/cgroup/pod/app/pids.max", "max\n"},
       {"/sys/fs/cgroup/pod/pids.max", "100\n"},
       {"/sys/fs/cgroup/pod/pids.current", "7\n"},
       {"/sys/fs/cgroup/pids.max", "4000\n"},
       {"/sys/fs/cgroup/pids.current", "900\n"},
       {"/proc/sys/kernel/core_pattern", "|/usr/bin/handler %p\n"},
       {"/proc/meminfo", "HugePages_Total:      16\nHugePages_Free:        9\nHugepagesize:       2048 kB\n"},
       {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
       {"/dev/shm/x", ""}});
  const LimitFacts facts = ReadLimits(host.root());
  EXPECT_TRUE(facts.known);
  EXPECT_EQ(facts.core_bytes, 0u);
  EXPECT_EQ(facts.processes, 96365u);
  EXPECT_EQ(facts.open_files, 1024u);
  EXPECT_EQ(facts.memlock_bytes, 8388608u);
  EXPECT_EQ(facts.address_space_bytes, std::nullopt);
  EXPECT_EQ(facts.pids_max, 100u);
  EXPECT_EQ(facts.pids_now, 7u);
  EXPECT_EQ(facts.core_pattern, "|/usr/bin/handler %p");
  EXPECT_EQ(facts.transparent, "madvise");
  EXPECT_EQ(facts.huge_page_bytes, 2048u * 1024);
  EXPECT_EQ(facts.huge_pages_total, 16u);
  EXPECT_EQ(facts.huge_pages_free, 9u);
  ASSERT_TRUE(facts.shm_total_bytes.has_value());
  EXPECT_GT(*facts.shm_total_bytes, 0u);
}

TEST(Limits, AreNotKnownWhereNothingIsThere) {
  const FakeTree host({});
  const LimitFacts facts = ReadLimits(host.root());
  EXPECT_FALSE(facts.known);
  EXPECT_EQ(facts.memlock_bytes, std::nullopt);
  EXPECT_EQ(facts.pids_max, std::nullopt);
  EXPECT_EQ(facts.shm_total_bytes, std::nullopt);
  EXPECT_EQ(facts.transparent + facts.core_pattern, "");
}

// A card behind a switch, its Ethernet interface, one of a virtual machine, and interfaces that are none.
TEST(Nics, HaveRateStateAndPlace) {
  const std::string card = "/sys/devices/pci0000:15/0000:15:01.0/0000:16:00.0/0000:17:00.0/0000:18:00.1";
  const std::string virtio = "/sys/devices/pci0000:00/0000:00:03.0";
  const FakeTree host({{"/sys/class/infiniband/mlx5_0/ports/1/rate", "400 Gb/sec (4X NDR)\n"},
                       {"/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n"},
                       {"/sys/class/infiniband/mlx5_0/ports/1/link_layer", "InfiniBand\n"},
                       {"/sys/class/infiniband/mlx5_0/ports/2/rate", "2.5 Gb/sec (1X SDR)\n"},
                       {"/sys/class/infiniband/mlx5_0/ports/2/state", "1: DOWN\n"},
                       {"/sys/class/infiniband/mlx5_0/ports/2/link_layer", "Ethernet\n"},
                       {card + "/numa_node", "1\n"},
                       {virtio + "/numa_node", "-1\n"},
                       {"/sys/class/net/eth0/speed", "25000\n"},
                       {"/sys/class/net/eth0/operstate", "up\n"},
                       {"/sys/class/net/eth1/speed", "-1\n"},
                       {"/sys/class/net/eth1/operstate", "down\n"},
                       {"/sys/class/net/ib0/type", "32\n"},
                       {"/sys/class/net/lo/operstate", "unknown\n"},
                       {"/sys/module/nvidia_peermem/version", "580\n"}},
                      {{"/sys/class/infiniband/mlx5_0/device", card},
                       {"/sys/class/net/eth0/device", card},
                       {"/sys/class/net/eth1/device", virtio + "/virtio1"},
                       {"/sys/class/net/ib0/device", card}});
  const NicsFacts facts = ReadNics(host.root());
  EXPECT_TRUE(facts.gpu_direct);
  ASSERT_EQ(facts.nics.size(), 4u);
  const NicFacts& first = facts.nics[0];
  EXPECT_EQ(first.name, "mlx5_0");
  EXPECT_EQ(first.kind, NicKind::kInfiniband);
  EXPECT_TRUE(first.up);
  EXPECT_EQ(first.gigabits, 400);
  EXPECT_EQ(first.place.bus_id, "0000:18:00.1");
  EXPECT_EQ(first.place.numa, 1);
  EXPECT_THAT(first.place.path, ElementsAre("pci0000:15", "0000:15:01.0", "0000:16:00.0", "0000:17:00.0"));
  EXPECT_EQ(facts.nics[1].name, "mlx5_0:2");
  EXPECT_EQ(facts.nics[1].kind, NicKind::kRoce);
  EXPECT_FALSE(facts.nics[1].up);
  EXPECT_EQ(facts.nics[1].gigabits, 2.5);
  EXPECT_EQ(facts.nics[2].name, "eth0");
  EXPECT_EQ(facts.nics[2].kind, NicKind::kEthernet);
  EXPECT_EQ(facts.nics[2].gigabits, 25);
  EXPECT_EQ(facts.nics[2].place.bus_id, first.place.bus_id);
  EXPECT_EQ(facts.nics[3].name, "eth1");
  EXPECT_FALSE(facts.nics[3].up);
  EXPECT_EQ(facts.nics[3].gigabits, 0);
  EXPECT_EQ(facts.nics[3].place.bus_id, "0000:00:03.0");
  EXPECT_EQ(facts.nics[3].place.numa, std::nullopt);
}

TEST(Nics, OfNoPciHaveNoPlace) {
  const FakeTree host({{"/sys/class/net/usb0/operstate", "up\n"}},
                      {{"/sys/class/net/usb0/device", "/sys/devices/platform/gadget.0"}});
  const NicsFacts facts = ReadNics(host.root());
  ASSERT_EQ(facts.nics.size(), 1u);
  EXPECT_EQ(facts.nics[0].place.bus_id, "");
  EXPECT_THAT(facts.nics[0].place.path, IsEmpty());
  EXPECT_FALSE(facts.gpu_direct);
}

TEST(BusGpus, AreDisplaysAndAcceleratorsOfTheirVendors) {
  const std::string at = "/sys/bus/pci/devices/";
  const FakeTree host({{at + "0000:18:00.0/vendor", "0x10de\n"},
                       {at + "0000:18:00.0/class", "0x030200\n"},
                       {at + "0000:05:00.0/vendor", "0x10de\n"},
                       {at + "0000:05:00.0/class", "0x068000\n"},  // an NVSwitch
                       {at + "0000:19:00.0/vendor", "0x1002\n"},
                       {at + "0000:19:00.0/class", "0x120000\n"},
                       {at + "0000:20:00.0/vendor", "0x8086\n"},
                       {at + "0000:20:00.0/class", "0x030000\n"}});
  const std::vector<BusGpu> gpus = ReadBusGpus(host.root());
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[0].bus_id + gpus[0].vendor, "0000:18:00.0nvidia");
  EXPECT_EQ(gpus[1].bus_id + gpus[1].vendor, "0000:19:00.0amd");
}

TEST(BusId, HasOneForm) {
  for (const char* good : {"0000:18:00.0", "10000:e1:00.0", "ffffffff:00:1f.7"}) EXPECT_TRUE(IsBusId(good)) << good;
  for (const char* bad : {"", "18:00.0", "0000:18:00", "0000:18:00.0 ", "0000:1G:00.0", "0000:2A:00.0", "pci0000:00",
                          "0000-18:00.0", "000000000:18:00.0"}) {
    EXPECT_FALSE(IsBusId(bad)) << bad;
  }
}

TEST(Loopback, IsTried) {
  EXPECT_TRUE(TryTcp().ok());
  EXPECT_EQ(TryTcp("::1").message(), "::1: no IPv4 address");
  // Of the documentation (RFC 5737): no host has it.
  EXPECT_THAT(TryTcp("192.0.2.1").message(), HasSubstr("cannot bind 192.0.2.1: Cannot assign requested address"));
}

}  // namespace
}  // namespace mrs::probe
