// Each fault planted in a sound node is found by its id, and the sound one is quiet.
#include "planner/cluster/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "formats/json.h"
#include "host/source_dir_for_test.h"
#include "planner/cluster/planted_faults_for_test.h"
#include "planner/cluster/short_form.h"

namespace mrs::cluster {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> Places(const Cluster& cluster) {
  std::vector<std::string> out;
  for (const Finding& one : FindingsOf(cluster)) out.push_back(fmt::format("{} {}", one.id, one.place));
  return out;
}
std::vector<std::string> Places(const Node& node) { return Places(Cluster{.name = "", .nodes = {node}}); }

TEST(Findings, SoundNodesAreQuiet) {
  EXPECT_THAT(Places(SoundNode()), IsEmpty());
  for (const char* form : {"8xH100-SXM", "2x8xH200+400G", "8xMI300X", "8xV100-SXM2-32GB", "2xGH200"}) {
    const auto cluster = ParseGpus(form);
    ASSERT_TRUE(cluster.ok());
    EXPECT_THAT(Places(*cluster), IsEmpty()) << form;
  }
}

TEST(Findings, ReadmeListsEveryKind) {
  const auto readme = ReadFile(fmt::format("{}/planner/cluster/README.md", SourceDir()), 1 << 20);
  ASSERT_TRUE(readme.ok()) << readme.message();
  for (const FindingKind& kind : FindingKinds()) {
    EXPECT_THAT(*readme, HasSubstr(fmt::format("| `{}` | {} |\n", kind.id, kind.when)));
  }
}

// Every id, its place and all words.
TEST(Findings, AreToldExactly) {
  for (const PlantedFault& fault : PlantedFaults()) {
    SCOPED_TRACE(fault.id);
    const std::vector<Finding> findings = FindingsOf(fault.cluster);
    EXPECT_EQ(FindingsText(findings), fault.text);
    EXPECT_THAT(findings, Contains(Field(&Finding::id, fault.id)));
  }
}

// An id that is new needs a case of its own above, and one that no case has is none that anybody saw fire.
TEST(Findings, EveryIdHasACase) {
  std::set<std::string_view> ids, cases;
  for (const FindingKind& kind : FindingKinds()) EXPECT_TRUE(ids.insert(kind.id).second) << kind.id << " stands twice";
  for (const PlantedFault& fault : PlantedFaults()) cases.insert(fault.id);
  EXPECT_EQ(cases, ids);
}

TEST(Findings, AreToldAsJson) {
  Node node = SoundNode();
  node.devices[3].at.link.lanes = 4;
  EXPECT_EQ(
      FindingsJson(FindingsOf({.name = "", .nodes = {node}})),
      R"([{"id":"cluster.pcie-narrow","severity":"warning","place":"node-0: device 3","what":"PCIe x4; expected x16, as its model and its )"
      R"(like have","cost_gigabytes":18.0,"mend":"reseat the card or riser, and look at the slot's bifurcation in )"
      "the firmware's setup\"}]\n");
  EXPECT_EQ(FindingsJson({}), "[]\n");
}

TEST(Findings, OnlyWhatIsThereIsSaidToBeLookedAt) {
  EXPECT_EQ(SoundText(*ParseCpus("1")), "sound: looked at 1 node, 1 device and 0 network cards\n");
  EXPECT_EQ(SoundText(*ParseGpus("8xMI300X")),
            "sound: looked at 1 node, 8 devices and 0 network cards: xGMI links, PCIe links, peer access and whether "
            "devices are alike\n");
  EXPECT_EQ(SoundText(*ParseGpus("8xV100-SXM2-32GB")),
            "sound: looked at 1 node, 8 devices and 0 network cards: PCIe links and whether devices are alike\n"
            "not told, so not judged: links between 8 devices\n");
}

TEST(Findings, ASoundClusterIsSaidToBe) {
  EXPECT_EQ(SoundText({.name = "", .nodes = {SoundNode()}}),
            "sound: looked at 1 node, 4 devices and 2 network cards: NVLinks, PCIe links, where and how fast network "
            "cards are, peer access and whether devices are alike\n");
  Node untold = SoundNode();
  untold.devices[0].at.link = {};
  for (Nic& nic : untold.nics) nic.gigabits = 0;
  EXPECT_EQ(SoundText({.name = "", .nodes = {untold, SoundNode()}}),
            "sound: looked at 2 nodes, 8 devices and 4 network cards: NVLinks, PCIe links, where and how fast network "
            "cards are, peer access and whether devices and nodes are alike\n"
            "not told, so not judged: the PCIe link of 1 device\n"
            "not told, so not judged: the rate of 2 network cards\n");
}

