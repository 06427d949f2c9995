#include "planner/cluster/short_form.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/units.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr size_t kMaxText = 4096;
constexpr uint64_t kNoCount = ~uint64_t{0};

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// What stands between two commas: "2x8xH200" is counts {2, 8} and item "H200".
struct Group {
  std::string_view text;
  std::vector<uint64_t> counts;
  std::string_view item;
};

// Digits and an x after them are a count; what is left is the item. A count past 64 bits is the largest.
Group SplitGroup(std::string_view text) {
  Group group{.text = Trimmed(text), .counts = {}, .item = {}};
  std::string_view rest = group.text;
  while (true) {
    const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    const std::string_view after = Trimmed(rest.substr(digits));
    if (digits == 0 || after.empty() || (after.front() != 'x' && after.front() != 'X')) break;
    uint64_t count = kNoCount;
    std::from_chars(rest.data(), rest.data() + digits, count);
    group.counts.push_back(count);
    rest = Trimmed(after.substr(1));
  }
  group.item = rest;
  return group;
}

// "400G" beside all that ParseGigabits reads: after a plus it can only be bits per second.
std::optional<double> RateOf(std::string_view text) {
  if (const auto gigabits = ParseGigabits(text)) return gigabits;
  if (text.empty() || std::string_view("GgMmTt").find(text.back()) == std::string_view::npos) return std::nullopt;
  const char unit = static_cast<char>(text.back() & ~0x20);
  return ParseGigabits(fmt::format("{}{}bit/s", text.substr(0, text.size() - 1), unit));
}

Status CheckCount(const Group& group, uint64_t count, size_t most, std::string_view what) {
  if (count >= 1 && count <= most) return Status();
  return Refuse("'{}': {} {}s; expected 1 to {}", Printable(group.text),
                count == kNoCount ? "too many" : std::to_string(count), what, most);
}

// One device of the group: a row of the catalogue, or a size.
struct Kind {
  const DeviceModel* model = nullptr;
  uint64_t memory_bytes = 0;
};

// "H100x8", as clouds name their machines; null of anything else.
const DeviceModel* ModelBeforeCount(std::string_view item) {
  const size_t x = item.find_last_of("xX");
  if (x == std::string_view::npos || x + 1 >= item.size() || x + 5 < item.size()) return nullptr;
  if (item.find_first_not_of("0123456789", x + 1) != std::string_view::npos) return nullptr;
  return FindDeviceModel(item.substr(0, x));
}

Result<Kind> KindOf(const Group& group) {
  const std::string item = Printable(group.item.substr(0, 64));
  if (group.item.empty()) {
    return Refuse("'{}': a model or a size is missing, such as H100-SXM or 48GB", Printable(group.text));
  }
  if (const DeviceModel* model = FindDeviceModel(group.item)) {
    if (model->kind == DeviceKind::kCpu) {
      return Refuse("'{}': {} is no GPU; for CPU ranks say --cpus N", Printable(group.text), model->name);
    }
    return Kind{model, model->memory_bytes};
  }
  const bool has_unit = group.item.find_first_not_of("0123456789.") != std::string_view::npos;
  if (const auto bytes = ParseBytes(group.item); bytes && has_unit) {
    if (*bytes == 0) return Refuse("'{}': a device without memory; expected a size such as 48GB", item);
    return Kind{nullptr, *bytes};
  }
  if (const DeviceModel* model = ModelBeforeCount(group.item)) {
    return Refuse("'{}': the count stands before the model: {}x{}", item,
                  Printable(group.item.substr(group.item.find_last_of("xX") + 1)), model->name);
  }
  return Refuse("'{}' is no model of the catalogue (nearest: {}) and no size with a unit, such as 48GB or 24GiB", item,
                NearestDeviceModel(group.item)->name);
}

// The links that the catalogue says, of `devices` that are all of that model and stand at the end of the node's.
void Join(const DeviceModel& model, size_t first, Node& node) {
  const int begin = static_cast<int>(first);
  const int end = static_cast<int>(node.devices.size());
  for (int from = begin; from < end; ++from) {
    if (model.joined == Joined::kSwitch) {
      node.links.push_back({model.peer, from, kFabric, model.peer_links, model.peer_gigabytes});
    }
    for (int to = begin; model.joined == Joined::kMesh && to < end; ++to) {
      if (to != from) node.links.push_back({model.peer, from, to, 1, model.peer_gigabytes});
    }
  }
}

void AddDevices(const Kind& kind, uint64_t count, Node& node) {
  const size_t first = node.devices.size();
  for (uint64_t d = 0; d < count; ++d) {
    Device device{.kind = DeviceKind::kCuda, .memory_bytes = kind.memory_bytes};
    device.ordinal = static_cast<int>(node.devices.size());
    if (kind.model != nullptr) {
      device.kind = kind.model->kind;
      device.model = kind.model->name;
      device.at.link = {GigatransfersOf(kind.model->pcie_generation), kind.model->pcie_lanes};
    }
    node.devices.push_back(std::move(device));
  }
  if (kind.model != nullptr) Join(*kind.model, first, node);
}

