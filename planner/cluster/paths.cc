#include "planner/cluster/paths.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "planner/cluster/catalogue.h"

namespace mrs::cluster {
namespace {

// Within one place (LOC_BW).
constexpr float kLocal = 5000.0f;

enum class Kind : uint8_t { kGpu, kPci, kFabric, kCpu, kHostBridge, kNic };

struct Link {
  int to = 0;
  PathClass path_class = PathClass::kLoc;  // kPix: of PCIe, whatever it crosses
  float gigabytes = 0;
  bool known = true;     // gigabytes is no default
  bool two_way = false;  // a link of the same class leads back
};

struct Vertex {
  Kind kind = Kind::kGpu;
  std::vector<Link> links;
};

bool OfHost(Kind kind) { return kind == Kind::kCpu || kind == Kind::kHostBridge; }

// Links between the same two add up, and the widest come first: ncclTopoConnectNodes.
void Connect(std::vector<Vertex>& graph, int from, int to, PathClass path_class, double gigabytes, bool known) {
  std::vector<Link>& links = graph[from].links;
  auto at = std::find_if(links.begin(), links.end(),
                         [&](const Link& link) { return link.to == to && link.path_class == path_class; });
  if (at == links.end()) at = links.insert(at, {.to = to, .path_class = path_class});
  at->gigabytes += static_cast<float>(gigabytes);
  at->known = at->known && known;
  while (at != links.begin() && (at - 1)->gigabytes < at->gigabytes) {
    std::iter_swap(at - 1, at);
    --at;
  }
}

void Join(std::vector<Vertex>& graph, int a, int b, PathClass path_class, double gigabytes, bool known) {
  Connect(graph, a, b, path_class, gigabytes, known);
  Connect(graph, b, a, path_class, gigabytes, known);
}

// A card of which nothing but its rate is known, such as a virtual machine's: its PCIe is not told, and no limit.
bool OfTheHost(const Nic& nic) {
  return nic.gigabits > 0 && nic.bus_id.empty() && nic.at == Attachment{.socket = nic.at.socket};
}

void MarkTwoWay(std::vector<Vertex>& graph) {
  std::set<std::tuple<int, int, PathClass>> all;
  for (size_t from = 0; from < graph.size(); ++from) {
    for (const Link& link : graph[from].links) all.insert({static_cast<int>(from), link.to, link.path_class});
  }
  for (size_t from = 0; from < graph.size(); ++from) {
    for (Link& link : graph[from].links) {
      link.two_way = all.contains({link.to, static_cast<int>(from), link.path_class});
    }
  }
}

// Vertices: devices, nics, sockets (as in Paths), then switches, then the fabric.
std::vector<Vertex> GraphOf(const Node& node) {
  const int nics = static_cast<int>(node.devices.size());
  const int sockets = nics + static_cast<int>(node.nics.size());
  const int switches = sockets + static_cast<int>(node.sockets.size());
  const int fabric = switches + static_cast<int>(node.switches.size());
  std::vector<Vertex> graph(fabric + 1);
  graph[fabric].kind = Kind::kFabric;
  const auto attach = [&](int vertex, Kind kind, const Attachment& at) {
    graph[vertex].kind = kind;
    const int parent = at.parent >= 0 ? switches + at.parent : sockets + at.socket;
    if (parent >= fabric || (at.parent < 0 && parent >= switches)) return;  // a node without sockets
    // A bridge within the CPU is no link of its own, and a card without a place is at the CPU.
    const bool on_die = kind == Kind::kHostBridge || (kind == Kind::kNic && OfTheHost(node.nics[vertex - nics]));
    Join(graph, vertex, parent, PathClass::kPix, on_die ? double{kLocal} : PcieGigabytes(at.link),
         on_die || PcieKnown(at.link));
  };
  for (size_t i = 0; i < node.sockets.size(); ++i) graph[sockets + i].kind = Kind::kCpu;
  for (const PeerLink& link : node.links) {
    const double gigabytes = PeerGigabytes(node, link);
    const bool known = PeerKnown(node, link);
    if (link.to == kSocket) {
      const int socket = sockets + node.devices[link.from].at.socket;
      const bool nvlink = link.kind == PeerKind::kNvlink;  // of POWER hosts
      const PathClass path_class = nvlink ? PathClass::kNvl : PathClass::kC2c;
      if (socket < switches) Join(graph, link.from, socket, path_class, gigabytes, known);
    } else if (link.to == kFabric) {
      Join(graph, link.from, fabric, PathClass::kNvl, gigabytes, known);
    } else {
      Connect(graph, link.from, link.to, PathClass::kNvl, gigabytes, known);
    }
  }
  for (size_t i = 0; i < node.devices.size(); ++i) {
    const bool cpu = node.devices[i].kind == DeviceKind::kCpu;
    if (!cpu) attach(static_cast<int>(i), Kind::kGpu, node.devices[i].at);
    // A CPU rank is where its socket is.
    const int socket = sockets + node.devices[i].at.socket;
    if (cpu && socket < switches) Join(graph, static_cast<int>(i), socket, PathClass::kLoc, kLocal, true);
  }
  for (size_t i = 0; i < node.nics.size(); ++i) attach(nics + static_cast<int>(i), Kind::kNic, node.nics[i].at);
  for (size_t i = 0; i < node.switches.size(); ++i) {
    attach(switches + static_cast<int>(i), node.switches[i].host_bridge ? Kind::kHostBridge : Kind::kPci,
           node.switches[i].at);
  }
  for (size_t a = 0; a < node.sockets.size(); ++a) {
    for (size_t b = 0; b < node.sockets.size(); ++b) {
      if (a == b) continue;
      Connect(graph, sockets + static_cast<int>(a), sockets + static_cast<int>(b), PathClass::kSys,
              InterSocketGigabytes(node.sockets[a]), InterSocketKnown(node.sockets[a]));
    }
  }
  MarkTwoWay(graph);
  return graph;
}

// Breadth first from `base`, as ncclTopoSetPaths does it: a place is reached anew only by more bandwidth and no more
// hops.
std::vector<Path> PathsFrom(const std::vector<Vertex>& graph, int base) {
  std::vector<Path> paths(graph.size());
  std::vector<int> wave = {base};
  paths[base] = {PathClass::kLoc, kLocal, true, 0};
  while (!wave.empty()) {
    std::vector<int> next;
    for (const int from : wave) {
      for (const Link& link : graph[from].links) {
        const Kind kind = graph[from].kind, to_kind = graph[link.to].kind;
        const Path path = paths[from];
        const float gigabytes = std::min(path.gigabytes, link.gigabytes);
        // Through a GPU only once, and only by NVLink to a GPU; through a card never.
        const bool nvlink_on = link.path_class == PathClass::kNvl && to_kind == Kind::kGpu && path.hops <= 1;
        if (from != base && ((kind == Kind::kGpu && !nvlink_on) || kind == Kind::kNic)) continue;
        Path& known = paths[link.to];
        if (!((known.gigabytes == 0 || known.hops > path.hops) && known.gigabytes < gigabytes)) continue;
        // NCCL refuses a host whose links lead one way only; here they are as if they were not, and findings.h says so.
        if (!link.two_way) continue;
        PathClass path_class = link.path_class;
        if (kind == Kind::kPci && to_kind == Kind::kPci) path_class = PathClass::kPxb;
        if (link.path_class == PathClass::kPix && (OfHost(kind) || OfHost(to_kind))) path_class = PathClass::kPhb;
        const bool second = path.hops >= 1;
        if (kind == Kind::kGpu && path.path_class == PathClass::kNvl && path_class == PathClass::kNvl && second) {
          path_class = PathClass::kNvb;
        }
        known = {std::max(path.path_class, path_class), gigabytes, path.known && link.known, path.hops + 1};
        if (std::find(next.begin(), next.end(), link.to) == next.end()) next.push_back(link.to);
      }
    }
    wave = std::move(next);
  }
  return paths;
}

// "6/143": family and model as nccl_xml.h writes them.
int IntelModel(const Socket& socket) {
  const std::string_view cpu = socket.cpu;
  if (!cpu.starts_with("6/")) return 0;
  int model = 0;
  std::from_chars(cpu.data() + 2, cpu.data() + cpu.size(), model);
  return model;
}

}  // namespace

std::string_view PathClassName(PathClass path_class) {
  constexpr std::string_view kNames[] = {"LOC", "NVL", "NVB", "C2C", "PIX", "PXB", "PHB", "SYS", "NET"};
  return kNames[static_cast<size_t>(path_class)];
}

double NvlinkGigabytes(int sm) {
  if (sm >= 100) return 40.1;
  if (sm >= 90) return 20.6;
  if (sm == 86) return 12.0;
  if (sm >= 60 && sm < 70) return 18.0;
  return 20.0;
}

double XgmiGigabytes(std::string_view gcn) {
  if (gcn.starts_with("gfx94") || gcn.starts_with("94") || gcn.starts_with("gfx95") || gcn.starts_with("95")) {
    return 48.0;
  }
  return gcn.starts_with("gfx90a") || gcn == "910" ? 36.0 : 24.0;  // RCCL counts gfx90a as 910
}

// kvDictPciGen: units of 100 Mbit/s a lane, 60 where the rate is not known; x16 where the width is not. 2.5 and 5 GT/s
// carry 8 bits in 10, and NCCL has 15 and 30 for them.
double PcieGigabytes(const PcieLink& link) {
  const double each = link.gigatransfers <= 5 ? 6 : 7.5;
  const double units = link.gigatransfers > 0 ? link.gigatransfers * each : 60;
  return (link.lanes > 0 ? link.lanes : 16) * units / 80.0;
}

double PeerGigabytes(const Node& node, const PeerLink& link) {
  const DeviceModel* const model = FindDeviceModel(node.devices[link.from].model);
  double each = link.gigabytes > 0 ? link.gigabytes : 0;
  if (link.kind == PeerKind::kNvlink) {
    if (model != nullptr && model->sm > 0) {
      each = NvlinkGigabytes(model->sm);
    } else if (each == 0) {
      each = NvlinkGigabytes(0);
    }
  } else if (link.kind == PeerKind::kXgmi && model != nullptr && !model->gcn.empty()) {
    each = XgmiGigabytes(model->gcn);
  } else if (link.kind == PeerKind::kXgmi && each == 0) {
    each = XgmiGigabytes("");
  } else if (link.kind == PeerKind::kC2c && each == 0) {
    each = kLocal;
  }
  return each * link.count;
}

bool PcieKnown(const PcieLink& link) { return link.gigatransfers > 0 && link.lanes > 0; }

bool PeerKnown(const Node& node, const PeerLink& link) {
  if (link.gigabytes > 0) return true;
  const DeviceModel* const model = FindDeviceModel(node.devices[link.from].model);
  if (model == nullptr) return false;
  return link.kind == PeerKind::kNvlink ? model->sm > 0 : link.kind == PeerKind::kXgmi && !model->gcn.empty();
}

bool InterSocketKnown(const Socket& socket) {
  // Intel's differ by model, and NCCL takes the oldest where it does not know it.
  const bool model_counts = socket.arch == "x86_64" && socket.vendor == "GenuineIntel";
  return InterSocketGigabytes(socket) < kLocal && (!model_counts || IntelModel(socket) > 0);
}

// ncclTopoGetInterCpuBw.
double InterSocketGigabytes(const Socket& socket) {
  if (socket.arch == "ppc64") return 32.0;
  if (socket.arch == "arm64" || socket.arch == "aarch64") return 6.0;
  if (socket.arch != "x86_64") return kLocal;
  if (socket.vendor == "AuthenticAMD") return 16.0;
  if (socket.vendor == "CentaurHauls" || socket.vendor == "  Shanghai  ") return socket.cpu == "7/91" ? 9.0 : 6.0;
  if (socket.vendor != "GenuineIntel") return kLocal;
  const int model = IntelModel(socket);
  return model >= 0xCF ? 40.0 : model >= 0x8F ? 22.0 : model >= 0x55 ? 10.0 : 6.0;
}

Paths PathsOf(const Node& node) {
  Paths out{.device_count = static_cast<int>(node.devices.size()),
            .nic_count = static_cast<int>(node.nics.size()),
            .socket_count = static_cast<int>(node.sockets.size()),
            .table = {}};
  const std::vector<Vertex> graph = GraphOf(node);
  const int count = out.count();
  out.table.resize(static_cast<size_t>(count) * count);
  for (int base = 0; base < count; ++base) {
    const std::vector<Path> paths = PathsFrom(graph, base);
    for (int from = 0; from < count; ++from) out.table[static_cast<size_t>(from) * count + base] = paths[from];
  }
  // Within one place, and where nothing joins two, there is no figure.
  for (Path& path : out.table) path.known = path.known && path.gigabytes > 0 && path.gigabytes < kLocal;
  // A card passes on no more than its own rate.
  for (int nic = 0; nic < out.nic_count; ++nic) {
    const bool known = node.nics[nic].gigabits > 0;
    const float rate = static_cast<float>(node.nics[nic].gigabits / 8);
    for (int other = 0; other < count; ++other) {
      if (other == out.Nic(nic)) continue;
      for (Path* path : {&out.table[static_cast<size_t>(out.Nic(nic)) * count + other],
                         &out.table[static_cast<size_t>(other) * count + out.Nic(nic)]}) {
        if (known) path->gigabytes = std::min(path->gigabytes, rate);
        path->known = path->known && known;
      }
    }
  }
  return out;
}

ClusterPaths PathsOf(const Cluster& cluster) {
  ClusterPaths out{
      .tables = {}, .table_of = {}, .domain_of = {}, .fabrics = {}, .network_gigabytes = cluster.network_gigabits / 8};
  std::vector<Node> shapes;
  std::map<std::string_view, int> domains;
  for (const Node& node : cluster.nodes) {
    Node shape = node;
    shape.name.clear();
    shape.address.clear();
    shape.nvlink_domain.clear();
    const std::string_view domain = node.nvlink_domain;
    out.domain_of.push_back(domain.empty() ? -1
                                           : domains.emplace(domain, static_cast<int>(domains.size())).first->second);
    const auto at = std::find(shapes.begin(), shapes.end(), shape);
    out.table_of.push_back(static_cast<int>(at - shapes.begin()));
    if (at != shapes.end()) continue;
    out.tables.push_back(PathsOf(node));
    std::vector<Path>& fabric = out.fabrics.emplace_back(node.devices.size());
    for (const PeerLink& link : node.links) {
      if (link.kind != PeerKind::kNvlink || link.to != kFabric) continue;
      Path& path = fabric[link.from];
      path = {PathClass::kNvl, path.gigabytes + static_cast<float>(PeerGigabytes(node, link)), PeerKnown(node, link),
              2};
    }
    shapes.push_back(std::move(shape));
  }
  return out;
}

Path ClusterPaths::ToOtherNodes(int node, int device) const {
  const Paths& paths = Of(node);
  float best = 0;  // of its cards
  for (int nic = 0; nic < paths.nic_count; ++nic) {
    const Path& path = paths.At(paths.Device(device), paths.Nic(nic));
    if (path.known) best = std::max(best, path.gigabytes);
  }
  const auto network = static_cast<float>(network_gigabytes);
  const float gigabytes = best > 0 && network > 0 ? std::min(best, network) : std::max(best, network);
  return {PathClass::kNet, gigabytes, gigabytes > 0, 0};
}

Path ClusterPaths::ToDomain(int node, int device) const { return fabrics[table_of[node]][device]; }

Path ClusterPaths::Between(int node_a, int device_a, int node_b, int device_b) const {
  if (node_a == node_b) return Of(node_a).At(device_a, device_b);
  if (domain_of[node_a] >= 0 && domain_of[node_a] == domain_of[node_b]) {
    const Path a = ToDomain(node_a, device_a), b = ToDomain(node_b, device_b);
    if (a.gigabytes > 0 && b.gigabytes > 0) {
      return {PathClass::kNvl, std::min(a.gigabytes, b.gigabytes), a.known && b.known, 2};
    }
  }
  const Path a = ToOtherNodes(node_a, device_a), b = ToOtherNodes(node_b, device_b);
  return a.gigabytes < b.gigabytes ? a : b;
}

std::vector<std::vector<int>> IslandsOf(const Node& node, const Paths& paths) {
  std::vector<std::vector<int>> islands;
  for (int device = 0; device < static_cast<int>(node.devices.size()); ++device) {
    const auto joined = [&](const std::vector<int>& island) {
      return std::all_of(island.begin(), island.end(),
                         [&](int other) { return paths.At(other, device).path_class <= PathClass::kNvl; });
    };
    const auto at = std::find_if(islands.begin(), islands.end(), joined);
    if (at == islands.end()) {
      islands.push_back({device});
    } else {
      at->push_back(device);
    }
  }
  return islands;
}

}  // namespace mrs::cluster
