#include "planner/choose_collectives.h"

#include <gtest/gtest.h>

#include "planner/cluster/short_form.h"

namespace mrs {
namespace {

using cluster::Cluster;

Cluster Gpus(std::string_view text) { return *cluster::ParseGpus(text); }

// All devices behind one PCIe switch of their node.
Cluster BehindASwitch(std::string_view text) {
  Cluster cluster = Gpus(text);
  for (cluster::Node& node : cluster.nodes) {
    node.switches.push_back({.name = "sw0"});
    for (cluster::Device& device : node.devices) {
      device.at.parent = 0;
      device.at.socket = 0;
    }
  }
  return cluster;
}

// "ipc, as ...", or why not. Stages of `layers` are in the order of the devices.
std::string Chosen(const Cluster& cluster, int64_t tp, int64_t stages, const std::string& no_nccl = "") {
  const auto devices = ChooseDevices(cluster, {});
  EXPECT_TRUE(devices.ok()) << devices.message();
  Layout layout = {.mesh = {.tp = tp, .stage = stages}, .stages = {}, .buckets = {}};
  for (int64_t s = 0; s < stages; ++s) layout.stages.push_back({s, s + 1, s});
  const auto chosen = ChooseCollectives(cluster, cluster::DevicePathsOf(cluster), *devices, layout, no_nccl);
  if (!chosen) return chosen.message();
  return fmt::format("{}, as {}", CollectivesName(chosen->collectives), chosen->because);
}

bool ArePeers(const Cluster& cluster) {
  return AreKnownPeers(cluster, cluster::DevicePathsOf(cluster), *ChooseDevices(cluster, {}));
}

TEST(ChooseCollectives, TheWholeOfTheDecision) {
  struct Row {
    GpusTalk talk;
    Collectives expected;
  };
  const Row kRows[] = {
      {{.tp = 2, .stages = 1, .are_peers = true, .has_nccl = true}, Collectives::kIpc},
      {{.tp = 2, .stages = 1, .are_peers = true, .has_nccl = false}, Collectives::kIpc},
      {{.tp = 2, .stages = 2, .are_peers = true, .has_nccl = true}, Collectives::kNccl},
      {{.tp = 2, .stages = 2, .are_peers = true, .has_nccl = false}, Collectives::kIpcInStages},
      {{.tp = 2, .stages = 2, .are_peers = true, .next_is_peer = true, .has_nccl = true}, Collectives::kIpc},
      {{.tp = 1, .stages = 2, .are_peers = true, .next_is_peer = true, .has_nccl = true}, Collectives::kIpc},
      {{.tp = 2, .stages = 2, .are_peers = false, .next_is_peer = true, .has_nccl = true}, Collectives::kNccl},
      {{.tp = 2, .stages = 1, .are_peers = false, .has_nccl = true}, Collectives::kNccl},
      {{.tp = 2, .stages = 1, .are_peers = false, .has_nccl = false}, Collectives::kStaged},
      {{.tp = 1, .stages = 2, .are_peers = true, .has_nccl = true}, Collectives::kNccl},
      {{.tp = 1, .stages = 2, .are_peers = true, .has_nccl = false}, Collectives::kStaged},
      {{.tp = kMostPeerRanks, .stages = 1, .are_peers = true, .has_nccl = true}, Collectives::kIpc},
      {{.tp = kMostPeerRanks + 1, .stages = 1, .are_peers = true, .has_nccl = true}, Collectives::kNccl},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(CollectivesFor(row.talk), row.expected) << fmt::format(
        "tp {}, {} stages, peers {}, NCCL {}", row.talk.tp, row.talk.stages, row.talk.are_peers, row.talk.has_nccl);
  }
}

TEST(ChooseCollectives, ByWhatTheClusterSays) {
  EXPECT_EQ(Chosen(Gpus("8xH100-SXM"), 8, 1), "ipc, as the GPUs reach each other's memory over NVLink");
  EXPECT_EQ(Chosen(Gpus("8xH100-SXM"), 4, 2), "ipc, as the GPUs reach each other's memory over NVLink");
  EXPECT_EQ(Chosen(Gpus("8xH100-SXM"), 1, 8), "ipc, as the GPUs reach each other's memory over NVLink");
  EXPECT_EQ(Chosen(BehindASwitch("2xA100-PCIe-80GB"), 2, 1),
            "ipc, as the GPUs reach each other's memory over one PCIe switch");
  EXPECT_EQ(Chosen(Gpus("2xL4"), 2, 1),
            "nccl, as the GPUs that sum cross the link between sockets, over which they are not known to reach each "
            "other's memory");
  EXPECT_EQ(Chosen(Gpus("2xRTX-4090"), 2, 1),
            "nccl, as the GPUs that sum cross a PCIe host bridge, over which they are not known to reach each other's "
            "memory");
  EXPECT_EQ(Chosen(Gpus("2x2xH100-SXM+400G"), 4, 1),
            "nccl, as the GPUs that sum cross the network, over which they are not known to reach each other's memory");
}

TEST(ChooseCollectives, WithoutNccl) {
  EXPECT_EQ(Chosen(Gpus("8xH100-SXM"), 8, 1, "--no-nccl"), "ipc, as the GPUs reach each other's memory over NVLink");
  EXPECT_EQ(Chosen(Gpus("8xH100-SXM"), 4, 2, "--no-nccl"), "ipc, as the GPUs reach each other's memory over NVLink");
  EXPECT_EQ(Chosen(Gpus("2xL4"), 1, 2, "MISTRALRS_NO_NCCL=1"),
            "staged, as MISTRALRS_NO_NCCL=1 says that there is no NCCL");
  EXPECT_EQ(Chosen(Gpus("2xL4"), 2, 1, "--no-nccl"), "tp 2 needs NCCL, and --no-nccl says there is none");
}

TEST(ChooseCollectives, PeersAreKnownByTheirLinksAndModels) {
  EXPECT_TRUE(ArePeers(Gpus("8xH100-SXM")));
  EXPECT_FALSE(ArePeers(Gpus("2xA100-PCIe-80GB")));  // across host bridges
  EXPECT_TRUE(ArePeers(BehindASwitch("4xL40S")));
  EXPECT_TRUE(ArePeers(BehindASwitch("2xRTX-A6000")));
  // GeForce cards do not over PCIe, but by an NVLink bridge; of a device without a model nothing is known.
  EXPECT_FALSE(ArePeers(BehindASwitch("2xRTX-4090")));
  EXPECT_FALSE(ArePeers(BehindASwitch("2x24GB")));
  EXPECT_FALSE(ArePeers(BehindASwitch("RTX-A6000,24GB")));
  Cluster bridged = BehindASwitch("2xRTX-3090");
  EXPECT_FALSE(ArePeers(bridged));
  bridged.nodes[0].links.push_back({cluster::PeerKind::kNvlink, 0, 1, 4, 14});
  bridged.nodes[0].links.push_back({cluster::PeerKind::kNvlink, 1, 0, 4, 14});
  EXPECT_TRUE(ArePeers(bridged));
  // Two bridged pairs of four reach each other by no bridge; nor by way of a third GPU.
  Cluster chain = Gpus("3xRTX-3090");
  for (const auto& [from, to] : {std::pair{0, 1}, {1, 0}, {1, 2}, {2, 1}}) {
    chain.nodes[0].links.push_back({cluster::PeerKind::kNvlink, from, to, 4, 14});
  }
  EXPECT_FALSE(ArePeers(chain));
  // Trays of an NVL72: over NVLink, but of several nodes.
  EXPECT_FALSE(ArePeers(Gpus("2x4xGB200")));
}

}  // namespace
}  // namespace mrs