// What is not known costs no figure.
TEST(Findings, CostOnlyWhatIsKnown) {
  for (PlantedFault fault : PlantedFaults()) {
    if (fault.id == "cluster.not-judged") continue;  // is slow, and says nothing of rates
    SCOPED_TRACE(fault.id);
    for (Node& node : fault.cluster.nodes) {
      for (PeerLink& link : node.links) link.gigabytes = 0;
      for (Device& device : node.devices)
        device = {.model = "",
                  .memory_bytes = device.memory_bytes,
                  .ordinal = device.ordinal,
                  .at = {device.at.socket, device.at.parent, {}}};
      for (Switch& one : node.switches) one.at.link.gigatransfers = 0;
      for (Socket& socket : node.sockets) socket = {.numa = socket.numa};
      for (Nic& nic : node.nics) nic.gigabits = 0;
    }
    for (const Finding& one : FindingsOf(fault.cluster)) {
      EXPECT_EQ(one.cost_gigabytes, 0) << one.id;
      EXPECT_THAT(one.what, Not(HasSubstr("GB/s")));
    }
  }
}

TEST(Findings, LinksOfOneDevice) {
  Node node = SoundNode();
  node.links[2].count = 10;
  EXPECT_THAT(Places(node), ElementsAre("cluster.nvlink-degraded node-0: device 2"));
  EXPECT_DOUBLE_EQ(FindingsOf({.name = "", .nodes = {node}})[0].cost_gigabytes, 40);  // 2 links of 20 GB/s
  node.links[2].count = 13;
  EXPECT_THAT(Places(node), ElementsAre("cluster.nvlink-impossible node-0: device 2"));
  node.links.erase(node.links.begin() + 2);
  EXPECT_THAT(Places(node), Contains("cluster.nvlink-missing node-0: device 2"));
}

TEST(Findings, PairsOfUnlikeCounts) {
  Node node = SoundNode();
  for (Device& device : node.devices) device.model = "A100-PCIe-80GB";
  node.links = {{.from = 0, .to = 1, .count = 12}, {.from = 1, .to = 0, .count = 8}};
  EXPECT_THAT(Places(node), ElementsAre("cluster.nvlink-asymmetric node-0: device 0 and device 1",
                                        "cluster.nvlink-degraded node-0: device 1"));
}

TEST(Findings, PcieLinks) {
  Node node = SoundNode();
  node.devices[3].at.link.lanes = 4;
  EXPECT_THAT(Places(node), ElementsAre("cluster.pcie-narrow node-0: device 3"));
  EXPECT_DOUBLE_EQ(FindingsOf({.name = "", .nodes = {node}})[0].cost_gigabytes, 18);  // x4 of PCIe 4.0 for x16
  node = SoundNode();
  node.devices[1].at.link.gigatransfers = 2.5;
  EXPECT_THAT(Places(node), ElementsAre("cluster.pcie-slow node-0: device 1"));
  node = SoundNode();
  node.switches[1].at.link.lanes = 8;
  EXPECT_THAT(Places(node), ElementsAre("cluster.pcie-narrow node-0: switch sw1"));
  node = SoundNode();
  node.nics[0].at.link = {.gigatransfers = 8, .lanes = 16};
  EXPECT_THAT(Places(node), ElementsAre("cluster.nic-throttled node-0: nic mlx5_0"));
}

TEST(Findings, CardsAndDevicesThatAreFar) {
  Node node = SoundNode();
  node.nics[1].at.parent = -1;
  EXPECT_THAT(Places(node), Contains("cluster.nic-far node-0: nic mlx5_1"));
  node = SoundNode();
  node.links.clear();
  for (Device& device : node.devices) device.model = "A100-PCIe-80GB";
  node.devices[2].at = node.devices[0].at;
  node.devices[3].at.parent = -1;
  EXPECT_THAT(Places(node), Contains("cluster.peer-far node-0: device 3"));
  for (Device& device : node.devices) device.at.parent = -1;
  EXPECT_THAT(Places(node), Contains("cluster.no-peer-access node-0: all devices"));
}

