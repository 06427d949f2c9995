#include "planner/cluster/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "formats/json.h"
#include "planner/cluster/catalogue.h"
#include "planner/cluster/judge_node.h"
#include "planner/cluster/paths.h"
#include "planner/cluster/show.h"

namespace mrs::cluster {
namespace {

constexpr FindingKind kKinds[] = {
    {"cluster.nvlink-asymmetric", "a pair of devices has more links one way than the other",
     "look at nvidia-smi nvlink -s of both; reseat the bridge, or reset the GPUs and their fabric manager"},
    {"cluster.nvlink-degraded", "a device has fewer NVLinks (or xGMI links) than its model, or than its like",
     "look at nvidia-smi nvlink -s for links that are down; reseat the bridge or module"},
    {"cluster.nvlink-missing", "a device has no NVLink (or xGMI link) where its model, or all its like have",
     "look at nvidia-smi nvlink -s and at the fabric manager; leave the device out until then"},
    {"cluster.nvlink-impossible", "a device has more NVLinks than its model, or than any has",
     "make the description anew from the machine; a model may be named wrongly"},
    {"cluster.pcie-slow", "a PCIe link of generation 1 or 2, or slower than those of the same model's other devices",
     "look at lspci -vv (LnkSta, LnkCap) under load, and at the slot's generation in the firmware's setup"},
    {"cluster.pcie-narrow", "a PCIe link with fewer lanes than the model has, or than others of its kind",
     "reseat the card or riser, and look at the slot's bifurcation in the firmware's setup"},
    {"cluster.nic-throttled", "a network card whose PCIe link carries less than its rate",
     "move the card to a slot with more lanes or a newer generation"},
    {"cluster.nic-far",
     "a network card or a device is a host bridge or more away, where others have theirs near; or a card is missed",
     "move the card behind the switch of its GPU, or to that GPU's socket"},
    {"cluster.peer-far", "a device reaches no other without the host, where most do",
     "move the device behind the switch of the others"},
    {"cluster.no-peer-access", "no device of a node reaches another without the host",
     "plan stages (--pp) rather than tensor parallel; bridges, or a PCIe switch above the devices, would help", true},
    {"cluster.mixed-devices", "devices of several models or memory sizes in one node",
     "plan for those of one model (--devices), or give the smaller ones fewer layers (-n)"},
    {"cluster.node-differs", "a node is unlike most of the others",
     "bring the node in line, or describe clusters of equal nodes apart"},
    {"cluster.not-judged", "more unlike nodes, or larger ones, than are looked at",
     "check the nodes that are left in a file of their own"},
};

const FindingKind& KindOf(std::string_view id) {
  return *std::find_if(std::begin(kKinds), std::end(kKinds), [&](const FindingKind& kind) { return kind.id == id; });
}

// What nodes are compared by: all but names, addresses, bus ids and what a source left out.
Node ShapeOf(const Node& node) {
  Node shape = node;
  shape.name.clear();
  shape.address.clear();
  shape.completed.clear();
  if (!shape.nvlink_domain.empty()) shape.nvlink_domain = "one";
  for (Device& device : shape.devices) device.bus_id.clear();
  for (Switch& one : shape.switches) one.name.clear();
  for (Nic& nic : shape.nics) nic.bus_id.clear();
  return shape;
}

std::string Difference(const Node& a, const Node& usual) {
  if (a.devices.size() != usual.devices.size()) {
    return fmt::format("{} devices; most nodes have {}", a.devices.size(), usual.devices.size());
  }
  for (size_t i = 0; i < a.devices.size(); ++i) {
    const Device &mine = a.devices[i], &other = usual.devices[i];
    if (mine.model != other.model || mine.memory_bytes != other.memory_bytes) {
      return fmt::format("device {} is {} with {} MiB; in most nodes {} with {} MiB", mine.ordinal,
                         mine.model.empty() ? "a device" : mine.model, mine.memory_bytes >> 20,
                         other.model.empty() ? "a device" : other.model, other.memory_bytes >> 20);
    }
    if (mine.at != other.at) return fmt::format("device {} hangs elsewhere, or by another PCIe link", mine.ordinal);
  }
  if (a.nvlink_domain != usual.nvlink_domain) {
    return a.nvlink_domain.empty() ? "in no NVLink domain; most nodes are in one" : "in an NVLink domain; most are not";
  }
  if (a.links != usual.links) return "other links between its devices";
  if (a.nics.size() != usual.nics.size()) {
    return fmt::format("{} network cards; most nodes have {}", a.nics.size(), usual.nics.size());
  }
  for (size_t i = 0; i < a.nics.size(); ++i) {
    if (a.nics[i].gigabits != usual.nics[i].gigabits) {
      return fmt::format("nic {} has {} Gbit/s; in most nodes {}", a.nics[i].name, a.nics[i].gigabits,
                         usual.nics[i].gigabits);
    }
    if (a.nics[i] != usual.nics[i]) return fmt::format("nic {} is another, or hangs elsewhere", a.nics[i].name);
  }
  if (a.sockets != usual.sockets || a.switches != usual.switches) return "other sockets or switches";
  return "another number of cores, or other memory of the host";
}

// What nodes are judged by: all that paths and the words of a finding are made of.
Node JudgedShapeOf(const Node& node) {
  Node shape = node;
  shape.name.clear();
  shape.address.clear();
  shape.nvlink_domain.clear();
  std::erase_if(shape.completed,
                [](const std::string& note) { return note != kLinksNotTold && note != kOwnNumaNodes; });
  for (Device& device : shape.devices) device.bus_id.clear();
  // Whether there is one says whether the card is the host's.
  for (Nic& nic : shape.nics) nic.bus_id = nic.bus_id.empty() ? "" : "0000:00:00.0";
  return shape;
}

// Nodes of one shape are judged once, and shapes up to as many pairs of parts as are shown.
void JudgeNodes(const Cluster& cluster, std::vector<Finding>& findings) {
  std::vector<Node> shapes;
  std::vector<std::vector<NodeFinding>> of_shape;
  int64_t pairs = 0;
  std::vector<std::string_view> left;
  for (const Node& node : cluster.nodes) {
    Node shape = JudgedShapeOf(node);
    const size_t at = static_cast<size_t>(std::find(shapes.begin(), shapes.end(), shape) - shapes.begin());
    if (at == shapes.size()) {
      const int64_t more = PairsOf(node);
      if (pairs + more > kMaxShownPairs) {
        left.push_back(node.name);
        continue;
      }
      pairs += more;
      shapes.push_back(std::move(shape));
      of_shape.push_back(JudgeNode(shapes.back()));
    }
    for (const NodeFinding& one : of_shape[at]) {
      const FindingKind& kind = KindOf(one.id);
      findings.push_back({kind.id, fmt::format("{}: {}", node.name, one.place), one.what, one.cost_gigabytes, kind.mend,
                          kind.by_design});
    }
  }
  if (left.empty()) return;
  const FindingKind& kind = KindOf("cluster.not-judged");
  findings.push_back(
      {kind.id, left.size() == 1 ? std::string(left[0]) : fmt::format("{} and {} more", left[0], left.size() - 1),
       fmt::format("unlike nodes with more than {} pairs of devices, nics and sockets in all; the others "
                   "were looked at",
                   kMaxShownPairs),
       0, kind.mend, kind.by_design});
}

void Compare(const Cluster& cluster, std::vector<Finding>& findings) {
  std::vector<Node> shapes;
  std::vector<size_t> shape_of, counts;
  for (const Node& node : cluster.nodes) {
    Node shape = ShapeOf(node);
    const size_t at = static_cast<size_t>(std::find(shapes.begin(), shapes.end(), shape) - shapes.begin());
    if (at == shapes.size()) {
      shapes.push_back(std::move(shape));
      counts.push_back(0);
    }
    ++counts[at];
    shape_of.push_back(at);
  }
  const size_t usual = static_cast<size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  const FindingKind& kind = KindOf("cluster.node-differs");
  for (size_t node = 0; node < shape_of.size(); ++node) {
    if (shape_of[node] == usual) continue;
    findings.push_back({kind.id, cluster.nodes[node].name, Difference(shapes[shape_of[node]], shapes[usual]), 0,
                        kind.mend, kind.by_design});
  }
}

}  // namespace

std::span<const FindingKind> FindingKinds() { return kKinds; }

std::vector<Finding> FindingsOf(const Cluster& cluster) {
  std::vector<Finding> findings;
  JudgeNodes(cluster, findings);
  if (!cluster.nodes.empty()) Compare(cluster, findings);
  return findings;
}

std::string SoundText(const Cluster& cluster) {
  size_t devices = 0, nics = 0, pcie_untold = 0, links_untold = 0, rates_untold = 0;
  bool pcie = false, peers = false;
  std::set<PeerKind> links;
  for (const Node& node : cluster.nodes) {
    devices += node.devices.size();
    nics += node.nics.size();
    size_t gpus = 0;
    for (const Device& one : node.devices) {
      if (one.kind == DeviceKind::kCpu) continue;
      ++gpus;
      pcie = pcie || PcieKnown(one.at.link);
      pcie_untold += !PcieKnown(one.at.link);
    }
    for (const Nic& one : node.nics) rates_untold += !(one.gigabits > 0);
    for (const PeerLink& link : node.links) links.insert(link.kind);
    if (LinksUntold(node)) {
      links_untold += gpus;
    } else {
      peers = peers || gpus > 1;
    }
  }
  const auto count = [](size_t number, std::string_view what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
  };
  std::vector<std::string_view> looked;
  if (links.contains(PeerKind::kNvlink)) looked.emplace_back("NVLinks");
  if (links.contains(PeerKind::kXgmi)) looked.emplace_back("xGMI links");
  if (pcie) looked.emplace_back("PCIe links");
  if (nics > 0) looked.emplace_back("where and how fast network cards are");
  if (peers) looked.emplace_back("peer access");
  const bool nodes = cluster.nodes.size() > 1;
  if (devices > 1) looked.emplace_back(nodes ? "whether devices and nodes are alike" : "whether devices are alike");
  std::string text = fmt::format("sound: looked at {}, {} and {}", count(cluster.nodes.size(), "node"),
                                 count(devices, "device"), count(nics, "network card"));
  for (size_t i = 0; i < looked.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? ": " : i + 1 < looked.size() ? ", " : " and ", looked[i]);
  }
  text += '\n';
  const auto untold = [&](std::string_view what, size_t number, std::string_view of) {
    if (number > 0) text += fmt::format("not told, so not judged: {} {}\n", what, count(number, of));
  };
  untold("links between", links_untold, "device");
  untold("the PCIe link of", pcie_untold, "device");
  untold("the rate of", rates_untold, "network card");
  return text;
}

std::string FindingsText(std::span<const Finding> findings) {
  std::string text;
  for (const Finding& one : findings) {
    text += fmt::format("{}  {}{}\n  {}\n", one.id, one.place, one.by_design ? "  (note)" : "", one.what);
    if (one.cost_gigabytes > 0) text += fmt::format("  costs {:.1f} GB/s\n", one.cost_gigabytes);
    text += fmt::format("  to mend: {}\n", one.mend);
  }
  return text;
}

std::string FindingsJson(std::span<const Finding> findings) {
  Json list = Json::array();
  for (const Finding& one : findings) {
    Json json;
    json["id"] = one.id;
    json["severity"] = one.by_design ? "note" : "warning";
    json["place"] = one.place;
    json["what"] = one.what;
    json["cost_gigabytes"] = std::round(one.cost_gigabytes * 10) / 10;
    json["mend"] = one.mend;
    list.push_back(std::move(json));
  }
  return DumpJson(list) + '\n';
}

}  // namespace mrs::cluster
