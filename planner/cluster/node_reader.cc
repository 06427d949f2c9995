#include "planner/cluster/node_reader.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/nearest.h"
#include "planner/cluster/short_form.h"
#include "plans/printable.h"

namespace mrs::cluster {
namespace {

constexpr std::string_view kDeviceKinds[] = {"cpu", "cuda", "rocm"};  // by DeviceKind
constexpr std::string_view kPeerKinds[] = {"nvlink", "xgmi", "c2c"};  // by PeerKind
constexpr int64_t kMaxOrdinal = 1023;

using SwitchNames = std::map<std::string, int, std::less<>>;

// "32GT/s x16", either half alone, or "gen5 x16".
std::optional<PcieLink> ParsePcie(std::string_view text) {
  PcieLink link;
  while (true) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    const char* end = word.data() + word.size();
    if (word.starts_with('x') && link.lanes == 0) {
      const auto [stop, error] = std::from_chars(word.data() + 1, end, link.lanes);
      if (error != std::errc() || stop != end || link.lanes < 1 || link.lanes > 32) return std::nullopt;
    } else if (word.starts_with("gen") && word.size() == 4 && link.gigatransfers == 0) {
      link.gigatransfers = GigatransfersOf(word[3] - '0');
      if (link.gigatransfers == 0) return std::nullopt;
    } else if (word.ends_with("GT/s") && link.gigatransfers == 0) {
      const auto [stop, error] = std::from_chars(word.data(), end - 4, link.gigatransfers, std::chars_format::fixed);
      if (error != std::errc() || stop != end - 4 || !(link.gigatransfers > 0) || link.gigatransfers > 256) {
        return std::nullopt;
      }
    } else {
      return std::nullopt;
    }
    if (space == text.size()) return link;
    text.remove_prefix(space + 1);
  }
}

std::string OrNearest(std::string_view word, const SwitchNames& names) {
  std::vector<std::string_view> known;
  for (const auto& [name, index] : names) known.push_back(name);
  const std::string_view nearest = Nearest(word, known);
  return nearest.empty() ? "" : fmt::format("; did you mean '{}'?", Printable(nearest));
}

// Reads one node of a file; what it needs to know of the part that was read before is in it.
class NodeReader {
 public:
  NodeReader(Faults* faults, MapReader* in) : faults_(faults), in_(*in) {}

  Node Read() {
    node_.memory_bytes = in_.Bytes("memory", 0);
    node_.cores = static_cast<int>(in_.Integer("cores", 1, 1 << 20, 0));
    const std::string_view whole = in_.Has("gpus") ? "gpus" : in_.Has("ranks") ? "ranks" : "";
    if (whole.empty() && !in_.Has("devices")) {
      in_.Fault("devices", "expected 'devices', 'gpus' or 'ranks': a node without devices is no use");
    }
    if (!whole.empty()) ReadWhole(whole);
    ReadSockets();
    ReadSwitches();
    ReadDevices();
    ReadNics();
    if (!in_.Has("sockets") && whole != "gpus") ImplySockets();
    ReadLinks();
    ReadDomain();
    node_.completed = in_.Texts("completed", kMaxLinksPerNode);
    return std::move(node_);
  }

 private:
  std::vector<MapReader> Maps(std::string_view key, size_t most, std::span<const std::string_view> keys) {
    std::vector<MapReader> maps;
    const YamlValue* list = in_.List(key, most);
    for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
      maps.emplace_back(faults_, list->items[i], fmt::format("{}[{}]", in_.PathOf(key), i), keys);
    }
    return maps;
  }

  // gpus and ranks stand for the lists beside them.
  void ReadWhole(std::string_view key) {
    for (const std::string_view other : {"ranks", "devices", "links", "switches", "sockets"}) {
      if (other == key || !in_.Has(other) || (key == "ranks" && other != "devices")) continue;
      in_.Fault(other, fmt::format("stands beside '{}', which says it too; keep one of them", key));
    }
    if (key == "ranks") {
      node_.devices = CpuRanks(static_cast<int>(in_.Integer("ranks", 1, kMaxDevicesPerNode, 1)));
      return;
    }
    const std::string form = in_.Text("gpus");
    Result<Cluster> cluster = ParseGpus(form, "expected one node in short form");
    if (faults_->any()) return;
    if (!cluster) return in_.Fault("gpus", cluster.message());
    if (cluster->nodes.size() > 1) {
      return in_.Fault("gpus",
                       fmt::format("{} nodes; expected one, with 'count' for more of them", cluster->nodes.size()));
    }
    if (cluster->network_gigabits != 0)
      in_.Fault("gpus", "a rate between nodes; expected it under 'network', above 'nodes'");
    node_ = Node{.memory_bytes = node_.memory_bytes,
                 .cores = node_.cores,
                 .sockets = std::move(cluster->nodes[0].sockets),
                 .devices = std::move(cluster->nodes[0].devices),
                 .links = std::move(cluster->nodes[0].links)};
  }

