#include "planner/cluster/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "formats/json.h"
#include "planner/cluster/paths.h"
#include "planner/cluster/units.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr std::string_view kOtherNodes = "other nodes", kDomainNodes = "NVLink domain";

std::string PcieText(const PcieLink& link) {
  if (link == PcieLink{}) return "";
  return fmt::format("  PCIe{}{}", link.gigatransfers > 0 ? fmt::format(" {} GT/s", link.gigatransfers) : "",
                     link.lanes > 0 ? fmt::format(" x{}", link.lanes) : "");
}

std::string DeviceText(const Node& node, int index) {
  constexpr std::string_view kKinds[] = {"CPU", "CUDA", "ROCm"};
  constexpr std::string_view kLinks[] = {"NVLink", "xGMI", "C2C"};
  const Device& device = node.devices[index];
  std::string text = fmt::format(
      "device {}  {}", device.ordinal,
      device.model.empty() ? std::string(kKinds[static_cast<size_t>(device.kind)]) : Printable(device.model));
  if (device.memory_bytes > 0) text += fmt::format(", {}", BytesText(device.memory_bytes));
  if (!device.bus_id.empty()) text += fmt::format(", {}", device.bus_id);
  text += PcieText(device.at.link);
  for (const PeerLink& link : node.links) {
    if (link.from != index) continue;
    text += fmt::format("  {} x{} to {}", kLinks[static_cast<size_t>(link.kind)], link.count,
                        link.to == kFabric   ? std::string("the NVSwitch")
                        : link.to == kSocket ? std::string("its socket")
                                             : fmt::format("device {}", node.devices[link.to].ordinal));
  }
  return text;
}

std::string NicText(const Nic& nic) {
  std::string text = fmt::format("nic {}", Printable(nic.name));
  if (nic.gigabits > 0) text += fmt::format("  {}", GigabitsText(nic.gigabits));
  if (!nic.bus_id.empty()) text += fmt::format(", {}", nic.bus_id);
  return text + PcieText(nic.at.link);
}

// What hangs from a socket (parent -1) or a switch, deeper by two spaces each.
void Below(const Node& node, int socket, int parent, size_t indent, std::string& text) {
  const auto here = [&](const Attachment& at) { return at.socket == socket && at.parent == parent; };
  for (size_t i = 0; i < node.devices.size(); ++i) {
    if (here(node.devices[i].at)) text += fmt::format("{:{}}{}\n", "", indent, DeviceText(node, static_cast<int>(i)));
  }
  for (const Nic& nic : node.nics) {
    if (here(nic.at)) text += fmt::format("{:{}}{}\n", "", indent, NicText(nic));
  }
  for (size_t i = 0; i < node.switches.size(); ++i) {
    const Switch& one = node.switches[i];
    if (!here(one.at)) continue;
    text += fmt::format("{:{}}{} {}{}\n", "", indent, one.host_bridge ? "host bridge" : "switch", Printable(one.name),
                        PcieText(one.at.link));
    Below(node, socket, static_cast<int>(i), indent + 2, text);
  }
}

std::vector<std::string> PartNames(const Node& node) {
  std::vector<std::string> names;
  for (const Device& device : node.devices) names.push_back(fmt::format("device {}", device.ordinal));
  for (const Nic& nic : node.nics) names.push_back(fmt::format("nic {}", Printable(nic.name)));
  for (size_t i = 0; i < node.sockets.size(); ++i) names.push_back(fmt::format("socket {}", i));
  return names;
}

std::string CellText(const Path& path) {
  const std::string_view name = PathClassName(path.path_class);
  if (path.path_class == PathClass::kLoc || path.gigabytes == 0) return std::string(name);
  return path.known ? fmt::format("{} {:.1f}", name, path.gigabytes) : fmt::format("{} unknown", name);
}

// To other nodes, of each device: by the network, and by the fabric that they share. Empty where there are none.
struct Outwards {
  std::vector<Path> network, domain;
};

std::string MatrixText(const Node& node, const Paths& paths, const Outwards& outwards) {
  const std::vector<std::string> names = PartNames(node);
  size_t width = outwards.domain.empty() ? 11 : kDomainNodes.size();  // of "NVL unknown"
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string text;
  const auto line = [&](std::string_view title, size_t cells, auto cell) {
    std::string made = fmt::format("  {:<{}}", title, width);
    for (size_t i = 0; i < cells; ++i) made += fmt::format("  {:<{}}", cell(i), width);
    while (made.ends_with(' ')) made.pop_back();
    text += made + '\n';
  };
  line("GB/s", names.size(), [&](size_t part) { return names[part]; });
  for (size_t from = 0; from < names.size(); ++from) {
    line(names[from], names.size(),
         [&](size_t to) { return CellText(paths.At(static_cast<int>(from), static_cast<int>(to))); });
  }
  const auto out = [](const Path& path) { return path.known ? CellText(path) : std::string("NET unknown"); };
  if (!outwards.domain.empty()) {
    line(kDomainNodes, outwards.domain.size(), [&](size_t device) { return CellText(outwards.domain[device]); });
  }
  if (!outwards.network.empty()) {
    line(kOtherNodes, outwards.network.size(), [&](size_t device) { return out(outwards.network[device]); });
  }
  return text;
}

