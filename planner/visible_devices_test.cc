#include "planner/visible_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/cluster/short_form.h"

namespace mrs {
namespace {

using cluster::Cluster;
using ::testing::ElementsAre;

Cluster Gpus(std::string_view text) { return *cluster::ParseGpus(text); }

std::vector<int> Ordinals(const Cluster& cluster, const DeviceChoice& choice) {
  std::vector<int> ordinals;
  const auto devices = ChooseDevices(cluster, choice);
  EXPECT_TRUE(devices.ok()) << devices.message();
  if (!devices) return ordinals;
  for (const VisibleDevice& device : *devices) {
    ordinals.push_back(100 * device.node + cluster.nodes[device.node].devices[device.device].ordinal);
  }
  return ordinals;
}

std::string Refused(const Cluster& cluster, const DeviceChoice& choice) {
  const auto devices = ChooseDevices(cluster, choice);
  return devices ? "" : devices.message();
}

TEST(VisibleDevices, AreThoseThatFlagAndVariablesLeave) {
  EXPECT_THAT(Ordinals(Gpus("4xL4"), {}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Ordinals(Gpus("8xH100-SXM"), {.cuda_visible = "4,5,6,7"}), ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(Ordinals(Gpus("8xH100-SXM"), {.flag = "cuda:0,1", .cuda_visible = "4,5,6,7"}), ElementsAre(4, 5));
  EXPECT_THAT(Ordinals(Gpus("8xH100-SXM"), {.flag = "cuda:3,cuda:1"}), ElementsAre(3, 1));
  EXPECT_THAT(Ordinals(Gpus("2x4xH100-SXM"), {.flag = "0,1"}), ElementsAre(0, 1, 100, 101));
  EXPECT_THAT(Ordinals(Gpus("4xL4"), {.per_node_ranks = "2"}), ElementsAre(0, 1));
  EXPECT_THAT(Ordinals(Gpus("4xL4"), {.flag = "2", .per_node_ranks = "2"}), ElementsAre(2));  // the flag says it
  EXPECT_THAT(Ordinals(Gpus("4xL4"), {.cuda_visible = "1,-1,2"}), ElementsAre(1));            // as CUDA has it
  EXPECT_THAT(Ordinals(Gpus("4xL4"), {.cuda_visible = "0, 2 ,3"}), ElementsAre(0, 2, 3));
}

TEST(VisibleDevices, MistakesAreNamed) {
  const Cluster four = Gpus("4xL4");
  EXPECT_EQ(Refused(four, {.flag = "cuda:4"}),
            "--devices cuda:4: device 4 is not there: node node-0 has 4 (to device 3)");
  EXPECT_EQ(Refused(four, {.flag = "cuda:2", .cuda_visible = "0,1"}),
            "--devices cuda:2: device 2 is not there: node node-0 has 2 (to device 1)");
  EXPECT_EQ(Refused(four, {.flag = "cuda:0,0"}), "--devices cuda:0,0: device 0 stands twice");
  EXPECT_EQ(Refused(four, {.cuda_visible = "1,1"}), "CUDA_VISIBLE_DEVICES=1,1: device 1 stands twice");
  EXPECT_EQ(Refused(four, {.cuda_visible = "GPU-8932f937"}),
            "CUDA_VISIBLE_DEVICES=GPU-8932f937: \"GPU-8932f937\" is no device; expected ordinals separated by commas, "
            "such as 0,1");
  EXPECT_EQ(Refused(four, {.flag = "cuda:0,"}),
            "--devices cuda:0,: \"\" is no device; expected ordinals separated by commas, such as 0,1");
  EXPECT_EQ(Refused(four, {.flag = "99999999999"}),
            "--devices 99999999999: \"99999999999\" is no device; expected ordinals separated by commas, such as 0,1");
  EXPECT_EQ(Refused(four, {.cuda_visible = ""}),
            "no device is left to plan for; make some visible, or name them with --devices");
  EXPECT_EQ(Refused(four, {.per_node_ranks = "5"}), "MISTRALRS_MN_LOCAL_WORLD_SIZE=5: node node-0 has 4 devices");
  EXPECT_EQ(Refused(four, {.per_node_ranks = "0"}),
            "MISTRALRS_MN_LOCAL_WORLD_SIZE=0: expected a whole number of devices of each node, from 1");
}

// What a node calls its devices is what the variable and, without it, the flag mean.
TEST(VisibleDevices, OrdinalsMayHaveGaps) {
  Cluster cluster = Gpus("3xL4");
  for (cluster::Device& device : cluster.nodes[0].devices) device.ordinal += 4;
  EXPECT_THAT(Ordinals(cluster, {.flag = "cuda:4,6"}), ElementsAre(4, 6));
  EXPECT_THAT(Ordinals(cluster, {.cuda_visible = "6,4"}), ElementsAre(4, 6));
  EXPECT_THAT(Ordinals(cluster, {.flag = "cuda:1", .cuda_visible = "6,4"}), ElementsAre(4));
  EXPECT_EQ((*ChooseDevices(cluster, {.flag = "cuda:1", .cuda_visible = "6,4"}))[0].number, 1);
  EXPECT_EQ(Refused(cluster, {.flag = "0"}), "--devices 0: device 0 is not there: node node-0 has 3 (to device 6)");
}

TEST(VisibleDevices, CudaCountsNoCpuRanks) {
  const Cluster cpus = *cluster::ParseCpus("4");
  const DeviceChoice shell = {.cuda_visible = "0", .host_memory = 4000};
  EXPECT_THAT(Ordinals(cpus, shell), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Ordinals(cpus, {.cuda_visible = "", .host_memory = 4000}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Ordinals(cpus, {.flag = "1,3", .cuda_visible = "0", .host_memory = 4000}), ElementsAre(1, 3));
  EXPECT_EQ(Refused(cpus, {.flag = "cuda:0", .host_memory = 4000}),
            "--devices cuda:0: node node-0 has CPU ranks alone; write their numbers without cuda:, such as 0,1");
  Cluster mixed = Gpus("2xL4");
  mixed.nodes[0].devices[0].kind = cluster::DeviceKind::kCpu;
  EXPECT_THAT(Ordinals(mixed, {.cuda_visible = "1"}), ElementsAre(1));
}

TEST(VisibleDevices, OfSeveralSwitchesThereIsNoHostBridgeBetween) {
  Cluster cluster = Gpus("3xL4");
  cluster::Node& node = cluster.nodes[0];
  node.sockets.resize(1);
  for (cluster::Device& device : node.devices) device.at = {};
  node.switches = {{.name = "top"}, {.name = "low", .at = {.parent = 0}}, {.name = "bridge", .host_bridge = true}};
  node.devices[0].at.parent = 0;
  node.devices[1].at.parent = 1;
  const auto crossing = [&](int a, int b) {
    const auto of = [](int device) { return VisibleDevice{.node = 0, .device = device, .island = device}; };
    return WorstCrossing(cluster, cluster::DevicePathsOf(cluster), {of(a), of(b)});
  };
  EXPECT_EQ(CrossingText(crossing(0, 1)), "several PCIe switches");
  EXPECT_TRUE(NeedsPeerAccess(crossing(0, 1)));
  EXPECT_EQ(CrossingText(crossing(0, 2)), "a PCIe host bridge");
  node.switches[0].at.parent = 2;
  node.switches[1].at.parent = 2;
  EXPECT_EQ(CrossingText(crossing(0, 1)), "a PCIe host bridge");  // which is above both
  node.devices[1].at.parent = 0;
  EXPECT_EQ(CrossingText(crossing(0, 1)), "one PCIe switch");
}

TEST(VisibleDevices, MayUseNineTenthsOfWhatIsKnown) {
  Cluster cluster = Gpus("48GB,24GB");
  const auto both = ChooseDevices(cluster, {});
  ASSERT_TRUE(both.ok()) << both.message();
  EXPECT_EQ((*both)[0].usable_bytes, 43200000000);
  EXPECT_EQ((*both)[1].usable_bytes, 21600000000);
  EXPECT_EQ((*ChooseDevices(cluster, {.memory = 30000000000}))[0].usable_bytes, 30000000000);
  cluster.nodes[0].devices[1].memory_bytes = 0;
  EXPECT_EQ(Refused(cluster, {}),
            "cluster: node node-0 device 1 (): its memory is not known; give it in the cluster file, or say --memory "
            "BYTES");
  EXPECT_EQ((*ChooseDevices(cluster, {.memory = 1000}))[1].usable_bytes, 1000);
  const Cluster cpus = *cluster::ParseCpus("4");
  EXPECT_EQ((*ChooseDevices(cpus, {.host_memory = 4000}))[3].usable_bytes, 900);
}

TEST(VisibleDevices, OneThatIsNamedSeveralTimesHasSeveralRanksWhereItMay) {
  const Cluster cluster = Gpus("4xRTX-3090");
  EXPECT_NE(Refused(cluster, {.flag = "cuda:1,1"}), "");
  const auto once = *ChooseDevices(cluster, {.flag = "cuda:1,2"});
  const auto devices = *ChooseDevices(cluster, {.flag = "cuda:1,2,1", .may_repeat = true});
  ASSERT_EQ(devices.size(), 3u);
  std::vector<int> numbers;
  for (const VisibleDevice& device : devices) {
    numbers.push_back(device.number);
    EXPECT_EQ(device.usable_bytes, once[0].usable_bytes / (device.number == 1 ? 2 : 1));
  }
  EXPECT_EQ(std::ranges::count(numbers, 1), 2);
  // A limit is a rank's.
  const auto limited = *ChooseDevices(cluster, {.flag = "cuda:1,1", .memory = 1000, .may_repeat = true});
  for (const VisibleDevice& device : limited) EXPECT_EQ(device.usable_bytes, 1000);
  // A program counts each of those that it may see once.
  EXPECT_NE(Refused(cluster, {.cuda_visible = "1,1", .may_repeat = true}), "");
}

TEST(VisibleDevices, OfOneIslandFollowEachOther) {
  Cluster cluster = Gpus("4xRTX-3090");
  const auto bridge = [&](int a, int b) {
    for (const auto& [from, to] : {std::pair{a, b}, {b, a}}) {
      cluster.nodes[0].links.push_back({cluster::PeerKind::kNvlink, from, to, 4, 14});
    }
  };
  bridge(0, 2);
  bridge(1, 3);
  EXPECT_THAT(Ordinals(cluster, {}), ElementsAre(0, 2, 1, 3));
  const auto devices = *ChooseDevices(cluster, {});
  const cluster::DevicePaths paths = cluster::DevicePathsOf(cluster);
  EXPECT_EQ(WorstCrossing(cluster, paths, {devices[0], devices[1]}), Crossing::kNvlink);
  EXPECT_GT(WorstCrossing(cluster, paths, {devices[1], devices[2]}), Crossing::kNvlink);
  EXPECT_EQ(WorstCrossing(cluster, paths, {devices[0]}), Crossing::kNothing);
}

// The hybrid cube mesh of DGX-1: two quads that are joined within, and each device with its like of the other.
TEST(VisibleDevices, IslandsAreThoseThatReachEachOtherDirectly) {
  Cluster cluster = Gpus("8xV100-SXM2-32GB");
  const auto join = [&](int a, int b, int count) {
    for (const auto& [from, to] : {std::pair{a, b}, {b, a}}) {
      cluster.nodes[0].links.push_back({cluster::PeerKind::kNvlink, from, to, count, 25});
    }
  };
  for (const int quad : {0, 4}) {
    join(quad, quad + 1, 1), join(quad, quad + 2, 1), join(quad, quad + 3, 2);
    join(quad + 1, quad + 2, 2), join(quad + 1, quad + 3, 1), join(quad + 2, quad + 3, 2);
  }
  for (int d = 0; d < 4; ++d) join(d, d + 4, 1);
  const auto devices = *ChooseDevices(cluster, {});
  for (int d = 0; d < 8; ++d) EXPECT_EQ(devices[d].island, d / 4) << d;
  const cluster::DevicePaths paths = cluster::DevicePathsOf(cluster);
  EXPECT_EQ(WorstCrossing(cluster, paths, {devices.begin(), devices.begin() + 4}), Crossing::kNvlink);
  EXPECT_EQ(WorstCrossing(cluster, paths, {devices[1], devices[5]}), Crossing::kNvlink);
  EXPECT_EQ(WorstCrossing(cluster, paths, devices), Crossing::kNvlinkThrough);
  EXPECT_EQ(CrossingText(Crossing::kNvlinkThrough), "NVLinks of a GPU between them");
  EXPECT_TRUE(NeedsPeerAccess(Crossing::kNvlinkThrough));
}

TEST(VisibleDevices, NodesOfAnNvlinkDomainFollowEachOther) {
  Cluster cluster = Gpus("4x4xGB200+400G");
  for (int n = 0; n < 4; ++n) cluster.nodes[n].nvlink_domain = n % 2 == 0 ? "a" : "b";
  EXPECT_THAT(Ordinals(cluster, {.flag = "0,3"}), ElementsAre(0, 3, 200, 203, 100, 103, 300, 303));
  const auto devices = *ChooseDevices(cluster, {});
  for (int d = 0; d < 16; ++d) EXPECT_EQ(devices[d].island, d / 8) << d;
  const cluster::DevicePaths paths = cluster::DevicePathsOf(cluster);
  EXPECT_EQ(WorstCrossing(cluster, paths, {devices.begin(), devices.begin() + 4}), Crossing::kNvlink);
  EXPECT_EQ(WorstCrossing(cluster, paths, {devices.begin(), devices.begin() + 8}), Crossing::kNvlinkNodes);
  EXPECT_EQ(WorstCrossing(cluster, paths, devices), Crossing::kNetwork);
  EXPECT_EQ(CrossingText(Crossing::kNvlinkNodes), "NVLink between nodes");
}

}  // namespace
}  // namespace mrs