// Devices in order, half of them on each of two sockets.
void PlaceOnSockets(int sockets, Node& node) {
  for (int s = 0; s < sockets; ++s) node.sockets.push_back({.numa = s});
  const size_t count = node.devices.size();
  for (size_t d = 0; d < count; ++d) node.devices[d].at.socket = static_cast<int>(d * sockets / count);
}

// Of several nodes of a rack's modules, each so many share a fabric: "rack-0", "rack-1", ...
void AddNodes(const Node& like, uint64_t count, Cluster& cluster, const DeviceModel* model = nullptr) {
  const uint64_t of_rack = model != nullptr && count > 1 ? model->nodes_per_domain : 0;
  for (uint64_t n = 0; n < count; ++n) {
    cluster.nodes.push_back(like);
    const size_t index = cluster.nodes.size() - 1;
    cluster.nodes.back().name = fmt::format("node-{}", index);
    // By the first of its nodes, so that racks of several groups have names of their own.
    if (of_rack > 0) cluster.nodes.back().nvlink_domain = fmt::format("rack-{}", index - n % of_rack);
  }
}

Status CheckTotals(const Cluster& cluster, uint64_t more_nodes, uint64_t devices_each) {
  const uint64_t nodes = cluster.nodes.size() + more_nodes;
  if (nodes > kMaxNodes) return Refuse("{} nodes; expected at most {}", nodes, kMaxNodes);
  uint64_t devices = more_nodes * devices_each;  // both are small
  for (const Node& node : cluster.nodes) devices += node.devices.size();
  if (devices > kMaxDevices) return Refuse("{} devices in all; expected at most {}", devices, kMaxDevices);
  return Status();
}

// Modules sit on boards of so many: a node with more of them is another machine.
Status CheckBoard(const Group& group, const Kind& kind, uint64_t in_node) {
  if (kind.model == nullptr || kind.model->most_per_node == 0) return Status();
  const uint64_t most = kind.model->most_per_node;
  if (in_node <= most) return Status();
  const std::string fix = in_node % most == 0
                              ? fmt::format("for {} nodes of {} write {}x{}x{}", in_node / most, most, in_node / most,
                                            most, kind.model->name)
                              : fmt::format("for several nodes write NODESx{}x{}", most, kind.model->name);
  return Refuse("'{}': {} {} in one node, which has at most {}; {}", Printable(group.text), in_node, kind.model->name,
                most, fix);
}

// The text before the plus, and the rate after it (0: no plus).
struct Parts {
  std::vector<Group> groups;
  double gigabits = 0;
};

Result<Parts> SplitParts(std::string_view text, std::string_view examples) {
  Parts parts;
  if (text.size() > kMaxText) return Refuse("{} bytes; expected at most {}", text.size(), kMaxText);
  if (Trimmed(text).empty()) return Refuse("is empty; expected {}", examples);
  if (const size_t plus = text.find('+'); plus != std::string_view::npos) {
    const std::string_view rate = Trimmed(text.substr(plus + 1));
    const std::optional<double> gigabits = RateOf(rate);
    if (!gigabits) {
      return Refuse("'+{}' is no rate between nodes; expected one such as +400G, +400Gbit/s or +50GB/s",
                    Printable(rate.substr(0, 64)));
    }
    parts.gigabits = *gigabits;
    text = text.substr(0, plus);
  }
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    parts.groups.push_back(SplitGroup(text.substr(0, comma)));
    if (parts.groups.back().text.empty())
      return Refuse("nothing stands before or after a comma; expected {}", examples);
    if (comma == text.size()) return parts;
    text.remove_prefix(comma + 1);
  }
}