// Eight modules by four switches, with two cards by each.
Node TwoCardsASwitch() {
  Node node = SoundNode();
  node.switches.resize(4, node.switches[0]);
  node.nics.clear();
  node.devices.resize(8, node.devices[0]);
  node.links.clear();
  for (int s = 0; s < 4; ++s) node.switches[s].name = fmt::format("sw{}", s), node.switches[s].at.socket = s / 2;
  for (int i = 0; i < 8; ++i) {
    node.devices[i].ordinal = i;
    node.devices[i].at = {.socket = i / 4, .parent = i / 2, .link = {.gigatransfers = 16, .lanes = 16}};
    node.links.push_back({.kind = PeerKind::kNvlink, .from = i, .to = kFabric, .count = 12, .gigabytes = 25});
    node.nics.push_back({.name = fmt::format("mlx5_{}", i),
                         .gigabits = 200,
                         .gpu_direct = true,
                         .bus_id = "",
                         .at = node.devices[i].at});
  }
  return node;
}

TEST(Findings, CardsThatAreMissedAreFarAndOthersMayBe) {
  EXPECT_THAT(Places(TwoCardsASwitch()), IsEmpty());
  // For storage, of the same rate.
  Node node = TwoCardsASwitch();
  for (const int socket : {0, 1}) {
    node.nics.push_back({.name = fmt::format("storage{}", socket),
                         .gigabits = 200,
                         .gpu_direct = false,
                         .bus_id = "",
                         .at = {.socket = socket}});
  }
  EXPECT_THAT(Places(node), IsEmpty());
  // Storage by one switch and management anywhere.
  node.nics[8].at = node.devices[0].at;
  EXPECT_THAT(Places(node), IsEmpty());
  node = TwoCardsASwitch();
  node.nics[5].at = {.socket = 0};
  EXPECT_THAT(Places(node), ElementsAre("cluster.nic-far node-0: nic mlx5_5"));
  node.nics[5].at = {.socket = 1};
  EXPECT_THAT(Places(node), ElementsAre("cluster.nic-far node-0: nic mlx5_5"));
  // By another switch.
  node.nics[5].at = node.devices[0].at;
  EXPECT_EQ(FindingsText(FindingsOf({.name = "", .nodes = {node}})),
            "cluster.nic-far  node-0: device 4\n  1 of its 2 network cards near; others have 3\n"
            "  to mend: move the card behind the switch of its GPU, or to that GPU's socket\n"
            "cluster.nic-far  node-0: device 5\n  1 of its 2 network cards near; others have 3\n"
            "  to mend: move the card behind the switch of its GPU, or to that GPU's socket\n");
  // By another socket of four, where cards have no switch.
  node = TwoCardsASwitch();
  node.sockets.resize(4, node.sockets[0]);
  for (int i = 0; i < 8; ++i) node.devices[i].at = node.nics[i].at = {.socket = i / 2};
  EXPECT_THAT(Places(node), IsEmpty());
  node.nics[5].at.socket = 0;
  EXPECT_THAT(Places(node), ElementsAre("cluster.nic-far node-0: device 4", "cluster.nic-far node-0: device 5"));
  EXPECT_EQ(FindingsOf({.name = "", .nodes = {node}})[0].what, "1 of its 2 network cards at its socket; others have 3");
  // One card by one of four switches, and one far: nothing says that it was meant for them.
  node = TwoCardsASwitch();
  node.nics.resize(2);
  node.nics[1].at = {.socket = 1};
  EXPECT_THAT(Places(node), IsEmpty());
  // All cards on the other socket; or on another NUMA node of many.
  node = SoundNode();
  for (Device& device : node.devices) device.at = node.devices[0].at;
  for (Nic& nic : node.nics) nic.at = {.socket = 1};
  EXPECT_THAT(Places(node), ElementsAre("cluster.nic-far node-0: nic mlx5_0", "cluster.nic-far node-0: nic mlx5_1"));
  node.completed.emplace_back(kOwnNumaNodes);
  EXPECT_THAT(Places(node), IsEmpty());
  node.completed.clear();
  node.sockets.resize(4, node.sockets[0]);
  EXPECT_THAT(Places(node), IsEmpty());
}

void JoinBoth(Node& node, int a, int b, int count, PeerKind kind = PeerKind::kNvlink) {
  node.links.push_back({.kind = kind, .from = a, .to = b, .count = count});
  node.links.push_back({.kind = kind, .from = b, .to = a, .count = count});
}

