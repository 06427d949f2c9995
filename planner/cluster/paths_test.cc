#include "planner/cluster/paths.h"

#include <gtest/gtest.h>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/short_form.h"

namespace mrs::cluster {
namespace {

Cluster Read(const char* text) {
  const Result<Cluster> cluster = ParseCluster(text, "c.yaml");
  EXPECT_TRUE(cluster) << cluster.message();
  return cluster ? *cluster : Cluster{.name = {}, .nodes = {Node{}}};
}

void ExpectPath(const Path& path, PathClass path_class, double gigabytes, int hops) {
  EXPECT_EQ(PathClassName(path.path_class), PathClassName(path_class));
  EXPECT_NEAR(path.gigabytes, gigabytes, 1e-4);
  EXPECT_EQ(path.hops, hops);
}

// What NCCL 2.27.7 prints of such a host: "GPU/0-17000 (0/5000.0/LOC) GPU/0-65000 (1/240.0/NVL) CPU/0-0 (1/24.0/PHB)".
TEST(Paths, TwoBridgedCards) {
  const Cluster cluster = Read(R"(
nodes:
  - sockets: [{numa: 0, arch: x86_64, vendor: GenuineIntel, cpu: 6/106}]
    devices:
      - {model: A100-PCIe-80GB, pcie: 16GT/s x16}
      - {model: A100-PCIe-80GB, pcie: 16GT/s x16}
    nics: [{name: mlx5_0, rate: 100Gbit/s, pcie: 16GT/s x16}]
    links: [{between: [0, 1], count: 12}]
)");
  const Paths paths = PathsOf(cluster.nodes[0]);
  for (const int device : {0, 1}) {
    ExpectPath(paths.At(device, device), PathClass::kLoc, 5000, 0);
    ExpectPath(paths.At(device, 1 - device), PathClass::kNvl, 240, 1);
    ExpectPath(paths.At(device, paths.Socket(0)), PathClass::kPhb, 24, 1);
    ExpectPath(paths.At(device, paths.Nic(0)), PathClass::kPhb, 12.5, 2);
  }
  EXPECT_EQ(IslandsOf(cluster.nodes[0], paths), (std::vector<std::vector<int>>{{0, 1}}));
}

TEST(Paths, TreesOfSwitches) {
  const Cluster cluster = Read(R"(
nodes:
  - sockets: [{arch: x86_64, vendor: GenuineIntel, cpu: 6/143}, {numa: 1, arch: x86_64, vendor: GenuineIntel, cpu: 6/143}]
    switches:
      - {name: top, pcie: 8GT/s x16}
      - {name: low, parent: top, pcie: 8GT/s x16}
      - {name: bridge, host_bridge: true}
    devices:
      - {model: L4, parent: top, pcie: 16GT/s x16}
      - {model: L4, parent: low, pcie: 16GT/s x8}
      - {model: L4, parent: low, pcie: 2.5GT/s x16}
      - {model: L4, parent: bridge, pcie: 16GT/s x16}
      - {model: L4, socket: 1, pcie: 32GT/s x16}
)");
  const Paths paths = PathsOf(cluster.nodes[0]);
  ExpectPath(paths.At(1, 2), PathClass::kPix, 3, 2);
  ExpectPath(paths.At(0, 1), PathClass::kPxb, 12, 3);
  ExpectPath(paths.At(0, 3), PathClass::kPhb, 12, 4);
  ExpectPath(paths.At(3, 4), PathClass::kSys, 22, 4);
  EXPECT_EQ(IslandsOf(cluster.nodes[0], paths).size(), 5u);
}

TEST(Paths, FabricsMeshesAndNodes) {
  const Result<Cluster> cluster = ParseGpus("2x8xH100-SXM+400G");
  ASSERT_TRUE(cluster) << cluster.message();
  const ClusterPaths paths = PathsOf(*cluster);
  EXPECT_EQ(paths.tables.size(), 1u);
  ExpectPath(paths.Of(0).At(0, 7), PathClass::kNvl, 18 * 20.6, 2);
  ExpectPath(paths.Between(0, 3, 1, 3), PathClass::kNet, 50, 0);
  EXPECT_EQ(IslandsOf(cluster->nodes[1], paths.Of(1)).size(), 1u);
  // Without one of its links each other is reached through a third.
  const Cluster ring = Read(R"(
nodes:
  - devices: [{model: MI300X, count: 4}]
    links: [{between: [0, 1], kind: xgmi, count: 1}, {between: [1, 2], kind: xgmi, count: 1},
            {between: [2, 3], kind: xgmi, count: 1}, {between: [3, 0], kind: xgmi, count: 1}]
)");
  const Paths around = PathsOf(ring.nodes[0]);
  ExpectPath(around.At(0, 1), PathClass::kNvl, 48, 1);
  ExpectPath(around.At(0, 2), PathClass::kNvb, 48, 2);
  EXPECT_EQ(IslandsOf(ring.nodes[0], around).size(), 2u);
}

TEST(Paths, CardsOfWhichLittleIsKnown) {
  const Cluster cluster = Read(R"(
nodes:
  - devices: [{model: H100-PCIe, pcie: 32GT/s x16}]
    nics: [{name: eth0, rate: 200Gbit/s}, {name: mlx5_0}]
)");
  const Paths paths = PathsOf(cluster.nodes[0]);
  ExpectPath(paths.At(0, paths.Nic(0)), PathClass::kPhb, 25, 2);
  ExpectPath(paths.At(0, paths.Nic(1)), PathClass::kPhb, 12, 2);  // as PCIe that is not known
}

// Figures of NCCL's topo.h.
TEST(Paths, Figures) {
  EXPECT_EQ(PcieGigabytes({}), 12);
  EXPECT_EQ(PcieGigabytes({.gigatransfers = 2.5, .lanes = 16}), 3);
  EXPECT_EQ(PcieGigabytes({.gigatransfers = 5, .lanes = 4}), 1.5);
  EXPECT_EQ(PcieGigabytes({.gigatransfers = 64, .lanes = 16}), 96);
  EXPECT_EQ(NvlinkGigabytes(61), 18);
  EXPECT_EQ(NvlinkGigabytes(70), 20);
  EXPECT_EQ(NvlinkGigabytes(86), 12);
  EXPECT_EQ(NvlinkGigabytes(90), 20.6);
  EXPECT_EQ(NvlinkGigabytes(100), 40.1);
  const auto between = [](const char* vendor, const char* cpu) {
    return InterSocketGigabytes({.numa = 0, .arch = "x86_64", .vendor = vendor, .cpu = cpu});
  };
  EXPECT_EQ(between("AuthenticAMD", "25/1"), 16);
  EXPECT_EQ(between("GenuineIntel", "6/79"), 6);
  EXPECT_EQ(between("GenuineIntel", "6/85"), 10);
  EXPECT_EQ(between("GenuineIntel", "6/143"), 22);
  EXPECT_EQ(between("GenuineIntel", "6/207"), 40);
  EXPECT_EQ(InterSocketGigabytes({.numa = 0, .arch = "arm64"}), 6);
  const auto known = [](const char* vendor, const char* cpu) {
    return InterSocketKnown({.numa = 0, .arch = "x86_64", .vendor = vendor, .cpu = cpu});
  };
  EXPECT_TRUE(known("GenuineIntel", "6/143"));
  EXPECT_FALSE(known("GenuineIntel", "Intel(R) Xeon(R) Platinum 8480C"));  // NCCL's default for what it does not know
  EXPECT_TRUE(known("AuthenticAMD", ""));
  EXPECT_FALSE(known("", ""));
}

}  // namespace
}  // namespace mrs::cluster