  void ReadSockets() {
    for (MapReader& in : Maps("sockets", kMaxPartsPerNode, kSocketKeys)) {
      Socket socket;
      socket.numa = static_cast<int>(in.Integer("numa", 0, 1 << 20, static_cast<int64_t>(node_.sockets.size())));
      socket.arch = in.Text("arch");
      socket.vendor = in.Text("vendor");
      socket.cpu = in.Text("cpu");
      node_.sockets.push_back(std::move(socket));
    }
  }

  // Nodes that do not list their sockets have as many as are spoken of.
  void ImplySockets() {
    int most = 0;
    for (const Switch& at : node_.switches) most = std::max(most, at.at.socket);
    for (const Device& at : node_.devices) most = std::max(most, at.at.socket);
    for (const Nic& at : node_.nics) most = std::max(most, at.at.socket);
    for (int s = 0; s <= most; ++s) node_.sockets.push_back({.numa = s});
  }

  int ReadSocketIndex(MapReader& in) {
    const auto index = in.Integer("socket", 0, kMaxPartsPerNode - 1, 0);
    const auto count = static_cast<int64_t>(node_.sockets.size());
    if ((in_.Has("sockets") || in_.Has("gpus")) && in.Has("socket") && index >= count) {
      in.Fault("socket", fmt::format("socket {}, but the node has {}, counted from 0", index, count));
    }
    return static_cast<int>(index);
  }

  Attachment ReadAttachment(MapReader& in) {
    Attachment at{.socket = ReadSocketIndex(in)};
    if (const std::string parent = in.Text("parent"); !parent.empty()) {
      if (const auto found = switch_names_.find(parent); found != switch_names_.end()) {
        at.parent = found->second;
      } else {
        in.Fault("parent", fmt::format("no switch of this node is called '{}'{}", Printable(parent),
                                       OrNearest(parent, switch_names_)));
      }
    }
    if (const std::string pcie = in.Text("pcie"); !pcie.empty()) {
      if (const auto link = ParsePcie(pcie)) {
        at.link = *link;
      } else {
        in.FaultExpected("pcie", "a rate and lanes such as 32GT/s x16 or gen5 x16");
      }
    }
    return at;
  }

  // A thing lies under the socket of the switch that it hangs from, whether it says so or not.
  void TakeSocketOf(int from, MapReader& in, Attachment& at) {
    const int socket = node_.switches[from].at.socket;
    if (in.Has("socket") && at.socket != socket) {
      in.Fault("socket", fmt::format("socket {}, but its parent '{}' lies under socket {}", at.socket,
                                     Printable(node_.switches[from].name), socket));
    }
    at.socket = socket;
  }

  void ReadSwitches() {
    std::vector<MapReader> maps = Maps("switches", kMaxPartsPerNode, kSwitchKeys);
    for (MapReader& in : maps) {
      Switch made;
      made.name = RequiredName(in);
      made.host_bridge = in.Bool("host_bridge", false);
      if (!made.name.empty() && !switch_names_.emplace(made.name, static_cast<int>(node_.switches.size())).second) {
        in.Fault("name", fmt::format("a second switch '{}'; names are unique on a node", Printable(made.name)));
      }
      node_.switches.push_back(std::move(made));
    }
    for (size_t s = 0; s < maps.size(); ++s) node_.switches[s].at = ReadAttachment(maps[s]);
    // The socket of each is its uppermost switch's; who never comes to one hangs from itself.
    for (size_t s = 0; s < maps.size(); ++s) {
      size_t top = s;
      size_t steps = 0;
      while (node_.switches[top].at.parent >= 0 && steps++ <= maps.size()) top = node_.switches[top].at.parent;
      if (steps > maps.size()) return maps[s].Fault("parent", "a switch hangs from itself in the end; expected a tree");
      if (top != s) TakeSocketOf(static_cast<int>(top), maps[s], node_.switches[s].at);
    }
  }

  std::string RequiredName(MapReader& in) {
    if (!in.Has("name")) in.FaultExpected("name", "a name that is unique on the node");
    return in.Text("name");
  }

