#include "planner/cluster/judge_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/node_shape.h"
#include "planner/cluster/paths.h"

namespace mrs::cluster {
namespace {

// Of one device: 18 from H100 to B300 (1.8 TB/s), twice as many for Rubin (3.6 TB/s;
// https://www.nvidia.com/en-us/data-center/nvlink/).
constexpr int kMostLinks = 36;

class NodeJudge {
 public:
  explicit NodeJudge(const Node& node) : node_(node), paths_(PathsOf(node)) {}

  std::vector<NodeFinding> Judge() {
    Asymmetry();
    Links();
    Mixed();
    PcieOfDevices();
    PcieOfNics();
    PcieOfSwitches();
    Nics();
    Peers();
    return std::move(findings_);
  }

 private:
  std::string Device(size_t device) const { return fmt::format("device {}", node_.devices[device].ordinal); }
  void Find(std::string_view id, const std::string& place, std::string what, double cost) {
    findings_.push_back({id, place, std::move(what), cost});
  }
  bool OnC2c(size_t device) const {
    return std::ranges::any_of(node_.links, [&](const PeerLink& link) {
      return link.kind == PeerKind::kC2c && link.from == static_cast<int>(device);
    });
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

  // How many links a device of that model has where all are joined; 0: only the others of its model say it.
  int Wired(const DeviceModel* row) const {
    if (row == nullptr || row->peer_links == 0 || row->joined == Joined::kVaries) return 0;
    const int others = static_cast<int>(node_.devices.size()) - 1;
    return row->joined == Joined::kMesh ? std::min(row->peer_links, others) : row->peer_links;
  }

  // Links of all devices, and what one of them carries.
  void Links() {
    const size_t count = node_.devices.size();
    without_links_.assign(count, false);
    if (std::ranges::count(node_.completed, kLinksNotTold) > 0) return;
    const std::vector<int> links = LinkCounts(node_);
    std::vector<double> each(count, 0);
    for (const PeerLink& link : node_.links) {
      if (link.kind != PeerKind::kC2c) each[link.from] = EachOf(link);
    }
    bool none_has_any = false;  // and that was said of all
    for (size_t device = 0; device < count; ++device) {
      if (!Gpu(device)) continue;
      const DeviceModel* const row = FindDeviceModel(node_.devices[device].model);
      const int wired = Wired(row);
      const int limit = row != nullptr && row->peer_links > 0 ? row->peer_links : kMostLinks;
      int most = 0, others_with = 0, others = 0;
      double rate = each[device];
      for (size_t other = 0; other < count; ++other) {
        if (other == device || node_.devices[other].model != node_.devices[device].model) continue;
        if (links[other] <= limit) most = std::max(most, links[other]);
        if (rate == 0) rate = each[other];
        ++others;
        others_with += links[other] > 0;
      }
      // Of a module all links are wired; a card's bridge is there or not.
      const bool module = wired > 0 && row->joined != Joined::kPcie && others > 0;
      if (wired > 0 && (links[device] > 0 || module)) most = std::max(most, wired);
      const char* const called = Called(device, row);
      if (links[device] > limit) {
        Find("cluster.nvlink-impossible", Device(device),
             fmt::format("{} {}s; {} has {}", links[device], called, limit != kMostLinks ? row->name : "a GPU", limit),
             rate * (links[device] - limit));
      } else if (links[device] == 0) {
        const bool alone = most > 0 && others_with == others && !LinksAreBridges(node_);
        if (!alone && !module) continue;
        without_links_[device] = true;
        if (others_with == 0 && none_has_any) continue;
        none_has_any = others_with == 0;
        Find("cluster.nvlink-missing", others_with > 0 ? Device(device) : "all devices",
             others_with > 0 ? fmt::format("no {}; the others of its model have {}", called, most)
                             : fmt::format("no {}; {} has {}", called, row->name, most),
             (rate > 0 || row == nullptr ? rate : RateOf(*row)) * most);
      } else if (links[device] < most && (wired > 0 || LinksAreEven(node_, node_.devices[device].model, most))) {
        Find("cluster.nvlink-degraded", Device(device), fmt::format("{} of {} {}s", links[device], most, called),
             rate * (most - links[device]));
      }
    }
  }

  static double RateOf(const DeviceModel& row) {
    return row.peer == PeerKind::kXgmi ? XgmiGigabytes(row.gcn) : NvlinkGigabytes(row.sm);
  }

  const char* Called(size_t device, const DeviceModel* row) const {
    const bool xgmi = std::ranges::any_of(node_.links, [&](const PeerLink& link) {
      return link.from == static_cast<int>(device) && link.kind == PeerKind::kXgmi;
    });
    return xgmi || (row != nullptr && row->peer == PeerKind::kXgmi) ? "xGMI link" : "NVLink";
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

  // `old_will_do`: an old generation by itself is nothing that is wrong here.
  void PcieOf(const std::string& place, const PcieLink& link, PcieLink best, std::string_view as,
              bool old_will_do = false) {
    const PcieLink fast{.gigatransfers = std::max(link.gigatransfers, best.gigatransfers), .lanes = link.lanes};
    const bool old = link.gigatransfers > 0 && link.gigatransfers <= 5 && !old_will_do;
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
      if (!Gpu(device) || OnC2c(device)) continue;  // PCIe beside C2C carries nothing
      const mrs::cluster::Device& one = node_.devices[device];
      const DeviceModel* const row = FindDeviceModel(one.model);
      PcieLink best{.gigatransfers = 0, .lanes = row != nullptr ? row->pcie_lanes : 0};
      for (const mrs::cluster::Device& other : node_.devices) {
        if (other.model == one.model) Widen(best, other.at.link);
      }
      PcieOf(Device(device), one.at.link, best, ", as its model and its like have");
    }
  }

  bool NearADevice(int nic) const { return Nearest(paths_.Nic(nic), Gpus()).path_class <= PathClass::kPxb; }

  // Whether two cards are held against each other: by their rate, or, where none is told, by where and how new they
  // are.
  bool Alike(int a, int b) const {
    const Nic &one = node_.nics[a], &other = node_.nics[b];
    if (one.gigabits != other.gigabits) return false;
    if (one.gigabits > 0) return true;
    const PathClass mine = Nearest(paths_.Nic(a), Gpus()).path_class;
    return mine <= PathClass::kPhb && mine == Nearest(paths_.Nic(b), Gpus()).path_class &&
           one.at.link.gigatransfers == other.at.link.gigatransfers;
  }

  // A card against those that are alike, and what it carries against its rate.
  void PcieOfNics() {
    for (int i = 0; i < paths_.nic_count; ++i) {
      const Nic& nic = node_.nics[i];
      // What devices within a chip say of a link that they do not have.
      const bool within = nic.at.link == PcieLink{.gigatransfers = 2.5, .lanes = 1} && nic.gigabits >= 10;
      const double carries = PcieGigabits(nic.at.link);
      if (within) continue;
      // What carries twice its rate lacks nothing, however the slots of its like are made.
      if (nic.gigabits > 0 && carries >= nic.gigabits * 2) continue;
      PcieLink best;
      size_t alike = 0, wider = 0;
      double most = 0;
      for (int other = 0; other < paths_.nic_count; ++other) {
        if (!Alike(i, other)) continue;
        ++alike;
        wider += node_.nics[other].at.link.lanes > nic.at.link.lanes;
        best.lanes = std::max(best.lanes, node_.nics[other].at.link.lanes);
        most = std::max(most, PcieGigabits(node_.nics[other].at.link));
      }
      if (nic.gigabits == 0 && wider * 2 <= alike) best.lanes = 0;
      const std::string place = fmt::format("nic {}", nic.name);
      const bool enough = nic.gigabits > 0 && carries >= nic.gigabits * 0.99;
      PcieOf(place, nic.at.link, best, nic.gigabits > 0 ? ", as cards of the same rate have" : ", as most cards have",
             enough);
      // All cards in slots of the host's old generation, of full width: so is the machine made.
      const bool by_design = nic.at.link.lanes >= 16 && carries >= most;
      if (nic.gigabits > 0 && carries > 0 && !enough && !by_design) {
        Find("cluster.nic-throttled", place,
             fmt::format("{} Gbit/s over PCIe that carries {:.0f}", nic.gigabits, carries),
             (nic.gigabits - carries) / 8);
      }
    }
  }

  // Switches of devices against those that hang as high, and others against their fastest card.
  void PcieOfSwitches() {
    const std::vector<bool> of_devices = SwitchesOfDevices(node_);
    struct Level {
      int lanes = 0;
      std::map<double, size_t> rates;  // how many switches have each
    };
    std::map<int, Level> levels;
    for (size_t i = 0; i < node_.switches.size(); ++i) {
      if (!of_devices[i] || node_.switches[i].host_bridge) continue;
      Level& level = levels[SwitchDepth(node_, i)];
      level.lanes = std::max(level.lanes, node_.switches[i].at.link.lanes);
      ++level.rates[node_.switches[i].at.link.gigatransfers];
    }
    for (size_t i = 0; i < node_.switches.size(); ++i) {
      const Switch& one = node_.switches[i];
      if (one.host_bridge) continue;
      const double fastest = FastestNicBelow(node_, i);
      if (!of_devices[i] && (fastest == 0 || PcieGigabits(one.at.link) >= fastest * 0.99)) continue;
      PcieLink best;
      bool usual = false;
      if (of_devices[i]) {
        const Level& level = levels[SwitchDepth(node_, i)];
        best.lanes = level.lanes;
        // Bridges within a package show any rate upwards: what most of several show is how they are made.
        size_t count = 0, most = 0;
        double rate = 0;
        for (const auto& [of, times] : level.rates) {
          count += times;
          if (times >= most) rate = of, most = times;
        }
        usual = count > 1 && one.at.link.gigatransfers >= rate;
      }
      PcieOf(fmt::format("switch {}", one.name), one.at.link, best, ", as the other switches have", usual);
    }
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
    std::vector<int> nics(paths_.nic_count);
    for (int nic = 0; nic < paths_.nic_count; ++nic) nics[nic] = paths_.Nic(nic);
    PathClass nearest = PathClass::kNet;  // of any card to any device
    for (const int gpu : gpus) nearest = std::min(nearest, Nearest(gpu, nics).path_class);
    for (int nic = 0; nic < paths_.nic_count; ++nic) {
      const Path mine = Nearest(paths_.Nic(nic), gpus);
      Path best = mine;
      for (int other = 0; other < paths_.nic_count; ++other) {
        if (node_.nics[other].gigabits != node_.nics[nic].gigabits) continue;
        const Path path = Nearest(paths_.Nic(other), gpus);
        if (path.path_class < best.path_class) best = path;
      }
      const bool near_elsewhere =
          best.path_class <= PathClass::kPxb && mine.path_class > PathClass::kPxb && Wanted(node_.nics[nic].gigabits);
      // More NUMA nodes than two may be parts of one socket.
      const bool parts = node_.sockets.size() > 2 || std::ranges::count(node_.completed, kOwnNumaNodes) > 0;
      if (!near_elsewhere && (nearest < PathClass::kSys || parts)) continue;
      Find("cluster.nic-far", fmt::format("nic {}", node_.nics[nic].name),
           fmt::format("{} from its nearest device; expected {}", PathClassName(mine.path_class),
                       near_elsewhere ? "PIX or PXB, as other cards have" : "a device on its socket"),
           Lost(best, mine));
    }
    Outliers(gpus, nics, "cluster.nic-far", "from its nearest network card");
    Uneven();
  }

  // Whether cards of that rate that are far were meant for devices: groups of devices lack no more of them than there
  // are far. Cards beyond those that devices use, for storage or management, may be anywhere.
  bool Wanted(double gigabits) const {
    const std::vector<NearCards> groups = CardsByGroup(node_, paths_, gigabits);
    const int usual = UsualCards(groups);
    int lacking = 0, far = 0;
    for (const NearCards& group : groups) lacking += std::max(0, usual - group.cards);
    for (int nic = 0; nic < paths_.nic_count; ++nic) far += node_.nics[nic].gigabits == gigabits && !NearADevice(nic);
    return lacking > 0 && lacking <= far;
  }

  // A card that was moved from the devices of one switch, or of one socket where cards have no switch, to those of
  // another: what these have more, those lack.
  void Uneven() {
    std::set<double> rates;
    for (const Nic& nic : node_.nics) rates.insert(nic.gigabits);
    for (const double rate : rates) {
      std::vector<NearCards> groups = CardsByGroup(node_, paths_, rate);
      const bool by_socket = groups.empty();
      if (by_socket) groups = CardsByGroup(node_, paths_, rate, PathClass::kPhb);
      const int usual = UsualCards(groups);
      int lacking = 0, beyond = 0;
      size_t as_usual = 0;
      for (const NearCards& group : groups) {
        lacking += std::max(0, usual - group.cards);
        beyond += std::max(0, group.cards - usual);
        as_usual += group.cards == usual;
      }
      if (lacking == 0 || lacking != beyond || as_usual * 2 < groups.size()) continue;
      for (const NearCards& group : groups) {
        if (group.cards >= usual || (group.cards == 0 && !by_socket)) continue;  // without any: an outlier
        for (const int gpu : group.gpus) {
          Find("cluster.nic-far", Device(gpu),
               fmt::format("{} of its {} network cards {}; others have {}", group.cards, usual,
                           by_socket ? "at its socket" : "near", usual + 1),
               0);
        }
      }
    }
  }

  void Peers() {
    const std::vector<int> gpus = Gpus();
    if (gpus.size() < 2 || LinksUntold(node_)) return;
    // A card over, where the others have bridges in pairs, is none that is far.
    const bool one_over = std::ranges::count(LinkCounts(node_), 0) == 1 && LinksAreBridges(node_);
    if (!one_over) Outliers(gpus, gpus, "cluster.peer-far", "from its nearest device");
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
    if (amd_pair || node_.sockets.empty()) return;
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
      if (path.path_class <= PathClass::kPxb || (id == "cluster.peer-far" && without_links_[gpu])) continue;
      Find(id, Device(gpu),
           fmt::format("{} {}; {} of {} devices have PXB or nearer", PathClassName(path.path_class), from, near_count,
                       gpus.size()),
           Lost(near, path));
    }
  }

  const Node& node_;
  const Paths paths_;
  std::vector<NodeFinding> findings_;
  std::vector<bool> without_links_;
};

}  // namespace

std::vector<NodeFinding> JudgeNode(const Node& node) { return NodeJudge(node).Judge(); }

bool LinksUntold(const Node& node) {
  if (std::ranges::count(node.completed, kLinksNotTold) > 0) return true;
  // A short form of modules whose links differ by machine says none, though there are some.
  const auto joins = [](const PeerLink& link) { return link.kind != PeerKind::kC2c; };
  size_t gpus = 0;
  for (const Device& device : node.devices) {
    if (device.kind == DeviceKind::kCpu) continue;
    const DeviceModel* const row = FindDeviceModel(device.model);
    if (row == nullptr || row->joined != Joined::kVaries) return false;
    ++gpus;
  }
  return gpus > 1 && std::ranges::none_of(node.links, joins);
}

}  // namespace mrs::cluster
