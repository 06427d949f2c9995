#include "planner/cluster/device_paths.h"

#include <gtest/gtest.h>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/short_form.h"

namespace mrs::cluster {
namespace {

using Islands = std::vector<std::vector<int>>;

Cluster Read(const char* text) {
  const Result<Cluster> cluster = ParseCluster(text, "c.yaml");
  EXPECT_TRUE(cluster) << cluster.message();
  return cluster ? *cluster : Cluster{};
}

TEST(DevicePaths, OfAnNvlinkDomainAreNvlinkBetweenNodes) {
  const Cluster cluster = Read(R"(
network: 400Gbit/s
nodes:
  - {count: 2, gpus: 4xGB200, nvlink_domain: rack-0}
  - {name: other, gpus: 4xGB200, nvlink_domain: rack-1}
  - {name: alone, gpus: 2xH100-SXM}
)");
  const DevicePaths all = DevicePathsOf(cluster);
  EXPECT_EQ(all.island, (Islands{{0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2}}));
  const Path within = all.paths.Between(0, 1, 1, 3);
  EXPECT_EQ(within.path_class, PathClass::kNvl);
  EXPECT_NEAR(within.gigabytes, 18 * 40.1, 1e-3);
  EXPECT_TRUE(within.known);
  EXPECT_EQ(all.paths.Between(0, 1, 2, 1).path_class, PathClass::kNet);
  EXPECT_NEAR(all.paths.Between(0, 1, 2, 1).gigabytes, 50, 1e-3);
  EXPECT_EQ(all.paths.Between(0, 0, 3, 0).path_class, PathClass::kNet);
}

// A device whose links are down is reached by the network.
TEST(DevicePaths, ADeviceThatIsNotOnTheFabricIsNotInTheIsland) {
  Cluster cluster = Read("nodes: [{count: 2, gpus: 4xGB200, nvlink_domain: rack-0}]");
  std::erase_if(cluster.nodes[1].links, [](const PeerLink& link) { return link.from == 2; });
  const DevicePaths all = DevicePathsOf(cluster);
  EXPECT_EQ(all.island, (Islands{{0, 0, 0, 0}, {0, 0, 1, 0}}));
  EXPECT_EQ(all.paths.Between(0, 0, 1, 2).path_class, PathClass::kNet);
}

// Cards, and sockets without devices, change nothing between devices.
TEST(DevicePaths, AreThoseOfTheWholeNode) {
  const Cluster cluster = Read(R"(
nodes:
  - sockets: [{}, {}, {}, {}]
    switches: [{name: a, socket: 3}, {name: b, parent: a}, {name: c, socket: 1}, {name: h, host_bridge: true, socket: 3}]
    devices:
      - {model: L4, parent: b, pcie: gen4 x16}
      - {model: L4, parent: a, pcie: gen4 x8}
      - {model: L4, socket: 1, pcie: gen4 x16}
      - {model: L4, parent: h, pcie: gen4 x16}
    nics: [{name: n, socket: 0, rate: 100Gbit/s}, {name: m, parent: c, rate: 100Gbit/s}]
)");
  const DevicePaths all = DevicePathsOf(cluster);
  const Paths whole = PathsOf(cluster.nodes[0]);
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < 4; ++b) EXPECT_EQ(all.paths.Between(0, a, 0, b), whole.At(a, b)) << a << ' ' << b;
  }
  EXPECT_EQ(all.island, (Islands{{0, 1, 2, 3}}));
}

}  // namespace
}  // namespace mrs::cluster