  Device ReadDevice(MapReader& in) {
    Device device;
    device.model = in.Text("model");
    const DeviceModel* row = device.model.empty() ? nullptr : FindDeviceModel(device.model);
    const int kind = in.Word("kind", kDeviceKinds);
    if (kind >= 0) device.kind = static_cast<DeviceKind>(kind);
    if (row != nullptr) {
      if (kind >= 0 && device.kind != row->kind) {
        in.Fault("kind", fmt::format("'{}', but {} is {}", kDeviceKinds[kind], row->name,
                                     kDeviceKinds[static_cast<size_t>(row->kind)]));
      }
      device.kind = row->kind;
      device.model = row->name;
    }
    if (!in.Has("memory")) {
      if (row != nullptr) {
        device.memory_bytes = row->memory_bytes;
      } else if (!device.model.empty()) {
        in.Fault("model", fmt::format("'{}' is no model of the catalogue (nearest: {}); name one, or say 'memory'",
                                      Printable(device.model), NearestDeviceModel(device.model)->name));
      } else if (device.kind != DeviceKind::kCpu) {
        in.Fault("memory", "expected a size such as 80GiB, 'unknown', or a 'model' of the catalogue");
      }
    } else if (in.Find("memory")->text != "unknown") {
      device.memory_bytes = in.Bytes("memory", 0);
    }
    device.bus_id = in.BusId("bus_id");
    device.at = ReadAttachment(in);
    if (device.at.parent >= 0) TakeSocketOf(device.at.parent, in, device.at);
    return device;
  }

  void ReadDevices() {
    std::set<std::pair<DeviceKind, int>> ordinals;
    for (MapReader& in : Maps("devices", kMaxDevicesPerNode, kDeviceKeys)) {
      Device device = ReadDevice(in);
      const int64_t count = in.Integer("count", 1, kMaxDevicesPerNode, 1);
      const int64_t next = node_.devices.empty() ? 0 : node_.devices.back().ordinal + 1;
      const int64_t first = in.Integer("ordinal", 0, kMaxOrdinal, next);
      if (first + count - 1 > kMaxOrdinal) {
        return in.Fault("ordinal", fmt::format("the last of {} devices would have ordinal {}; expected at most {}",
                                               count, first + count - 1, kMaxOrdinal));
      }
      if (count > 1 && !device.bus_id.empty()) {
        in.Fault("bus_id", fmt::format("one bus id for {} devices; list them one by one", count));
      }
      if (node_.devices.size() + count > kMaxDevicesPerNode) {
        return in.Fault("count", fmt::format("{} devices in one node; expected at most {}",
                                             node_.devices.size() + count, kMaxDevicesPerNode));
      }
      if (!device.bus_id.empty() && !bus_ids_.insert(device.bus_id).second) {
        in.Fault("bus_id", fmt::format("a second device at {}", device.bus_id));
      }
      for (int64_t d = 0; d < count; ++d) {
        device.ordinal = static_cast<int>(first + d);
        if (!ordinals.emplace(device.kind, device.ordinal).second) {
          in.Fault("ordinal", fmt::format("a second {} device with ordinal {}",
                                          kDeviceKinds[static_cast<size_t>(device.kind)], device.ordinal));
        }
        node_.devices.push_back(device);
      }
    }
  }

  void ReadNics() {
    std::set<std::string> names;
    for (MapReader& in : Maps("nics", kMaxPartsPerNode, kNicKeys)) {
      Nic nic;
      nic.name = RequiredName(in);
      if (!nic.name.empty() && !names.insert(nic.name).second) {
        in.Fault("name", fmt::format("a second nic '{}'; names are unique on a node", Printable(nic.name)));
      }
      nic.gigabits = in.Gigabits("rate", 0);
      nic.gpu_direct = in.Bool("gpu_direct", false);
      nic.bus_id = in.BusId("bus_id");
      nic.at = ReadAttachment(in);
      if (nic.at.parent >= 0) TakeSocketOf(nic.at.parent, in, nic.at);
      node_.nics.push_back(std::move(nic));
    }
  }

  // The device that a number names, counted as the node lists them.
  int ReadDeviceIndex(MapReader& in, std::string_view key) {
    const auto count = static_cast<int64_t>(node_.devices.size());
    if (count == 0) in.Fault(key, "a link of a node without devices");
    return static_cast<int>(in.Integer(key, 0, std::max<int64_t>(count - 1, 0), 0));
  }

