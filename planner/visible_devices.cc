#include "planner/visible_devices.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "planner/cluster/catalogue.h"
#include "planner/memory_default.h"
#include "planner/rules.h"
#include "plans/contract.h"
#include "plans/printable.h"

namespace mrs {
namespace {

using cluster::Cluster;
using cluster::Device;
using cluster::DeviceKind;
using cluster::DevicePaths;
using cluster::Node;

constexpr std::string_view kVisible = "CUDA_VISIBLE_DEVICES";
constexpr std::string_view kLocalWorld = "MISTRALRS_MN_LOCAL_WORLD_SIZE";

// What a rank may use of it: 9/10, or a share of the host's where the device is CPU cores.
// Of each of the ranks that share it.
Result<int64_t> UsableBytes(const Node& node, const Device& device, const DeviceChoice& choice, int64_t ranks) {
  const auto top = static_cast<uint64_t>(contract::kMaxArenaBytes);
  const std::string where = fmt::format("cluster: node {} device {}", Printable(node.name), device.ordinal);
  uint64_t bytes = device.memory_bytes;
  if (device.kind == DeviceKind::kCpu && bytes == 0) {
    const uint64_t host = node.memory_bytes > 0 ? node.memory_bytes : choice.host_memory;
    bytes = host / node.devices.size();
  }
  if (bytes == 0) {
    const cluster::DeviceModel* model = cluster::FindDeviceModel(device.model);
    if (model != nullptr) bytes = model->memory_bytes;
  }
  if (bytes == 0) {
    if (choice.memory) return static_cast<int64_t>(std::min(*choice.memory, top));
    return BrokenRule<RuleId::kDeviceMemory>("", where, Printable(device.model));
  }
  uint64_t usable = std::min(DefaultMemoryPerRank(bytes, 1), top) / static_cast<uint64_t>(ranks);
  if (choice.memory) usable = std::min(usable, *choice.memory);
  return static_cast<int64_t>(usable);
}

// A device of a node, and what a flag calls it: its ordinal, or its place among those that CUDA_VISIBLE_DEVICES leaves.
struct Numbered {
  int device = 0;
  int number = 0;
};

// The node's devices that are meant, in the order of the list that names them.
Result<std::vector<Numbered>> OnNode(const Node& node, const DeviceChoice& choice, const std::vector<int>& visible,
                                     const std::vector<int>& flag, std::optional<int> first) {
  std::vector<Numbered> devices;
  for (const Device& device : node.devices) devices.push_back({static_cast<int>(devices.size()), device.ordinal});
  std::ranges::stable_sort(devices, {}, &Numbered::number);
  const auto pick = [&](std::string_view what, const std::vector<int>& numbers, const std::vector<Numbered>& of,
                        bool may_repeat) -> Result<std::vector<Numbered>> {
    std::vector<Numbered> picked;
    std::set<int> seen;
    for (const int number : numbers) {
      const auto at = std::ranges::find(of, number, &Numbered::number);
      if (at == of.end()) {
        return BrokenRule<RuleId::kOrdinalUnknown>(what, number, Printable(node.name), of.size(),
                                                   of.empty() ? 0 : of.back().number);
      }
      if (!seen.insert(number).second && !may_repeat) return BrokenRule<RuleId::kOrdinalTwice>(what, number);
      picked.push_back(*at);
    }
    return picked;
  };
  // Neither CUDA_VISIBLE_DEVICES nor "cuda:" counts CPU ranks, which a shell's variable must not take away.
  const auto is_cpu = [&](const Numbered& one) { return node.devices[one.device].kind == DeviceKind::kCpu; };
  const bool only_cpus = std::ranges::all_of(devices, is_cpu);
  if (only_cpus && choice.flag.find("cuda:") != std::string::npos) {
    return Refuse("--devices {}: node {} has CPU ranks alone; write their numbers without cuda:, such as 0,1",
                  Printable(choice.flag), Printable(node.name));
  }
  if (choice.cuda_visible && !only_cpus) {
    std::erase_if(devices, is_cpu);
    MRS_ASSIGN_OR_RETURN(devices, pick(fmt::format("{}={}", kVisible, Printable(*choice.cuda_visible)), visible,
                                       devices, /*may_repeat=*/false));
    for (size_t i = 0; i < devices.size(); ++i) devices[i].number = static_cast<int>(i);
  }
  if (!choice.flag.empty()) {
    MRS_ASSIGN_OR_RETURN(devices,
                         pick(fmt::format("--devices {}", Printable(choice.flag)), flag, devices, choice.may_repeat));
  } else if (first) {
    if (std::cmp_greater(*first, devices.size())) {
      return BrokenRule<RuleId::kLocalWorld>("", kLocalWorld, *first, Printable(node.name), devices.size());
    }
    devices.resize(*first);
  }
  return devices;
}

// Of NCCL's classes what they are called here.
Crossing Between(const Cluster& cluster, const DevicePaths& all, const VisibleDevice& a, const VisibleDevice& b) {
  using cluster::PathClass;
  const PathClass path_class = all.paths.Between(a.node, a.device, b.node, b.device).path_class;
  if (a.node != b.node) return path_class == PathClass::kNvl ? Crossing::kNvlinkNodes : Crossing::kNetwork;
  if (cluster.nodes[a.node].devices[a.device].kind == DeviceKind::kCpu) return Crossing::kMemory;
  switch (path_class) {
    case PathClass::kLoc:
    case PathClass::kNvl:
      return Crossing::kNvlink;
    case PathClass::kNvb:
      return Crossing::kNvlinkThrough;
    case PathClass::kC2c:
      return Crossing::kC2c;
    case PathClass::kPix:
      return Crossing::kSwitch;
    case PathClass::kPxb:
      return Crossing::kSwitches;
    case PathClass::kSys:
      return Crossing::kSockets;
    case PathClass::kPhb:
    case PathClass::kNet:  // of a node that says nothing of its sockets
      break;
  }
  return Crossing::kHostBridge;
}

// Nodes in their order, but those of one NVLink domain after the first of it.
std::vector<size_t> NodesByDomain(const std::vector<int>& domain_of) {
  std::vector<size_t> order(domain_of.size());
  std::iota(order.begin(), order.end(), 0);
  std::map<int, size_t> first;
  for (size_t n = 0; n < domain_of.size(); ++n) {
    if (domain_of[n] >= 0) first.emplace(domain_of[n], n);
  }
  std::ranges::stable_sort(order, {}, [&](size_t n) { return domain_of[n] >= 0 ? first.at(domain_of[n]) : n; });
  return order;
}

}  // namespace

Result<std::vector<int>> ParseOrdinals(std::string_view what, std::string_view text) {
  std::vector<int> ordinals;
  while (true) {
    const size_t end = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, end);
    // "0, 1", too, as for CUDA.
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    int value = 0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || rest != part.data() + part.size() || value < -1) {
      return BrokenRule<RuleId::kOrdinalForm>(what, Printable(part.substr(0, 64)));
    }
    if (value == -1) return ordinals;
    ordinals.push_back(value);
    if (ordinals.size() > 4096) return BrokenRule<RuleId::kOrdinalForm>(what, "more than 4096 ordinals");
    if (end == text.size()) return ordinals;
    text.remove_prefix(end + 1);
  }
}