TEST(Findings, MeshesAreAsTheyAreMade) {
  for (const char* model : {"", "V100-SXM2-16GB"}) {
    Node node = SoundNode();
    for (Device& device : node.devices) device.model = model;
    // Half a DGX-1: the other links lead to the other half.
    node.links.clear();
    JoinBoth(node, 0, 1, 1), JoinBoth(node, 0, 2, 1), JoinBoth(node, 0, 3, 2);
    JoinBoth(node, 1, 2, 2), JoinBoth(node, 1, 3, 1), JoinBoth(node, 2, 3, 2);
    EXPECT_THAT(Places(node), IsEmpty()) << model;
    // Each with one link to each, but for one pair.
    node.links.clear();
    JoinBoth(node, 0, 1, 1), JoinBoth(node, 0, 2, 1), JoinBoth(node, 0, 3, 1);
    JoinBoth(node, 1, 2, 1), JoinBoth(node, 1, 3, 1);
    EXPECT_THAT(Places(node),
                ElementsAre("cluster.nvlink-degraded node-0: device 2", "cluster.nvlink-degraded node-0: device 3"));
  }
  // Three cards, two of which have a bridge.
  Node node = SoundNode();
  for (Device& device : node.devices) device.model.clear();
  node.links.clear();
  node.devices.pop_back();
  JoinBoth(node, 0, 1, 4);
  EXPECT_THAT(Places(node), IsEmpty());
}

TEST(Findings, OfXgmiMeshes) {
  Node node = (*ParseGpus("8xMI300X")).nodes[0];
  std::erase_if(node.links, [](const PeerLink& link) {
    return (link.from == 2 && link.to == 5) || (link.from == 5 && link.to == 2);
  });
  const std::vector<Finding> findings = FindingsOf({.name = "", .nodes = {node}});
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(fmt::format("{} {}: {}", findings[0].id, findings[0].place, findings[0].what),
            "cluster.nvlink-degraded node-0: device 2: 6 of 7 xGMI links");
  EXPECT_EQ(findings[1].place, "node-0: device 5");
  EXPECT_DOUBLE_EQ(findings[1].cost_gigabytes, 48);
}

TEST(Findings, ModulesWithoutAnyLinkLackThem) {
  Node node = SoundNode();
  node.links.clear();
  EXPECT_EQ(FindingsText(FindingsOf({.name = "", .nodes = {node}})),
            "cluster.nvlink-missing  node-0: all devices\n  no NVLink; A100-SXM-80GB has 12\n  costs 240.0 GB/s\n"
            "  to mend: look at nvidia-smi nvlink -s and at the fabric manager; leave the device out until then\n");
  // They may be there where nobody looked; a single one needs none.
  node.completed.emplace_back(kLinksNotTold);
  EXPECT_THAT(Places(node), IsEmpty());
  node.completed.clear();
  node.devices.resize(1);
  node.nics.clear();
  EXPECT_THAT(Places(node), IsEmpty());
}

TEST(Findings, WhatCarriesEnoughOrIsMadeSoIsQuiet) {
  Node node = SoundNode();
  node.nics.push_back({.name = "eth0",
                       .gigabits = 1,
                       .gpu_direct = false,
                       .bus_id = "",
                       .at = {.socket = 0, .parent = -1, .link = {.gigatransfers = 2.5, .lanes = 1}}});
  EXPECT_THAT(Places(node), IsEmpty());
  node.nics[2].gigabits = 10;  // within the chip set, which has no such link
  EXPECT_THAT(Places(node), IsEmpty());
  node.nics[2].at.link.lanes = 4;
  EXPECT_THAT(Places(node),
              ElementsAre("cluster.pcie-slow node-0: nic eth0", "cluster.nic-throttled node-0: nic eth0"));
  // An old host's slots, all of full width.
  node = SoundNode();
  for (Nic& nic : node.nics) nic.at.link.gigatransfers = 8;
  EXPECT_THAT(Places(node), IsEmpty());
  // Cards without a rate: one against most.
  node = TwoCardsASwitch();
  for (Nic& nic : node.nics) nic.gigabits = 0;
  EXPECT_THAT(Places(node), IsEmpty());
  node.nics[3].at.link.lanes = 4;
  EXPECT_EQ(FindingsOf({.name = "", .nodes = {node}}).at(0).what, "PCIe x4; expected x16, as most cards have");
  // Bridges within a package say any rate; one that is slower than the others is slow.
  node = TwoCardsASwitch();
  for (Switch& one : node.switches) one.at.link.gigatransfers = 5;
  EXPECT_THAT(Places(node), IsEmpty());
  node.switches[1].at.link.gigatransfers = 2.5;
  EXPECT_THAT(Places(node), ElementsAre("cluster.pcie-slow node-0: switch sw1"));
  // A switch of a card alone is as wide as that needs.
  node = SoundNode();
  node.switches.push_back(node.switches[1]);
  node.switches[2].name = "sw2";
  node.switches[2].at.link.lanes = 4;
  EXPECT_THAT(Places(node), IsEmpty());
  // PCIe beside C2C.
  node = SoundNode();
  node.devices[3].at.link = {.gigatransfers = 2.5, .lanes = 1};
  node.links.push_back({.kind = PeerKind::kC2c, .from = 3, .to = kSocket, .count = 5, .gigabytes = 44});
  EXPECT_THAT(Places(node), IsEmpty());
}