std::string IslandsText(const Node& node, const std::vector<std::vector<int>>& islands) {
  std::string text;
  for (const std::vector<int>& island : islands) {
    if (island.size() < 2) continue;
    std::vector<int> ordinals;
    for (const int device : island) ordinals.push_back(node.devices[device].ordinal);
    text += fmt::format("  island: devices {}\n", fmt::join(ordinals, ", "));
  }
  return text;
}

Json AttachmentJson(const Node& node, const Attachment& at) {
  Json json;
  json["socket"] = at.socket;
  if (at.parent >= 0) json["parent"] = node.switches[at.parent].name;
  if (at.link.gigatransfers > 0) json["pcie_gigatransfers"] = at.link.gigatransfers;
  if (at.link.lanes > 0) json["pcie_lanes"] = at.link.lanes;
  return json;
}

Json PathJson(std::string_view from, std::string_view to, const Path& path) {
  const double reckoned = std::round(double{path.gigabytes} * 10) / 10;
  return {{"from", from},
          {"to", to},
          {"class", PathClassName(path.path_class)},
          {"gigabytes", path.known ? Json(reckoned) : Json()},
          {"nccl_gigabytes", reckoned},
          {"hops", path.hops}};
}

Outwards OutwardsOf(const Cluster& cluster, const ClusterPaths& paths, size_t node) {
  Outwards outwards;
  const bool domain = !cluster.nodes[node].nvlink_domain.empty();
  for (size_t device = 0; device < cluster.nodes[node].devices.size(); ++device) {
    const int n = static_cast<int>(node), d = static_cast<int>(device);
    if (cluster.nodes.size() > 1) outwards.network.push_back(paths.ToOtherNodes(n, d));
    if (domain) outwards.domain.push_back(paths.ToDomain(n, d));
  }
  return outwards;
}

// "NVLink domain rack-0: 18 nodes, 72 devices", of each.
std::string DomainsText(const Cluster& cluster) {
  std::map<std::string_view, std::pair<size_t, size_t>> domains;
  for (const Node& node : cluster.nodes) {
    if (node.nvlink_domain.empty()) continue;
    auto& [nodes, devices] = domains[node.nvlink_domain];
    ++nodes;
    for (size_t device = 0; device < node.devices.size(); ++device) {
      devices += std::ranges::any_of(node.links, [&](const PeerLink& link) {
        return link.kind == PeerKind::kNvlink && link.to == kFabric && link.from == static_cast<int>(device);
      });
    }
  }
  std::string text;
  for (const auto& [name, counts] : domains) {
    text += fmt::format("{} {}: {} node{}, {} devices\n", kDomainNodes, Printable(name), counts.first,
                        counts.first == 1 ? "" : "s", counts.second);
  }
  return text;
}