Result<std::vector<VisibleDevice>> ChooseDevices(const Cluster& cluster, const DeviceChoice& choice) {
  std::vector<int> visible, flag;
  std::optional<int> first;
  if (choice.cuda_visible) {
    const std::string what = fmt::format("{}={}", kVisible, Printable(*choice.cuda_visible));
    if (!choice.cuda_visible->empty()) {
      MRS_ASSIGN_OR_RETURN(visible, ParseOrdinals(what, *choice.cuda_visible));
    }
  }
  if (!choice.flag.empty()) {
    std::string text = choice.flag;
    if (text.starts_with("cuda:")) text.erase(0, 5);
    for (size_t at; (at = text.find(",cuda:")) != std::string::npos;) text.erase(at + 1, 5);
    MRS_ASSIGN_OR_RETURN(flag, ParseOrdinals(fmt::format("--devices {}", Printable(choice.flag)), text));
  }
  if (choice.per_node_ranks) {
    const std::string& text = *choice.per_node_ranks;
    int ranks = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ranks);
    if (error != std::errc() || end != text.data() + text.size() || ranks < 1) {
      return Error{ErrorKind::kUsage, fmt::format("{}={}: expected a whole number of devices of each node, from 1",
                                                  kLocalWorld, Printable(text.substr(0, 64)))};
    }
    first = ranks;
  }
  std::vector<VisibleDevice> devices;
  std::optional<DeviceKind> kind;
  const DevicePaths all = DevicePathsOf(cluster);
  for (const size_t n : NodesByDomain(all.paths.domain_of)) {
    const Node& node = cluster.nodes[n];
    const std::vector<int>& islands = all.island[n];
    MRS_ASSIGN_OR_RETURN(const std::vector<Numbered> on_node, OnNode(node, choice, visible, flag, first));
    std::vector<VisibleDevice> of_node;
    for (const auto& [index, number] : on_node) {
      const Device& device = node.devices[index];
      if (device.kind == DeviceKind::kRocm) {
        return Refuse("cluster: node {} device {}: {} is a ROCm device, and there is no backend for it yet",
                      Printable(node.name), device.ordinal, Printable(device.model));
      }
      if (kind && *kind != device.kind) {
        return Refuse(
            "cluster: node {} device {}: CPU ranks and GPUs together are not there yet; choose with --devices",
            Printable(node.name), device.ordinal);
      }
      kind = device.kind;
      const auto ranks = std::ranges::count(on_node, index, &Numbered::device);
      MRS_ASSIGN_OR_RETURN(const int64_t usable, UsableBytes(node, device, choice, ranks));
      of_node.push_back({static_cast<int>(n), index, islands[index], usable, number});
    }
    std::stable_sort(of_node.begin(), of_node.end(), [&](const VisibleDevice& a, const VisibleDevice& b) {
      const auto key = [&](const VisibleDevice& d) {
        const Device& device = node.devices[d.device];
        const auto lead = std::ranges::find(islands, d.island) - islands.begin();
        return std::tuple(node.devices[lead].at.socket, d.island, device.at.socket, device.at.parent);
      };
      return key(a) < key(b);
    });
    devices.insert(devices.end(), of_node.begin(), of_node.end());
  }
  if (devices.empty()) return BrokenRule<RuleId::kNoDevices>("");
  return devices;
}