TEST(Findings, UnlikeDevicesAndNodes) {
  Node node = SoundNode();
  node.devices[1].model = "A100-SXM-40GB";
  EXPECT_THAT(Places(node), ElementsAre("cluster.mixed-devices node-0: device 1"));
  Node other = SoundNode(), third = SoundNode();
  other.name = "node-1";
  third.name = "node-2";
  EXPECT_THAT(Places(Cluster{.name = "", .nodes = {SoundNode(), other, third}}), IsEmpty());
  other.devices.pop_back();
  other.links.pop_back();
  EXPECT_THAT(Places(Cluster{.name = "", .nodes = {SoundNode(), other, third}}),
              ElementsAre("cluster.node-differs node-1"));
}

// As large as nodes may be: alike, they are judged once; unlike, no more of them than are shown.
TEST(Findings, LargeNodesAreJudgedOnce) {
  Node large = SoundNode();
  large.sockets.resize(255, large.sockets[0]);
  large.nics.resize(255, large.nics[0]);
  for (int n = 0; n < 255; ++n) large.nics[n].name = fmt::format("mlx5_{}", n);
  large.devices[0].model = "A100-PCIe-80GB";  // modules would lack their NVLinks
  large.devices.assign(64, Device(large.devices[0]));
  large.links.clear();
  for (int d = 0; d < 64; ++d) large.devices[d].ordinal = d;
  large.devices[3].at.link.lanes = 4;
  Cluster cluster{.name = "", .nodes = {}};
  std::vector<std::string> expected;
  for (int n = 0; n < 120; ++n) {
    cluster.nodes.push_back(large);
    cluster.nodes.back().name = fmt::format("node-{}", n);
    cluster.nodes.back().devices[0].bus_id = fmt::format("0000:{:02x}:00.0", n);
    expected.push_back(fmt::format("cluster.pcie-narrow node-{}: device 3", n));
  }
  EXPECT_EQ(Places(cluster), expected);
  for (int n = 0; n < 120; ++n) cluster.nodes[n].cores = n + 1;
  const std::vector<Finding> findings = FindingsOf(cluster);
  ASSERT_EQ(findings.size(), 3u + 1 + 119);
  EXPECT_EQ(findings[2].place, "node-2: device 3");
  EXPECT_EQ(FindingsText({&findings[3], 1}),
            "cluster.not-judged  node-3 and 116 more\n  unlike nodes with more than 1048576 pairs of devices, nics and "
            "sockets in all; the others were looked at\n  to mend: check the nodes that are left in a file of their "
            "own\n");
}

// A card that is the host's, without a bus id, has another path than one of the same look in a slot.
TEST(Findings, ACardInASlotIsNotTheHosts) {
  Node in_slot = SoundNode();
  in_slot.nics = {
      {.name = "eth0", .gigabits = 400, .gpu_direct = false, .bus_id = "0000:17:00.0", .at = {.socket = 0}}};
  Node of_host = in_slot;
  of_host.nics[0].bus_id = "";
  of_host.name = "node-1";
  const auto alone = Places(of_host), both = Places(Cluster{.name = "", .nodes = {in_slot, of_host}});
  std::vector<std::string> expected = Places(in_slot);
  expected.insert(expected.end(), alone.begin(), alone.end());
  EXPECT_EQ(both, expected);
}

}  // namespace
}  // namespace mrs::cluster
