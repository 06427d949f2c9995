#include "planner/cluster/planted_faults_for_test.h"

#include <fmt/format.h>

namespace mrs::cluster {
namespace {

Cluster Alone(Node node) { return {.name = "", .nodes = {std::move(node)}}; }

Cluster Broken(void (*plant)(Node&)) {
  Node node = SoundNode();
  plant(node);
  return Alone(std::move(node));
}

// Three nodes, of which the middle one is unlike.
Cluster Swapped(void (*plant)(Node&)) {
  Cluster cluster{.name = "", .nodes = {SoundNode(), SoundNode(), SoundNode()}};
  for (int n = 0; n < 3; ++n) cluster.nodes[n].name = fmt::format("node-{}", n);
  plant(cluster.nodes[1]);
  return cluster;
}

// Cards without a bridge, where modules would lack their NVLinks.
void AsCards(Node& node) {
  node.links.clear();
  for (Device& device : node.devices) device.model = "A100-PCIe-80GB";
}

// No NVLinks: devices 0 to 2 behind one switch, device 3 at its socket.
void OneFar(Node& node) {
  AsCards(node);
  node.nics.clear();
  node.devices[2].at = node.devices[0].at;
  node.devices[3].at.parent = -1;
}

// More parts than are looked at, in nodes that are unlike.
Cluster Enormous() {
  Node node = SoundNode();
  node.sockets.resize(255, node.sockets[0]);
  for (int s = 0; s < 255; ++s) node.sockets[s].numa = s;
  node.nics.resize(255, node.nics[0]);
  for (int n = 0; n < 255; ++n) node.nics[n].name = fmt::format("mlx5_{}", n);
  for (Nic& nic : node.nics) nic.at = node.nics[0].at;
  node.devices.resize(64, node.devices[0]);
  AsCards(node);
  for (int d = 0; d < 64; ++d) {
    node.devices[d].ordinal = d;
    node.devices[d].at = node.devices[0].at;
  }
  Cluster cluster{.name = "", .nodes = {node, node, node, node, node}};
  for (int n = 0; n < 5; ++n) {
    cluster.nodes[n].name = fmt::format("node-{}", n);
    if (n > 0) cluster.nodes[n].nics[0].gpu_direct = false;
  }
  cluster.nodes[4].nics[0].gigabits = 100;
  cluster.nodes[3].nics[0].at = SoundNode().nics[1].at;
  return cluster;
}

}  // namespace

Node SoundNode() {
  Node node{.name = "node-0"};
  node.sockets = {{.numa = 0, .arch = "x86_64", .vendor = "GenuineIntel", .cpu = "6/106"},
                  {.numa = 1, .arch = "x86_64", .vendor = "GenuineIntel", .cpu = "6/106"}};
  for (int s = 0; s < 2; ++s) {
    node.switches.push_back({.name = fmt::format("sw{}", s),
                             .host_bridge = false,
                             .at = {.socket = s, .parent = -1, .link = {.gigatransfers = 16, .lanes = 16}}});
    node.nics.push_back({.name = fmt::format("mlx5_{}", s),
                         .gigabits = 200,
                         .gpu_direct = true,
                         .bus_id = "",
                         .at = {.socket = s, .parent = s, .link = {.gigatransfers = 16, .lanes = 16}}});
  }
  for (int d = 0; d < 4; ++d) {
    node.devices.push_back({.kind = DeviceKind::kCuda,
                            .model = "A100-SXM-80GB",
                            .memory_bytes = uint64_t{81920} << 20,
                            .ordinal = d,
                            .bus_id = "",
                            .at = {.socket = d / 2, .parent = d / 2, .link = {.gigatransfers = 16, .lanes = 16}}});
    node.links.push_back({.kind = PeerKind::kNvlink, .from = d, .to = kFabric, .count = 12, .gigabytes = 25});
  }
  return node;
}

std::vector<PlantedFault> PlantedFaults() {
  return {
      {"cluster.nvlink-asymmetric",
       Broken([](Node& node) {
         AsCards(node);
         node.links = {{.from = 0, .to = 1, .count = 12}, {.from = 1, .to = 0, .count = 8}};
       }),
       "cluster.nvlink-asymmetric  node-0: device 0 and device 1\n"
       "  12 links to, 8 back; expected the same both ways\n"
       "  costs 80.0 GB/s\n"
       "  to mend: look at nvidia-smi nvlink -s of both; reseat the bridge, or reset the GPUs and their fabric "
       "manager\n"
       "cluster.nvlink-degraded  node-0: device 1\n"
       "  8 of 12 NVLinks\n"
       "  costs 80.0 GB/s\n"
       "  to mend: look at nvidia-smi nvlink -s for links that are down; reseat the bridge or module\n",
       {"warning: node-0: device 0 and device 1: 12 links to, 8 back; expected the same both ways (costs 80 GB/s); "
        "look at nvidia-smi nvlink -s of both; reseat the bridge, or reset the GPUs and their fabric manager "
        "[cluster.nvlink-asymmetric]",
        "warning: node-0: device 1: 8 of 12 NVLinks (costs 80 GB/s); look at nvidia-smi nvlink -s for links that are "
        "down; reseat the bridge or module [cluster.nvlink-degraded]"}},
      {"cluster.nvlink-degraded",
       Broken([](Node& node) { node.links[2].count = 10; }),
       "cluster.nvlink-degraded  node-0: device 2\n"
       "  10 of 12 NVLinks\n"
       "  costs 40.0 GB/s\n"
       "  to mend: look at nvidia-smi nvlink -s for links that are down; reseat the bridge or module\n",
       {"warning: node-0: device 2: 10 of 12 NVLinks (costs 40 GB/s); look at nvidia-smi nvlink -s for links that are "
        "down; reseat the bridge or module [cluster.nvlink-degraded]"}},
      {"cluster.nvlink-missing",
       Broken([](Node& node) { node.links.erase(node.links.begin() + 2); }),
       "cluster.nvlink-missing  node-0: device 2\n"
       "  no NVLink; the others of its model have 12\n"
       "  costs 240.0 GB/s\n"
       "  to mend: look at nvidia-smi nvlink -s and at the fabric manager; leave the device out until then\n",
       {"warning: node-0: device 2: no NVLink; the others of its model have 12 (costs 240 GB/s); look at nvidia-smi "
        "nvlink -s and at the fabric manager; leave the device out until then [cluster.nvlink-missing]"}},
      {"cluster.nvlink-impossible",
       Broken([](Node& node) { node.links[2].count = 13; }),
       "cluster.nvlink-impossible  node-0: device 2\n"
       "  13 NVLinks; A100-SXM-80GB has 12\n"
       "  costs 20.0 GB/s\n"
       "  to mend: make the description anew from the machine; a model may be named wrongly\n",
       {"warning: node-0: device 2: 13 NVLinks; A100-SXM-80GB has 12 (costs 20 GB/s); make the description anew from "
        "the machine; a model may be named wrongly [cluster.nvlink-impossible]"}},
      // Of a GPU that the catalogue does not have.
      {"cluster.nvlink-impossible",
       Broken([](Node& node) {
         for (Device& device : node.devices) device.model = "Z9";
         node.links[1].count = 37;
       }),
       "cluster.nvlink-impossible  node-0: device 1\n"
       "  37 NVLinks; a GPU has 36\n"
       "  costs 25.0 GB/s\n"
       "  to mend: make the description anew from the machine; a model may be named wrongly\n",
       {"warning: node-0: device 1: 37 NVLinks; a GPU has 36 (costs 25 GB/s); make the description anew from the "
        "machine; a model may be named wrongly [cluster.nvlink-impossible]"}},
      // Slower than its like, and slow by any measure.
      {"cluster.pcie-slow",
       Broken([](Node& node) { node.devices[1].at.link.gigatransfers = 8; }),
       "cluster.pcie-slow  node-0: device 1\n"
       "  PCIe 8 GT/s; expected 16 or more, as its model and its like have\n"
       "  costs 12.0 GB/s\n"
       "  to mend: look at lspci -vv (LnkSta, LnkCap) under load, and at the slot's generation in the firmware's "
       "setup\n",
       {"warning: node-0: device 1: PCIe 8 GT/s; expected 16 or more, as its model and its like have (costs 12 GB/s); "
        "look at lspci -vv (LnkSta, LnkCap) under load, and at the slot's generation in the firmware's setup "
        "[cluster.pcie-slow]"}},
      {"cluster.pcie-slow",
       Broken([](Node& node) { node.switches[1].at.link.gigatransfers = 2.5; }),
       "cluster.pcie-slow  node-0: switch sw1\n"
       "  PCIe 2.5 GT/s; expected 8 or more\n"
       "  costs 9.0 GB/s\n"
       "  to mend: look at lspci -vv (LnkSta, LnkCap) under load, and at the slot's generation in the firmware's "
       "setup\n",
       {"warning: node-0: switch sw1: PCIe 2.5 GT/s; expected 8 or more (costs 9 GB/s); look at lspci -vv (LnkSta, "
        "LnkCap) under load, and at the slot's generation in the firmware's setup [cluster.pcie-slow]"}},
      {"cluster.pcie-narrow",
       Broken([](Node& node) { node.devices[3].at.link.lanes = 4; }),
       "cluster.pcie-narrow  node-0: device 3\n"
       "  PCIe x4; expected x16, as its model and its like have\n"
       "  costs 18.0 GB/s\n"
       "  to mend: reseat the card or riser, and look at the slot's bifurcation in the firmware's setup\n",
       {"warning: node-0: device 3: PCIe x4; expected x16, as its model and its like have (costs 18 GB/s); reseat the "
        "card or riser, and look at the slot's bifurcation in the firmware's setup [cluster.pcie-narrow]"}},
      {"cluster.pcie-narrow",
       Broken([](Node& node) { node.switches[1].at.link.lanes = 8; }),
       "cluster.pcie-narrow  node-0: switch sw1\n"
       "  PCIe x8; expected x16, as the other switches have\n"
       "  costs 12.0 GB/s\n"
       "  to mend: reseat the card or riser, and look at the slot's bifurcation in the firmware's setup\n",
       {"warning: node-0: switch sw1: PCIe x8; expected x16, as the other switches have (costs 12 GB/s); reseat the "
        "card or riser, and look at the slot's bifurcation in the firmware's setup [cluster.pcie-narrow]"}},
      {"cluster.pcie-narrow",
       Broken([](Node& node) { node.nics[1].at.link = {.gigatransfers = 32, .lanes = 8}; }),
       "cluster.pcie-narrow  node-0: nic mlx5_1\n"
       "  PCIe x8; expected x16, as cards of the same rate have\n"
       "  costs 24.0 GB/s\n"
       "  to mend: reseat the card or riser, and look at the slot's bifurcation in the firmware's setup\n",
       {"warning: node-0: nic mlx5_1: PCIe x8; expected x16, as cards of the same rate have (costs 24 GB/s); reseat "
        "the card or riser, and look at the slot's bifurcation in the firmware's setup [cluster.pcie-narrow]"}},
      {"cluster.nic-throttled",
       Broken([](Node& node) { node.nics[0].at.link = {.gigatransfers = 8, .lanes = 16}; }),
       "cluster.nic-throttled  node-0: nic mlx5_0\n"
       "  200 Gbit/s over PCIe that carries 126\n"
       "  costs 9.2 GB/s\n"
       "  to mend: move the card to a slot with more lanes or a newer generation\n",
       {"warning: node-0: nic mlx5_0: 200 Gbit/s over PCIe that carries 126 (costs 9.246 GB/s); move the card to a "
        "slot with more lanes or a newer generation [cluster.nic-throttled]"}},
      {"cluster.nic-far",
       Broken([](Node& node) { node.nics[1].at.parent = -1; }),
       "cluster.nic-far  node-0: nic mlx5_1\n"
       "  PHB from its nearest device; expected PIX or PXB, as other cards have\n"
       "  to mend: move the card behind the switch of its GPU, or to that GPU's socket\n",
       {"warning: node-0: nic mlx5_1: PHB from its nearest device; expected PIX or PXB, as other cards have; move the "
        "card behind the switch of its GPU, or to that GPU's socket [cluster.nic-far]"}},
      {"cluster.nic-far",
       Broken([](Node& node) {
         node.nics.pop_back();
         node.devices.resize(2);
         node.links.resize(2);
         node.nics[0].at = {.socket = 1, .parent = 1, .link = node.nics[0].at.link};
       }),
       "cluster.nic-far  node-0: nic mlx5_0\n"
       "  SYS from its nearest device; expected a device on its socket\n"
       "  to mend: move the card behind the switch of its GPU, or to that GPU's socket\n",
       {"warning: node-0: nic mlx5_0: SYS from its nearest device; expected a device on its socket; move the card "
        "behind the switch of its GPU, or to that GPU's socket [cluster.nic-far]"}},
      {"cluster.nic-far",
       Broken([](Node& node) {
         node.nics.pop_back();
         node.devices[2].at = node.devices[0].at;
       }),
       "cluster.nic-far  node-0: device 3\n"
       "  SYS from its nearest network card; 3 of 4 devices have PXB or nearer\n"
       "  costs 14.0 GB/s\n"
       "  to mend: move the card behind the switch of its GPU, or to that GPU's socket\n",
       {"warning: node-0: device 3: SYS from its nearest network card; 3 of 4 devices have PXB or nearer (costs 14 "
        "GB/s); move the card behind the switch of its GPU, or to that GPU's socket [cluster.nic-far]"}},
      {"cluster.peer-far",
       Broken(OneFar),
       "cluster.peer-far  node-0: device 3\n"
       "  SYS from its nearest device; 3 of 4 devices have PXB or nearer\n"
       "  costs 14.0 GB/s\n"
       "  to mend: move the device behind the switch of the others\n",
       {"warning: node-0: device 3: SYS from its nearest device; 3 of 4 devices have PXB or nearer (costs 14 GB/s); "
        "move the device behind the switch of the others [cluster.peer-far]"}},
      {"cluster.no-peer-access",
       Broken([](Node& node) {
         AsCards(node);
         node.nics.clear();
         node.switches.clear();
         for (Device& device : node.devices) device.at.parent = -1;
       }),
       "cluster.no-peer-access  node-0: all devices  (note)\n"
       "  no pair nearer than PHB: NCCL goes through host memory, at 24.0 GB/s at most\n"
       "  to mend: plan stages (--pp) rather than tensor parallel; bridges, or a PCIe switch above the devices, would "
       "help\n",
       {"note: node-0: all devices: no pair nearer than PHB: NCCL goes through host memory, at 24.0 GB/s at most; plan "
        "stages (--pp) rather than tensor parallel; bridges, or a PCIe switch above the devices, would help "
        "[cluster.no-peer-access]"}},
      {"cluster.mixed-devices",
       Broken([](Node& node) { node.devices[1].model = "A100-SXM-40GB"; }),
       "cluster.mixed-devices  node-0: device 1\n"
       "  A100-SXM-40GB with 81920 MiB, but device 0 is A100-SXM-80GB with 81920 MiB; the slower and smaller one sets "
       "the pace\n"
       "  to mend: plan for those of one model (--devices), or give the smaller ones fewer layers (-n)\n",
       {"warning: node-0: device 1: A100-SXM-40GB with 81920 MiB, but device 0 is A100-SXM-80GB with 81920 MiB; the "
        "slower and smaller one sets the pace; plan for those of one model (--devices), or give the smaller ones fewer "
        "layers (-n) [cluster.mixed-devices]"}},
      {"cluster.mixed-devices",
       Broken([](Node& node) {
         for (Device& device : node.devices) device.model = "";
         node.devices[3].memory_bytes = uint64_t{40960} << 20;
       }),
       "cluster.mixed-devices  node-0: device 3\n"
       "  a GPU with 40960 MiB, but device 0 is a GPU with 81920 MiB; the slower and smaller one sets the pace\n"
       "  to mend: plan for those of one model (--devices), or give the smaller ones fewer layers (-n)\n",
       {"warning: node-0: device 3: a GPU with 40960 MiB, but device 0 is a GPU with 81920 MiB; the slower and smaller "
        "one sets the pace; plan for those of one model (--devices), or give the smaller ones fewer layers (-n) "
        "[cluster.mixed-devices]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) {
         node.devices.pop_back();
         node.links.pop_back();
       }),
       "cluster.node-differs  node-1\n"
       "  3 devices; most nodes have 4\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: 3 devices; most nodes have 4; bring the node in line, or describe clusters of equal nodes "
        "apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) {
         for (Device& device : node.devices) device.memory_bytes = uint64_t{40960} << 20;
       }),
       "cluster.node-differs  node-1\n"
       "  device 0 is A100-SXM-80GB with 40960 MiB; in most nodes A100-SXM-80GB with 81920 MiB\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: device 0 is A100-SXM-80GB with 40960 MiB; in most nodes A100-SXM-80GB with 81920 MiB; bring "
        "the node in line, or describe clusters of equal nodes apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) { std::swap(node.devices[1].at, node.devices[2].at); }),
       "cluster.node-differs  node-1\n"
       "  device 1 hangs elsewhere, or by another PCIe link\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: device 1 hangs elsewhere, or by another PCIe link; bring the node in line, or describe "
        "clusters of equal nodes apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) {
         for (PeerLink& link : node.links) link.gigabytes = 0;
       }),
       "cluster.node-differs  node-1\n"
       "  other links between its devices\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: other links between its devices; bring the node in line, or describe clusters of equal nodes "
        "apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) { node.nics.clear(); }),
       "cluster.node-differs  node-1\n"
       "  0 network cards; most nodes have 2\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: 0 network cards; most nodes have 2; bring the node in line, or describe clusters of equal "
        "nodes apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) {
         for (Nic& nic : node.nics) nic.gigabits = 100;
       }),
       "cluster.node-differs  node-1\n"
       "  nic mlx5_0 has 100 Gbit/s; in most nodes 200\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: nic mlx5_0 has 100 Gbit/s; in most nodes 200; bring the node in line, or describe clusters "
        "of equal nodes apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) { node.nics[0].gpu_direct = false; }),
       "cluster.node-differs  node-1\n"
       "  nic mlx5_0 is another, or hangs elsewhere\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: nic mlx5_0 is another, or hangs elsewhere; bring the node in line, or describe clusters of "
        "equal nodes apart [cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) { node.sockets[1].cpu = "6/85"; }),
       "cluster.node-differs  node-1\n"
       "  other sockets or switches\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: other sockets or switches; bring the node in line, or describe clusters of equal nodes apart "
        "[cluster.node-differs]"}},
      {"cluster.node-differs",
       Swapped([](Node& node) { node.cores = 64; }),
       "cluster.node-differs  node-1\n"
       "  another number of cores, or other memory of the host\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-1: another number of cores, or other memory of the host; bring the node in line, or describe "
        "clusters of equal nodes apart [cluster.node-differs]"}},
      {"cluster.not-judged",
       Enormous(),
       "cluster.not-judged  node-4\n"
       "  unlike nodes with more than 1048576 pairs of devices, nics and sockets in all; the others were looked at\n"
       "  to mend: check the nodes that are left in a file of their own\n"
       "cluster.node-differs  node-0\n"
       "  nic mlx5_0 is another, or hangs elsewhere\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n"
       "cluster.node-differs  node-3\n"
       "  nic mlx5_0 is another, or hangs elsewhere\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n"
       "cluster.node-differs  node-4\n"
       "  nic mlx5_0 has 100 Gbit/s; in most nodes 200\n"
       "  to mend: bring the node in line, or describe clusters of equal nodes apart\n",
       {"warning: node-4: unlike nodes with more than 1048576 pairs of devices, nics and sockets in all; the others "
        "were looked at; check the nodes that are left in a file of their own [cluster.not-judged]",
        "warning: node-0: nic mlx5_0 is another, or hangs elsewhere; bring the node in line, or describe clusters of "
        "equal nodes apart [cluster.node-differs]",
        "warning: node-3: nic mlx5_0 is another, or hangs elsewhere; bring the node in line, or describe clusters of "
        "equal nodes apart [cluster.node-differs]",
        "warning: node-4: nic mlx5_0 has 100 Gbit/s; in most nodes 200; bring the node in line, or describe clusters "
        "of equal nodes apart [cluster.node-differs]"}},
  };
}

}  // namespace mrs::cluster