Crossing WorstCrossing(const Cluster& cluster, const DevicePaths& paths, const std::vector<VisibleDevice>& devices) {
  Crossing worst = Crossing::kNothing;
  for (size_t a = 0; a < devices.size(); ++a) {
    for (size_t b = a + 1; b < devices.size(); ++b)
      worst = std::max(worst, Between(cluster, paths, devices[a], devices[b]));
  }
  return worst;
}

std::string_view CrossingText(Crossing crossing) {
  switch (crossing) {
    case Crossing::kNothing:
      return "nothing";
    case Crossing::kNvlink:
      return "NVLink";
    case Crossing::kNvlinkThrough:
      return "NVLinks of a GPU between them";
    case Crossing::kNvlinkNodes:
      return "NVLink between nodes";
    case Crossing::kC2c:
      return "C2C links";
    case Crossing::kSwitch:
      return "one PCIe switch";
    case Crossing::kSwitches:
      return "several PCIe switches";
    case Crossing::kHostBridge:
      return "a PCIe host bridge";
    case Crossing::kSockets:
      return "the link between sockets";
    case Crossing::kMemory:
      return "the host's memory";
    case Crossing::kNetwork:
      return "the network";
  }
  return "";
}

bool NeedsPeerAccess(Crossing crossing) { return crossing >= Crossing::kNvlink && crossing <= Crossing::kSwitches; }

}  // namespace mrs