Json NodeJson(const Node& node, const Paths& paths, const Outwards& outwards) {
  constexpr std::string_view kKinds[] = {"cpu", "cuda", "rocm"};
  Json json;
  json["name"] = node.name;
  json["address"] = node.address;
  json["nvlink_domain"] = node.nvlink_domain;
  json["sockets"] = Json::array();
  for (const Socket& socket : node.sockets) {
    json["sockets"].push_back(
        {{"numa", socket.numa}, {"arch", socket.arch}, {"vendor", socket.vendor}, {"cpu", socket.cpu}});
  }
  json["switches"] = Json::array();
  for (const Switch& one : node.switches) {
    json["switches"].push_back(
        {{"name", one.name}, {"host_bridge", one.host_bridge}, {"at", AttachmentJson(node, one.at)}});
  }
  json["devices"] = Json::array();
  for (const Device& device : node.devices) {
    json["devices"].push_back({{"ordinal", device.ordinal},
                               {"kind", kKinds[static_cast<size_t>(device.kind)]},
                               {"model", device.model},
                               {"memory_bytes", device.memory_bytes},
                               {"bus_id", device.bus_id},
                               {"at", AttachmentJson(node, device.at)}});
  }
  json["nics"] = Json::array();
  for (const Nic& nic : node.nics) {
    json["nics"].push_back(
        {{"name", nic.name}, {"gigabits", nic.gigabits}, {"bus_id", nic.bus_id}, {"at", AttachmentJson(node, nic.at)}});
  }
  json["islands"] = Json::array();
  for (const std::vector<int>& island : IslandsOf(node, paths)) {
    Json ordinals = Json::array();
    for (const int device : island) ordinals.push_back(node.devices[device].ordinal);
    json["islands"].push_back(std::move(ordinals));
  }
  json["completed"] = node.completed;
  json["paths"] = Json::array();
  const std::vector<std::string> names = PartNames(node);
  for (int from = 0; from < paths.count(); ++from) {
    for (int to = 0; to < paths.count(); ++to) {
      json["paths"].push_back(PathJson(names[from], names[to], paths.At(from, to)));
    }
    const auto out = [&](std::string_view to, const std::vector<Path>& of_device) {
      const auto device = static_cast<size_t>(from);
      if (device < of_device.size()) json["paths"].push_back(PathJson(names[from], to, of_device[device]));
    };
    out(kDomainNodes, outwards.domain);
    out(kOtherNodes, outwards.network);
  }
  return json;
}

}  // namespace

int64_t PairsOf(const Node& node) {
  const auto parts = static_cast<int64_t>(node.devices.size() + node.nics.size() + node.sockets.size());
  return parts * parts;
}

Status CheckShowable(const Cluster& cluster) {
  int64_t pairs = 0;
  for (const Node& node : cluster.nodes) pairs += PairsOf(node);
  if (pairs <= kMaxShownPairs) return Status();
  return Refuse("the cluster has {} pairs of devices, nics and sockets; expected at most {} to show: take nodes out",
                pairs, kMaxShownPairs);
}

std::string ClusterText(const Cluster& cluster) {
  std::string text;
  std::vector<Node> shapes;  // of nodes that are shown
  std::vector<std::string> names;
  const ClusterPaths all = PathsOf(cluster);
  for (size_t n = 0; n < cluster.nodes.size(); ++n) {
    const Node& node = cluster.nodes[n];
    text += Printable(node.name);
    if (!node.address.empty()) text += fmt::format("  {}", Printable(node.address));
    if (!node.nvlink_domain.empty()) text += fmt::format("  {} {}", kDomainNodes, Printable(node.nvlink_domain));
    Node shape = node;
    shape.name.clear();
    shape.address.clear();
    if (const auto same = std::find(shapes.begin(), shapes.end(), shape); same != shapes.end()) {
      text += fmt::format("  as {}\n", Printable(names[same - shapes.begin()]));
      continue;
    }
    shapes.push_back(std::move(shape));
    names.push_back(node.name);
    if (node.cores > 0) text += fmt::format("  {} cores", node.cores);
    if (node.memory_bytes > 0) text += fmt::format("  {}", BytesText(node.memory_bytes));
    text += '\n';
    for (size_t i = 0; i < node.sockets.size(); ++i) {
      const Socket& socket = node.sockets[i];
      text += fmt::format("  socket {}  (NUMA {}{}{}{}{}{}{})\n", i, socket.numa, socket.arch.empty() ? "" : ", ",
                          Printable(socket.arch), socket.vendor.empty() ? "" : " ", Printable(socket.vendor),
                          socket.cpu.empty() ? "" : " ", Printable(socket.cpu));
      Below(node, static_cast<int>(i), -1, 4, text);
    }
    if (node.sockets.empty()) Below(node, 0, -1, 2, text);
    const Paths& paths = all.Of(static_cast<int>(n));
    text += MatrixText(node, paths, OutwardsOf(cluster, all, n)) + IslandsText(node, IslandsOf(node, paths));
    for (const std::string& note : node.completed) text += fmt::format("  completed: {}\n", Printable(note));
  }
  text += DomainsText(cluster);
  if (cluster.network_gigabits > 0) text += fmt::format("network  {}\n", GigabitsText(cluster.network_gigabits));
  return text;
}

std::string ClusterJson(const Cluster& cluster) {
  Json json;
  json["name"] = cluster.name;
  json["network_gigabits"] = cluster.network_gigabits;
  json["nodes"] = Json::array();
  const ClusterPaths all = PathsOf(cluster);
  for (size_t n = 0; n < cluster.nodes.size(); ++n) {
    json["nodes"].push_back(NodeJson(cluster.nodes[n], all.Of(static_cast<int>(n)), OutwardsOf(cluster, all, n)));
  }
  return DumpJson(json) + '\n';
}

}  // namespace mrs::cluster