  // The ends of a link, each way that it is said for: between both, from one, or from all.
  std::vector<std::pair<int, int>> ReadEnds(MapReader& in) {
    if (in.Has("between")) {
      for (const std::string_view other : {"from", "to"}) {
        if (in.Has(other)) in.Fault(other, "stands beside 'between', which says it too; keep one of them");
      }
      const std::vector<std::string> ends = in.Texts("between", 2);
      std::vector<int> devices;
      for (const std::string& end : ends) {
        uint32_t index = 0;
        const auto [stop, error] = std::from_chars(end.data(), end.data() + end.size(), index);
        if (error != std::errc() || stop != end.data() + end.size() || index >= node_.devices.size()) break;
        devices.push_back(static_cast<int>(index));
      }
      if (devices.size() != 2) {
        in.Fault("between", fmt::format("expected two devices such as [0, 1], each below {}", node_.devices.size()));
        return {};
      }
      return {{devices[0], devices[1]}, {devices[1], devices[0]}};
    }
    for (const std::string_view end : {"from", "to"}) {
      if (!in.Has(end)) in.FaultExpected(end, "'between', or 'from' and 'to'");
    }
    if (faults_->any()) return {};
    const std::string& to_text = in.Find("to")->text;
    const int to = to_text == "fabric" ? kFabric : to_text == "socket" ? kSocket : ReadDeviceIndex(in, "to");
    if (in.Find("from")->text != "all") return {{ReadDeviceIndex(in, "from"), to}};
    if (to >= 0) in.FaultExpected("to", "fabric or socket beside 'from: all'");
    std::vector<std::pair<int, int>> ends;
    for (size_t d = 0; d < node_.devices.size(); ++d) ends.emplace_back(static_cast<int>(d), to);
    return ends;
  }

  void ReadLinks() {
    std::set<std::tuple<PeerKind, int, int>> seen;
    for (MapReader& in : Maps("links", kMaxLinksPerNode, kLinkKeys)) {
      if (!in.Has("count")) in.FaultExpected("count", "how many links there are");
      const auto count = static_cast<int>(in.Integer("count", 1, 64, 1));
      const bool unknown = in.Has("rate") && in.Find("rate")->text == "unknown";
      const double gigabytes = unknown ? 0 : in.Gigabits("rate", 0) / 8;
      const int kind = in.Word("kind", kPeerKinds);
      const std::vector<std::pair<int, int>> ends = ReadEnds(in);
      if (faults_->any()) return;
      for (const auto& [from, to] : ends) {
        const Device& device = node_.devices[from];
        PeerLink link{.from = from, .to = to, .count = count, .gigabytes = gigabytes};
        link.kind = kind >= 0                          ? static_cast<PeerKind>(kind)
                    : device.kind == DeviceKind::kRocm ? PeerKind::kXgmi
                                                       : PeerKind::kNvlink;
        const std::string_view key = in.Has("between") ? "between" : "to";
        if (from == to) in.Fault(key, fmt::format("a link of device {} to itself", from));
        if (!seen.emplace(link.kind, from, to).second) {
          in.Fault(key, fmt::format("a second {} link from device {} to the same; say 'count'",
                                    kPeerKinds[static_cast<size_t>(link.kind)], from));
        }
        const DeviceModel* row = FindDeviceModel(device.model);
        if (!in.Has("rate") && row != nullptr && row->peer == link.kind) link.gigabytes = row->peer_gigabytes;
        node_.links.push_back(link);
      }
    }
    if (node_.links.size() > kMaxLinksPerNode) {
      in_.Fault("links", fmt::format("{} links; expected at most {}", node_.links.size(), kMaxLinksPerNode));
    }
  }

  void ReadDomain() {
    node_.nvlink_domain = in_.Text("nvlink_domain");
    const bool joins = std::ranges::any_of(
        node_.links, [](const PeerLink& link) { return link.kind == PeerKind::kNvlink && link.to == kFabric; });
    if (!node_.nvlink_domain.empty() && !joins) {
      in_.Fault("nvlink_domain",
                "none of the node's devices has NVLinks to a fabric, which nodes of a domain share; "
                "expected links such as {from: all, to: fabric, count: 18}");
    }
  }

  Faults* faults_;
  MapReader& in_;
  Node node_;
  SwitchNames switch_names_;
  std::set<std::string> bus_ids_;
};

}  // namespace

Node ReadNode(Faults* faults, MapReader& in) { return NodeReader(faults, &in).Read(); }

}  // namespace mrs::cluster
