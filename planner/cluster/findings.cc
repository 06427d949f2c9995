#include "planner/cluster/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "formats/json.h"
#include "planner/cluster/catalogue.h"
#include "planner/cluster/paths.h"
#include "planner/cluster/show.h"

namespace mrs::cluster {
namespace {

constexpr FindingKind kKinds[] = {
    {"cluster.nvlink-asymmetric", "a pair of devices has more links one way than the other",
     "look at nvidia-smi nvlink -s of both; reseat the bridge, or reset the GPUs and their fabric manager"},
    {"cluster.nvlink-degraded", "a device has fewer NVLinks up than its model, or than the others of its model",
     "look at nvidia-smi nvlink -s for links that are down; reseat the bridge or module"},
    {"cluster.nvlink-missing", "a device has no NVLink where all others of its model have",
     "look at nvidia-smi nvlink -s and at the fabric manager; leave the device out until then"},
    {"cluster.nvlink-impossible", "a device has more NVLinks than its model, or than any has",
     "make the description anew from the machine; a model may be named wrongly"},
    {"cluster.pcie-slow", "a PCIe link of generation 1 or 2, or slower than those of the same model's other devices",
     "look at lspci -vv (LnkSta, LnkCap) under load, and at the slot's generation in the firmware's setup"},
    {"cluster.pcie-narrow", "a PCIe link with fewer lanes than the model has, or than others of its kind",
     "reseat the card or riser, and look at the slot's bifurcation in the firmware's setup"},
    {"cluster.nic-throttled", "a network card whose PCIe link carries less than its rate",
     "move the card to a slot with more lanes or a newer generation"},
    {"cluster.nic-far", "a network card or a device is a host bridge or more away, where others have theirs near",
     "move the card behind the switch of its GPU, or to that GPU's socket"},
    {"cluster.peer-far", "a device reaches no other without the host, where most do",
     "move the device behind the switch of the others"},
    {"cluster.no-peer-access", "no device of a node reaches another without the host",
     "plan stages (--pp) rather than tensor parallel; bridges, or a PCIe switch above the devices, would help"},
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

// Of one node, in the order of its parts; places are without the node's name.
class NodeJudge {
 public:
  NodeJudge(const Node& node, std::vector<Finding>& findings)
      : node_(node), paths_(PathsOf(node)), findings_(findings) {}

  void Judge() {
    Asymmetry();
    LinkCounts();
    Mixed();
    PcieOfDevices();
    PcieOfOthers();
    Nics();
    Peers();
  }

 private:
  std::string Device(size_t device) const { return fmt::format("device {}", node_.devices[device].ordinal); }
  void Find(std::string_view id, const std::string& place, std::string what, double cost) {
    const FindingKind& kind = KindOf(id);
    findings_.push_back({kind.id, place, std::move(what), cost, kind.mend});
  }
  bool Gpu(size_t device) const { return node_.devices[device].kind != DeviceKind::kCpu; }

  void Asymmetry() {
    for (const PeerLink& link : node_.links) {
      if (link.to < 0) continue;
      const auto back = std::find_if(node_.links.begin(), node_.links.end(), [&](const PeerLink& other) {
        return other.kind == link.kind && other.from == link.to && other.to == link.from;
      });
      const int count = back == node_.links.end() ? 0 : back->count;
      if (count >= link.count) continue;  // told from the other side
      Find("cluster.nvlink-asymmetric", fmt::format("{} and {}", Device(link.from), Device(link.to)),
           fmt::format("{} links to, {} back; expected the same both ways", link.count, count),
           EachOf(link) * (link.count - count));
    }
  }

  // What one link of them carries; 0: not known.
  double EachOf(const PeerLink& link) const {
    return PeerKnown(node_, link) ? PeerGigabytes(node_, link) / link.count : 0;
  }

  // What the better of two paths carries more; 0 where either is not known.
  static double Lost(const Path& better, const Path& worse) {
    return better.known && worse.known ? std::max(0.0, static_cast<double>(better.gigabytes) - worse.gigabytes) : 0;
  }

  // Links of all devices, and what one of them carries.
  void LinkCounts() {
    const size_t count = node_.devices.size();
    std::vector<int> links(count);
    std::vector<double> each(count, 0);
    for (const PeerLink& link : node_.links) {
      if (link.kind != PeerKind::kNvlink) continue;
      links[link.from] += link.count;
      each[link.from] = EachOf(link);
    }
    without_nvlink_.assign(count, false);
    for (size_t device = 0; device < count; ++device) {
      if (!Gpu(device)) continue;
      const DeviceModel* const row = FindDeviceModel(node_.devices[device].model);
      const bool has_row = row != nullptr && row->peer == PeerKind::kNvlink && row->peer_links > 0;
      const int limit = has_row ? row->peer_links : 18;
      int most = 0, others_with = 0, others = 0;
      double rate = each[device];
      for (size_t other = 0; other < count; ++other) {
        if (other == device || node_.devices[other].model != node_.devices[device].model) continue;
        if (links[other] <= limit) most = std::max(most, links[other]);
        if (rate == 0) rate = each[other];
        ++others;
        others_with += links[other] > 0;
      }
      // A row's links count where a device has any; bridges of cards are there or not.
      if (has_row && links[device] > 0) most = std::max(most, row->peer_links);
      if (links[device] > limit) {
        Find("cluster.nvlink-impossible", Device(device),
             fmt::format("{} NVLinks; {} has {}", links[device], has_row ? row->name : "a GPU", limit),
             rate * (links[device] - limit));
      } else if (links[device] == 0) {
        const bool alone = most > 0 && others_with == others;
        if (!alone) continue;
        without_nvlink_[device] = true;
        Find("cluster.nvlink-missing", Device(device), fmt::format("no NVLink; the others of its model have {}", most),
             rate * most);
      } else if (links[device] < most) {
        Find("cluster.nvlink-degraded", Device(device), fmt::format("{} of {} NVLinks", links[device], most),
             rate * (most - links[device]));
      }
    }
  }

  void Mixed() {
    size_t first = 0;
    while (first < node_.devices.size() && !Gpu(first)) ++first;
    for (size_t device = first + 1; device < node_.devices.size(); ++device) {
      const mrs::cluster::Device &a = node_.devices[first], &b = node_.devices[device];
      if (!Gpu(device) || (a.model == b.model && a.memory_bytes == b.memory_bytes)) continue;
      const auto called = [](const mrs::cluster::Device& one) {
        return fmt::format("{} with {} MiB", one.model.empty() ? "a GPU" : one.model, one.memory_bytes >> 20);
      };
      Find("cluster.mixed-devices", Device(device),
           fmt::format("{}, but {} is {}; the slower and smaller one sets the pace", called(b), Device(first),
                       called(a)),
           0);
    }
  }

  void PcieOf(const std::string& place, const PcieLink& link, PcieLink best, std::string_view as) {
    const PcieLink fast{.gigatransfers = std::max(link.gigatransfers, best.gigatransfers), .lanes = link.lanes};
    const bool old = link.gigatransfers > 0 && link.gigatransfers <= 5;
    if (old || (link.gigatransfers > 0 && link.gigatransfers < best.gigatransfers)) {
      const double expected = std::max(best.gigatransfers, 8.0);
      Find("cluster.pcie-slow", place,
           fmt::format("PCIe {} GT/s; expected {} or more{}", link.gigatransfers, expected,
                       link.gigatransfers < best.gigatransfers ? as : std::string_view()),
           link.lanes > 0 ? PcieGigabytes({expected, link.lanes}) - PcieGigabytes(link) : 0);
    }
    if (link.lanes > 0 && link.lanes < best.lanes) {
      Find("cluster.pcie-narrow", place, fmt::format("PCIe x{}; expected x{}{}", link.lanes, best.lanes, as),
           PcieKnown(fast) ? PcieGigabytes({fast.gigatransfers, best.lanes}) - PcieGigabytes(fast) : 0);
    }
  }

  static void Widen(PcieLink& best, const PcieLink& link) {
    best.gigatransfers = std::max(best.gigatransfers, link.gigatransfers);
    best.lanes = std::max(best.lanes, link.lanes);
  }

  void PcieOfDevices() {
    for (size_t device = 0; device < node_.devices.size(); ++device) {
      if (!Gpu(device)) continue;
      const mrs::cluster::Device& one = node_.devices[device];
      const DeviceModel* const row = FindDeviceModel(one.model);
      PcieLink best{.gigatransfers = 0, .lanes = row != nullptr ? row->pcie_lanes : 0};
      for (const mrs::cluster::Device& other : node_.devices) {
        if (other.model == one.model) Widen(best, other.at.link);
      }
      PcieOf(Device(device), one.at.link, best, ", as its model and its like have");
    }
  }

  // Cards against cards of the same rate; switches against switches that hang as high.
  void PcieOfOthers() {
    for (const Nic& nic : node_.nics) {
      PcieLink best;
      for (const Nic& other : node_.nics) {
        if (other.gigabits == nic.gigabits && nic.gigabits > 0) best.lanes = std::max(best.lanes, other.at.link.lanes);
      }
      const std::string place = fmt::format("nic {}", nic.name);
      PcieOf(place, nic.at.link, best, ", as cards of the same rate have");
      // 128b/130b from PCIe 3.0 on, 8b/10b before; headers left out.
      const double coding = nic.at.link.gigatransfers >= 8 ? 128.0 / 130 : 0.8;
      const double carries = nic.at.link.gigatransfers * nic.at.link.lanes * coding;
      if (nic.gigabits > 0 && carries > 0 && carries < nic.gigabits * 0.99) {
        Find("cluster.nic-throttled", place,
             fmt::format("{} Gbit/s over PCIe that carries {:.0f}", nic.gigabits, carries),
             (nic.gigabits - carries) / 8);
      }
    }
    std::map<int, PcieLink> best_at;  // [depth]
    for (const Switch& one : node_.switches) {
      if (one.host_bridge) continue;
      PcieLink& best = best_at[Depth(one)];
      best.lanes = std::max(best.lanes, one.at.link.lanes);
    }
    for (const Switch& one : node_.switches) {
      if (one.host_bridge) continue;
      const PcieLink& best = best_at[Depth(one)];
      PcieOf(fmt::format("switch {}", one.name), one.at.link, best, ", as the other switches have");
    }
  }

  int Depth(const Switch& one) const {
    int depth = 0;
    for (int parent = one.at.parent; parent >= 0; parent = node_.switches[parent].at.parent) ++depth;
    return depth;
  }

  // The nearest of `candidates` to a part, by class, then by bandwidth.
  Path Nearest(int part, const std::vector<int>& candidates) const {
    Path best;
    for (const int other : candidates) {
      const Path& path = paths_.At(part, other);
      if (other == part) continue;
      if (path.path_class < best.path_class ||
          (path.path_class == best.path_class && path.gigabytes > best.gigabytes)) {
        best = path;
      }
    }
    return best;
  }

  std::vector<int> Gpus() const {
    std::vector<int> gpus;
    for (size_t device = 0; device < node_.devices.size(); ++device) {
      if (Gpu(device)) gpus.push_back(paths_.Device(static_cast<int>(device)));
    }
    return gpus;
  }

  void Nics() {
    const std::vector<int> gpus = Gpus();
    if (gpus.empty() || node_.nics.empty()) return;
    for (int nic = 0; nic < paths_.nic_count; ++nic) {
      const Path mine = Nearest(paths_.Nic(nic), gpus);
      Path best = mine;
      for (int other = 0; other < paths_.nic_count; ++other) {
        if (node_.nics[other].gigabits != node_.nics[nic].gigabits) continue;
        const Path path = Nearest(paths_.Nic(other), gpus);
        if (path.path_class < best.path_class) best = path;
      }
      const bool near_elsewhere = best.path_class <= PathClass::kPxb && mine.path_class > PathClass::kPxb;
      if (!near_elsewhere && mine.path_class < PathClass::kSys) continue;
      Find("cluster.nic-far", fmt::format("nic {}", node_.nics[nic].name),
           fmt::format("{} from its nearest device; expected {}", PathClassName(mine.path_class),
                       near_elsewhere ? "PIX or PXB, as other cards have" : "a device on its socket"),
           Lost(best, mine));
    }
    std::vector<int> nics(paths_.nic_count);
    for (int nic = 0; nic < paths_.nic_count; ++nic) nics[nic] = paths_.Nic(nic);
    Outliers(gpus, nics, "cluster.nic-far", "from its nearest network card");
  }

  // A short form of modules whose links differ by machine says none, though there are some.
  bool LinksUntold(const std::vector<int>& gpus) const {
    return node_.links.empty() && std::all_of(gpus.begin(), gpus.end(), [&](int gpu) {
             const DeviceModel* const row = FindDeviceModel(node_.devices[gpu].model);
             return row != nullptr && row->joined == Joined::kVaries;
           });
  }

  void Peers() {
    const std::vector<int> gpus = Gpus();
    if (gpus.size() < 2 || LinksUntold(gpus)) return;
    Outliers(gpus, gpus, "cluster.peer-far", "from its nearest device");
    // NCCL, v2.27.7-1, src/graph/paths.cc, ncclTopoCheckP2p: past PXB traffic goes through host memory, but for pairs
    // on AMD's processors.
    const bool amd_pair = gpus.size() == 2 && !node_.sockets.empty() && node_.sockets[0].vendor == "AuthenticAMD";
    PathClass nearest = PathClass::kNet;
    double best = 0, link = 0;  // of the nearest pairs, and of the devices' own links, which a switch above would use
    for (const int gpu : gpus) {
      const Path path = Nearest(gpu, gpus);
      if (path.path_class <= PathClass::kPxb) return;
      nearest = std::min(nearest, path.path_class);
      if (PcieKnown(node_.devices[gpu].at.link)) link = std::max(link, PcieGigabytes(node_.devices[gpu].at.link));
      if (path.known) best = std::max(best, static_cast<double>(path.gigabytes));
    }
    if (amd_pair || node_.sockets.empty() || std::ranges::count(node_.completed, kLinksNotTold) > 0) return;
    Find("cluster.no-peer-access", "all devices",
         fmt::format("no pair nearer than {}: NCCL goes through host memory{}", PathClassName(nearest),
                     best > 0 ? fmt::format(", at {:.1f} GB/s at most", best) : ""),
         best > 0 ? std::max(0.0, link - best) : 0);
  }

  // Devices that are a host bridge or more from all `others`, where more than half of the devices have one near.
  void Outliers(const std::vector<int>& gpus, const std::vector<int>& others, std::string_view id,
                std::string_view from) {
    size_t near_count = 0;
    Path near;  // the widest of them that is known
    for (const int gpu : gpus) {
      const Path path = Nearest(gpu, others);
      if (path.path_class > PathClass::kPxb) continue;
      ++near_count;
      if (path.known && path.gigabytes > near.gigabytes) near = path;
    }
    if (near_count * 2 <= gpus.size()) return;
    for (const int gpu : gpus) {
      const Path path = Nearest(gpu, others);
      if (path.path_class <= PathClass::kPxb || (id == "cluster.peer-far" && without_nvlink_[gpu])) continue;
      Find(id, Device(gpu),
           fmt::format("{} {}; {} of {} devices have PXB or nearer", PathClassName(path.path_class), from, near_count,
                       gpus.size()),
           Lost(near, path));
    }
  }

  const Node& node_;
  const Paths paths_;
  std::vector<Finding>& findings_;
  std::vector<bool> without_nvlink_;
};

// What nodes are compared by: all but names, addresses, bus ids and what a source left out.
Node ShapeOf(const Node& node) {
  Node shape = node;
  shape.name.clear();
  shape.address.clear();
  shape.completed.clear();
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
  shape.completed.clear();
  for (Device& device : shape.devices) device.bus_id.clear();
  // Whether there is one says whether the card is the host's.
  for (Nic& nic : shape.nics) nic.bus_id = nic.bus_id.empty() ? "" : "0000:00:00.0";
  return shape;
}

// Nodes of one shape are judged once, and shapes up to as many pairs of parts as are shown.
void JudgeNodes(const Cluster& cluster, std::vector<Finding>& findings) {
  std::vector<Node> shapes;
  std::vector<std::vector<Finding>> of_shape;
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
      NodeJudge(shapes.back(), of_shape.emplace_back()).Judge();
    }
    for (Finding finding : of_shape[at]) {
      finding.place = fmt::format("{}: {}", node.name, finding.place);
      findings.push_back(std::move(finding));
    }
  }
  if (left.empty()) return;
  const FindingKind& kind = KindOf("cluster.not-judged");
  findings.push_back(
      {kind.id, left.size() == 1 ? std::string(left[0]) : fmt::format("{} and {} more", left[0], left.size() - 1),
       fmt::format("unlike nodes with more than {} pairs of devices, nics and sockets in all; the others "
                   "were looked at",
                   kMaxShownPairs),
       0, kind.mend});
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
    findings.push_back(
        {kind.id, cluster.nodes[node].name, Difference(shapes[shape_of[node]], shapes[usual]), 0, kind.mend});
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
  size_t devices = 0, nics = 0, links_untold = 0, rates_untold = 0;
  for (const Node& node : cluster.nodes) {
    devices += node.devices.size();
    nics += node.nics.size();
    for (const Device& one : node.devices) links_untold += one.kind != DeviceKind::kCpu && !PcieKnown(one.at.link);
    for (const Nic& one : node.nics) rates_untold += !(one.gigabits > 0);
  }
  const auto count = [](size_t number, std::string_view what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
  };
  std::string text = fmt::format(
      "sound: looked at {}, {} and {}: NVLinks, PCIe links, where and how fast network cards are, peer access, and "
      "whether devices and nodes are alike\n",
      count(cluster.nodes.size(), "node"), count(devices, "device"), count(nics, "network card"));
  if (links_untold > 0)
    text += fmt::format("not told, so not judged: the PCIe link of {}\n", count(links_untold, "device"));
  if (rates_untold > 0) {
    text += fmt::format("not told, so not judged: the rate of {}\n", count(rates_untold, "network card"));
  }
  return text;
}

std::string FindingsText(std::span<const Finding> findings) {
  std::string text;
  for (const Finding& one : findings) {
    text += fmt::format("{}  {}\n  {}\n", one.id, one.place, one.what);
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
    json["place"] = one.place;
    json["what"] = one.what;
    json["cost_gigabytes"] = std::round(one.cost_gigabytes * 10) / 10;
    json["mend"] = one.mend;
    list.push_back(std::move(json));
  }
  return DumpJson(list) + '\n';
}

}  // namespace mrs::cluster