// Groups without a count of nodes share one node; each with one is nodes of its own.
Result<Cluster> ReadGpus(std::string_view text) {
  MRS_ASSIGN_OR_RETURN(const Parts parts, SplitParts(text, "such as 8xH100-SXM, 2x8xH200+400G or 48GB,24GB"));
  Cluster cluster;
  cluster.network_gigabits = parts.gigabits;
  Node shared;
  int shared_sockets = 1;
  std::map<const DeviceModel*, uint64_t> of_model;
  for (const Group& group : parts.groups) {
    if (group.counts.size() > 2) {
      return Refuse("'{}': {} counts; expected NODESxDEVICESxMODEL at most", Printable(group.text),
                    group.counts.size());
    }
    MRS_ASSIGN_OR_RETURN(const Kind kind, KindOf(group));
    const bool of_nodes = group.counts.size() == 2;
    if (of_nodes != (parts.groups.front().counts.size() == 2)) {
      const std::string_view bare = of_nodes ? parts.groups.front().text : group.text;
      return Refuse("'{}' has no count of nodes, and another part has one; for a node of its own write {}{}",
                    Printable(bare), (of_nodes ? parts.groups.front() : group).counts.empty() ? "1x1x" : "1x",
                    Printable(bare));
    }
    const uint64_t devices = group.counts.empty() ? 1 : group.counts.back();
    MRS_RETURN_IF_ERROR(CheckCount(group, devices, kMaxDevicesPerNode, "device"));
    const int sockets = kind.model != nullptr ? kind.model->sockets : 1;
    if (of_nodes) {
      MRS_RETURN_IF_ERROR(CheckCount(group, group.counts.front(), kMaxNodes, "node"));
      MRS_RETURN_IF_ERROR(CheckBoard(group, kind, devices));
      MRS_RETURN_IF_ERROR(CheckTotals(cluster, group.counts.front(), devices));
      Node node;
      AddDevices(kind, devices, node);
      PlaceOnSockets(sockets, node);
      AddNodes(node, group.counts.front(), cluster, kind.model);
      continue;
    }
    MRS_RETURN_IF_ERROR(CheckBoard(group, kind, of_model[kind.model] += devices));
    if (shared.devices.size() + devices > kMaxDevicesPerNode) {
      return Refuse("{} devices in one node; expected at most {}", shared.devices.size() + devices, kMaxDevicesPerNode);
    }
    AddDevices(kind, devices, shared);
    shared_sockets = std::max(shared_sockets, sockets);
  }
  if (!shared.devices.empty()) {
    PlaceOnSockets(shared_sockets, shared);
    AddNodes(shared, 1, cluster);
  }
  return cluster;
}

Result<Cluster> ReadCpus(std::string_view text) {
  constexpr std::string_view kForms = "such as 4, 4x16GiB or, for two hosts, 2x4 or 2x4x16GiB+25G";
  MRS_ASSIGN_OR_RETURN(Parts parts, SplitParts(text, kForms));
  if (parts.groups.size() > 1) return Refuse("a comma; expected one form {}", kForms);
  Group& group = parts.groups.front();
  uint64_t memory = 0;
  if (!group.item.empty() && group.item.find_first_not_of("0123456789") == std::string_view::npos) {
    uint64_t count = kNoCount;
    std::from_chars(group.item.data(), group.item.data() + group.item.size(), count);
    group.counts.push_back(count);
  } else if (const auto bytes = ParseBytes(group.item); bytes && *bytes > 0 && !group.counts.empty()) {
    memory = *bytes;
  } else {
    return Refuse("'{}' is no number of CPU ranks; expected one {}", Printable(group.text.substr(0, 64)), kForms);
  }
  if (group.counts.size() > 2) {
    return Refuse("'{}': {} counts; expected HOSTSxRANKS at most", Printable(group.text), group.counts.size());
  }
  const uint64_t hosts = group.counts.size() == 2 ? group.counts.front() : 1;
  MRS_RETURN_IF_ERROR(CheckCount(group, hosts, kMaxNodes, "host"));
  MRS_RETURN_IF_ERROR(CheckCount(group, group.counts.back(), kMaxDevicesPerNode, "rank"));
  Cluster cluster;
  cluster.network_gigabits = parts.gigabits;
  MRS_RETURN_IF_ERROR(CheckTotals(cluster, hosts, group.counts.back()));
  Node node;
  node.sockets.push_back({});
  node.devices = CpuRanks(static_cast<int>(group.counts.back()), memory);
  AddNodes(node, hosts, cluster);
  return cluster;
}

Result<Cluster> Placed(Result<Cluster> cluster, std::string_view where) {
  if (cluster) return cluster;
  return Error{cluster.error().kind, fmt::format("{}: {}", where, cluster.message())};
}

std::string Flag(std::string_view flag, std::string_view text) {
  const std::string_view start = Trimmed(text.substr(0, 256));
  return start.empty() ? std::string(flag)
                       : fmt::format("{} {}{}", flag, Printable(start), text.size() > 256 ? "..." : "");
}

}  // namespace

std::vector<Device> CpuRanks(int count, uint64_t memory_bytes) {
  std::vector<Device> ranks;
  for (int r = 0; r < count; ++r) {
    ranks.push_back({.kind = DeviceKind::kCpu, .model = "CPU", .memory_bytes = memory_bytes, .ordinal = r});
  }
  return ranks;
}

Result<Cluster> ParseGpus(std::string_view text, std::string_view where) { return Placed(ReadGpus(text), where); }
Result<Cluster> ParseCpus(std::string_view text, std::string_view where) { return Placed(ReadCpus(text), where); }
Result<Cluster> ParseGpus(std::string_view text) { return ParseGpus(text, Flag("--gpus", text)); }
Result<Cluster> ParseCpus(std::string_view text) { return ParseCpus(text, Flag("--cpus", text)); }

}  // namespace mrs::cluster
