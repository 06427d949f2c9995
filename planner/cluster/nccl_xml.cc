#include "planner/cluster/nccl_xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "planner/cluster/limits.h"
#include "planner/cluster/map_reader.h"
#include "planner/cluster/paths.h"
#include "planner/cluster/xml_place.h"

namespace mrs::cluster {
namespace {

constexpr int64_t kMaxOrdinal = 1023;  // as in a cluster file
constexpr int64_t kMaxLinks = 64;      // of one pair, as in a cluster file
// No card is faster: ConnectX-9 has 1.6 Tbit/s (https://www.nvidia.com/en-us/networking/ethernet-adapters/). Plugins
// that count in other units write 200000000 for 200 Gbit/s.
constexpr int64_t kMaxMegabits = 3200000;

// What a PCI class is to NCCL: kvDictPciClass of topo.cc; AMD's accelerators (0x12) as in RCCL's.
enum class PciKind { kNone, kGpu, kNic, kFabric, kCpu, kBridge, kOther };

PciKind KindOf(std::string_view pci_class) {
  if (pci_class.empty()) return PciKind::kNone;
  if (pci_class == "0x068001") return PciKind::kCpu;
  if (pci_class.starts_with("0x0680")) return PciKind::kFabric;
  if (pci_class.starts_with("0x03") || pci_class.starts_with("0x12")) return PciKind::kGpu;
  if (pci_class.starts_with("0x02")) return PciKind::kNic;
  return pci_class.starts_with("0x0604") ? PciKind::kBridge : PciKind::kOther;
}

// Network cards whose rate is a fact of the cloud, of the pages
// https://aws.amazon.com/ec2/instance-types/p4/ (4 cards, 400 Gbit/s) and .../p5/ (32 cards, 3200 Gbit/s).
double NicGigabits(int64_t vendor, int64_t device) {
  return vendor == 0x1d0f && (device == 0xefa0 || device == 0xefa1) ? 100 : 0;
}

// A device together with what is only needed until all are known.
struct Found {
  Device device;
  pugi::xml_node pci, gpu;  // gpu: empty in a skeleton
  std::string gcn;          // of AMD
  int64_t sm = 0;
};

struct Host {
  std::string hash;
  Node node;
  std::vector<Found> found;
  std::set<std::string> gpu_bus_ids, switch_names;
  std::map<std::string, std::string> nic_numbers;  // by name
  std::set<int> numas;
};

class Reader {
 public:
  Reader(XmlFaults* faults, const DeviceModel* model) : faults_(*faults), model_(model) {}

  Cluster Read(const pugi::xml_node& system) {
    for (const pugi::xml_node& cpu : system.children()) {
      if (cpu.type() != pugi::node_element) continue;
      if (std::string_view(cpu.name()) != "cpu") {
        faults_.Add(cpu, "expected <cpu> in <system>");
        break;
      }
      ReadCpu(cpu);
    }
    Cluster cluster;
    if (hosts_.empty()) faults_.Add(system, "no <cpu> in it; expected the sockets of a host");
    for (Host& host : hosts_) {
      if (faults_.any()) break;
      Finish(system, host);
      host.node.name = fmt::format("node-{}", cluster.nodes.size());
      cluster.nodes.push_back(std::move(host.node));
    }
    return cluster;
  }

 private:
  Host& HostOf(const pugi::xml_node& cpu) {
    const std::string hash = faults_.Text(cpu, "host_hash");
    const auto at = std::ranges::find(hosts_, hash, &Host::hash);
    if (at != hosts_.end()) return *at;
    if (hosts_.size() == kMaxNodes) faults_.Add(cpu, fmt::format("expected at most {} hosts", kMaxNodes));
    hosts_.emplace_back().hash = hash;
    return hosts_.back();
  }

  void ReadCpu(const pugi::xml_node& cpu) {
    if (faults_.any()) return;
    Host& host = HostOf(cpu);
    const std::optional<int64_t> numa = faults_.Number(cpu, "numaid", -1, 65535);
    if (!numa) faults_.Add(cpu, "numaid: expected the number of a NUMA node");
    // Without NUMA the kernel says -1.
    Socket socket{.numa = static_cast<int>(std::max<int64_t>(numa.value_or(0), 0)),
                  .arch = faults_.Text(cpu, "arch"),
                  .vendor = faults_.Text(cpu, "vendor"),
                  .cpu = {}};
    const auto family = faults_.Number(cpu, "familyid", 0, 65535), model = faults_.Number(cpu, "modelid", 0, 65535);
    if (family && model) socket.cpu = fmt::format("{}/{}", *family, *model);
    if (!host.numas.insert(socket.numa).second) {
      faults_.Add(cpu, fmt::format("a second <cpu> with numaid {}", socket.numa));
    }
    if (host.node.sockets.size() == kMaxPartsPerNode) {
      faults_.Add(cpu, fmt::format("expected at most {} <cpu> in a host", kMaxPartsPerNode));
    }
    const Attachment at{.socket = static_cast<int>(host.node.sockets.size())};
    host.node.sockets.push_back(std::move(socket));
    ReadInner(host, cpu, at);
  }

  // What hangs from a socket or switch; of a Broadcom switch's upper level, `broadcom` is its generation.
  void ReadInner(Host& host, const pugi::xml_node& outer, const Attachment& at, int broadcom = 0) {
    for (const pugi::xml_node& inner : outer.children()) {
      if (faults_.any()) return;
      if (inner.type() != pugi::node_element) continue;
      const std::string_view name = inner.name();
      if (name == "pci") {
        ReadPci(host, inner, at, broadcom);
      } else if (name == "nic") {
        ReadNic(host, inner, "", at);
      } else if (name != "pcilink") {  // a shortcut between switches, which is not one of the tree's
        faults_.Add(inner, fmt::format("expected <pci> or <nic> in <{}>", outer.name()));
      }
    }
  }

  PcieLink LinkOf(const pugi::xml_node& pci) {
    PcieLink link;
    std::string speed = faults_.Text(pci, "link_speed");
    const char* const begin = speed.data();
    double rate = 0;
    const auto [end, error] = std::from_chars(begin, begin + speed.size(), rate);
    if (error == std::errc()) {
      constexpr double kRates[] = {2.5, 5, 8, 16, 32, 64, 128};
      const std::string_view unit(end, static_cast<size_t>(begin + speed.size() - end));
      if ((unit == " GT/s" || unit == " GT/s PCIe") && std::ranges::find(kRates, rate) != std::end(kRates)) {
        link.gigatransfers = rate;
      } else {
        faults_.Add(
            pci, fmt::format("link_speed: expected a PCIe rate such as \"16.0 GT/s PCIe\", got {}", ShownXml(speed)));
      }
    } else if (!speed.empty() && !speed.starts_with("Unknown")) {
      faults_.Add(pci, fmt::format("link_speed: expected a PCIe rate such as \"16.0 GT/s PCIe\" or \"Unknown\", got {}",
                                   ShownXml(speed)));
    }
    const int64_t width = faults_.Number(pci, "link_width", 0, 255).value_or(0);
    constexpr int64_t kWidths[] = {0, 1, 2, 4, 8, 12, 16, 32};
    // 63 and 255 are the kernel's words for a link without a width.
    if (std::ranges::find(kWidths, width) != std::end(kWidths)) {
      link.lanes = static_cast<int>(width);
    } else if (width != 63 && width != 255) {
      faults_.Add(pci,
                  fmt::format("link_width: expected 1, 2, 4, 8, 12, 16 or 32 lanes, 0 for unknown, got {}", width));
    }
    return link;
  }

  // Broadcom's switches of PCIe 4.0 and 5.0 show two levels where there is one switch, and NCCL takes them for one
  // (getBcmGen and ncclTopoFlattenBcmSwitches in src/graph/topo.cc, 2.27.7). The generation, or 0.
  int BroadcomOf(const pugi::xml_node& pci, int64_t level) {
    const auto id = [&](const char* name) { return faults_.Number(pci, name, 0, 0xffff).value_or(0); };
    if (id("vendor") != 0x1000 || id("subsystem_vendor") != 0x1000) return 0;
    const int64_t device = id("device"), kind = id("subsystem_device") & 0xf000;
    if (device == 0xc010 && kind == 0xa000) return 4;
    return device == 0xc030 && kind == level * 0x1000 ? 5 : 0;
  }

  void ReadPci(Host& host, const pugi::xml_node& pci, Attachment at, int broadcom) {
    const std::string said = faults_.Text(pci, "busid");
    const std::optional<std::string> bus_id = NormalizedBusId(said);
    if (!bus_id) {
      return faults_.Add(pci, fmt::format("busid: expected a PCI bus id such as 0000:17:00.0, got {}", ShownXml(said)));
    }
    at.link = LinkOf(pci);
    const std::string pci_class = faults_.Text(pci, "class");
    const PciKind kind = KindOf(pci_class);
    const bool has_gpu = !pci.child("gpu").empty(), has_nic = !pci.child("nic").empty();
    const bool has_pci = !pci.child("pci").empty();
    if (kind == PciKind::kNone && !has_gpu && !has_nic && !has_pci) {
      faults_.Add(
          pci,
          "class: expected the PCI class, which says what this is, such as 0x030200 for a GPU; NCCL looks up on "
          "the machine what is left out here: give the file that NCCL_TOPO_DUMP_FILE writes there");
    }
    if (faults_.any()) return;
    // A display adapter of a maintenance board is no GPU of ours.
    const int64_t vendor = faults_.Number(pci, "vendor", 0, 0xffff).value_or(0);
    const bool known_maker = vendor == 0 || vendor == 0x10de || vendor == 0x1002;
    if (has_gpu || (kind == PciKind::kGpu && known_maker)) {
      ReadGpu(host, pci, *bus_id, vendor, at);
    } else if (has_nic) {
      for (const pugi::xml_node& nic : pci.children("nic")) ReadNic(host, nic, *bus_id, at);
    } else if (kind == PciKind::kNic) {
      const int64_t device = faults_.Number(pci, "device", 0, 0xffff).value_or(0);
      const double gigabits = NicGigabits(vendor, device);
      if (gigabits > 0) {
        host.node.completed.push_back(
            fmt::format("nic {}: {} Gbit/s, as its PCI id {:04x}:{:04x} has", *bus_id, gigabits, vendor, device));
      }
      AddNic(host, pci, {.name = *bus_id, .gigabits = gigabits, .gpu_direct = false, .bus_id = *bus_id, .at = at});
    } else if (broadcom != 0 && BroadcomOf(pci, 1) == broadcom) {
      ReadInner(host, pci, {.socket = at.socket, .parent = at.parent});
    } else if (kind == PciKind::kBridge || has_pci) {
      // Files put together by hand have two switches at one bus id; NCCL takes them for two.
      std::string switch_name = *bus_id;
      for (int n = 2; !host.switch_names.insert(switch_name).second; ++n)
        switch_name = fmt::format("{}-{}", *bus_id, n);
      if (host.node.switches.size() == kMaxPartsPerNode) {
        return faults_.Add(pci, fmt::format("expected at most {} switches in a host", kMaxPartsPerNode));
      }
      const int index = static_cast<int>(host.node.switches.size());
      host.node.switches.push_back({.name = std::move(switch_name), .host_bridge = false, .at = at});
      ReadInner(host, pci, {.socket = at.socket, .parent = index}, BroadcomOf(pci, 0));
    }
  }

  // Whether a device cannot be of that model: another maker's, or of another compute capability.
  static bool Unlike(const DeviceModel& row, const Found& found, int64_t vendor) {
    if (found.device.kind == DeviceKind::kRocm) return row.kind != DeviceKind::kRocm;
    if (vendor == 0x10de && row.kind != DeviceKind::kCuda) return true;
    return found.sm != 0 && found.sm != row.sm;
  }
  static std::string KindText(const DeviceModel& row) {
    return row.kind == DeviceKind::kRocm ? fmt::format("AMD's, {}", row.gcn)
                                         : fmt::format("NVIDIA's, with sm {}", row.sm);
  }

  void ReadGpu(Host& host, const pugi::xml_node& pci, const std::string& bus_id, int64_t vendor, const Attachment& at) {
    Found found{.device = {.bus_id = bus_id, .at = at}, .pci = pci, .gpu = pci.child("gpu"), .gcn = {}};
    found.device.ordinal = -1;
    if (!host.gpu_bus_ids.insert(bus_id).second) return faults_.Add(pci, fmt::format("a second GPU at {}", bus_id));
    for (const pugi::xml_node& inner : pci.children()) {
      if (inner.type() != pugi::node_element) continue;
      if (std::string_view(inner.name()) != "gpu") return faults_.Add(inner, "expected nothing but <gpu> in a GPU");
      // Several ranks may share a device; parts of one that are devices themselves are not there yet.
      // "mlopart": the number of such a part (NCCL 2.29).
      const std::string part = faults_.Text(inner, "mlopart");
      if (faults_.Number(inner, "dev", 0, kMaxOrdinal) != faults_.Number(found.gpu, "dev", 0, kMaxOrdinal) ||
          (!part.empty() && part != "-1")) {
        return faults_.Add(inner,
                           fmt::format("a second device at {}; GPUs cut into several are not there yet", bus_id));
      }
    }
    if (host.found.size() == kMaxDevicesPerNode) {
      return faults_.Add(pci, fmt::format("expected at most {} GPUs in a host", kMaxDevicesPerNode));
    }
    if (found.gpu) {
      const std::optional<int64_t> dev = faults_.Number(found.gpu, "dev", 0, kMaxOrdinal);
      if (!dev) return faults_.Add(found.gpu, "dev: expected the device's number");
      found.device.ordinal = static_cast<int>(*dev);
      found.sm = faults_.Number(found.gpu, "sm", 0, 4096).value_or(0);
      found.gcn = faults_.Text(found.gpu, "gcn");
    }
    if (vendor == 0x1002 || !found.gcn.empty()) found.device.kind = DeviceKind::kRocm;
    const int64_t device = faults_.Number(pci, "device", 0, 0xffff).value_or(0);
    const DeviceModel* row = FindDevicePci(static_cast<uint16_t>(vendor), static_cast<uint16_t>(device));
    if (row != nullptr && Unlike(*row, found, vendor)) {
      host.node.completed.push_back(fmt::format(
          "device at {}: sm {} is not that of {}, which its PCI id names; so its model is not taken from that", bus_id,
          found.sm, row->name));
      row = nullptr;
    }
    if (row == nullptr && model_ != nullptr && Unlike(*model_, found, vendor)) {
      return faults_.Add(found.gpu ? found.gpu : pci,
                         fmt::format("is no {}, which --model says: that is {}", model_->name, KindText(*model_)));
    }
    if (row == nullptr) row = model_;
    if (row != nullptr) {
      found.device.model = row->name;
      found.device.kind = row->kind;
      found.device.memory_bytes = row->memory_bytes;
    }
    host.found.push_back(std::move(found));
  }

  void ReadNic(Host& host, const pugi::xml_node& nic, const std::string& bus_id, const Attachment& at) {
    for (const pugi::xml_node& net : nic.children("net")) {
      if (faults_.any()) return;
      const std::string name = faults_.Text(net, "name");
      if (name.empty()) return faults_.Add(net, "name: expected a name");
      // NCCL leaves out cards without a number: they were merged into another.
      if (net.attribute("dev").empty()) continue;
      const std::string number = faults_.Text(net, "dev");
      faults_.Number(net, "dev", 0, kMaxOrdinal);
      // A card without a PCIe place is written for each socket that a rank is on.
      const auto [before, fresh] = host.nic_numbers.emplace(name, number);
      if (!fresh && before->second == number) continue;
      // The ports of one card have one name.
      const std::string port = faults_.Text(net, "port");
      const std::string own = fresh ? name : fmt::format("{}:{}", name, port.empty() ? number : port);
      int64_t megabits = faults_.Number(net, "speed", -1, 1000000000).value_or(0);
      if (megabits > kMaxMegabits) {
        host.node.completed.push_back(
            fmt::format("nic {}: without its rate, {} Mbit/s, which no card has", own, megabits));
        megabits = 0;
      }
      AddNic(host, net,
             {.name = own,
              .gigabits = megabits > 0 ? static_cast<double>(megabits) / 1000 : 0,
              .gpu_direct = faults_.Number(net, "gdr", 0, 1).value_or(0) == 1,
              .bus_id = bus_id,
              .at = at});
    }
  }

  void AddNic(Host& host, const pugi::xml_node& element, Nic nic) {
    if (faults_.any()) return;
    if (std::ranges::find(host.node.nics, nic.name, &Nic::name) != host.node.nics.end()) {
      return faults_.Add(element, fmt::format("a second network card '{}' in this host", nic.name));
    }
    if (host.node.nics.size() == kMaxPartsPerNode) {
      return faults_.Add(element, fmt::format("expected at most {} network cards in a host", kMaxPartsPerNode));
    }
    host.node.nics.push_back(std::move(nic));
  }

  void Finish(const pugi::xml_node& system, Host& host) {
    if (host.found.empty()) {
      return faults_.Add(system, "no GPU in a host of it; expected <gpu> elements, or PCI devices of class 0x03");
    }
    device_count_ += host.found.size();
    if (device_count_ > kMaxDevices) {
      return faults_.Add(system, fmt::format("expected at most {} GPUs in all", kMaxDevices));
    }
    const bool skeleton = std::ranges::none_of(host.found, [](const Found& one) { return !one.gpu.empty(); });
    Order(host);
    Node& node = host.node;
    std::map<std::string, int> by_bus_id;
    for (const Found& found : host.found) {
      by_bus_id.emplace(found.device.bus_id, static_cast<int>(node.devices.size()));
      node.devices.push_back(found.device);
    }
    links_untold_ = false;
    for (size_t i = 0; i < host.found.size() && !faults_.any(); ++i) {
      const Found& found = host.found[i];
      if (!found.device.model.empty()) {
        const bool said = faults_.Number(found.pci, "device", 0, 0xffff).has_value();
        const DeviceModel* const row = FindDeviceModel(found.device.model);
        node.completed.push_back(
            row == model_ && model_ != nullptr
                ? fmt::format("device {}: {} and its memory, as --model says", found.device.ordinal, found.device.model)
                : fmt::format("device {}: memory of {}{}", found.device.ordinal, found.device.model,
                              said ? ", which its PCI id names" : ""));
      }
      if (found.gpu) ReadLinks(node, by_bus_id, found, static_cast<int>(i));
    }
    if (skeleton) CompleteLinks(node);
    // NCCL asks the driver for what a skeleton leaves out.
    const auto may_have = [](const Device& device) {
      const DeviceModel* const row = FindDeviceModel(device.model);
      return row == nullptr || row->peer_links > 0;
    };
    const bool left_out = skeleton && node.links.empty() && std::ranges::any_of(node.devices, may_have);
    if (node.devices.size() > 1 && (left_out || links_untold_)) node.completed.emplace_back(kLinksNotTold);
  }

  // By ordinal; those that have none take the free ones in the order of their bus ids, as CUDA does by
  // CUDA_DEVICE_ORDER=PCI_BUS_ID.
  void Order(Host& host) {
    std::set<int> taken;
    bool any_free = false;
    for (const Found& found : host.found) {
      any_free = any_free || found.device.ordinal < 0;
      if (found.device.ordinal >= 0 && !taken.insert(found.device.ordinal).second) {
        faults_.Add(found.gpu, fmt::format("a second GPU with dev {}", found.device.ordinal));
      }
    }
    std::ranges::sort(host.found, {}, [](const Found& found) { return found.device.bus_id; });
    int next = 0;
    for (Found& found : host.found) {
      if (found.device.ordinal >= 0) continue;
      while (!taken.insert(next).second) ++next;
      found.device.ordinal = next;
    }
    if (any_free) host.node.completed.push_back("devices: ordinals by bus id");
    std::ranges::sort(host.found, {}, [](const Found& found) { return found.device.ordinal; });
  }

  void ReadLinks(Node& node, const std::map<std::string, int>& by_bus_id, const Found& found, int from) {
    const int ordinal = found.device.ordinal;
    std::map<std::pair<PeerKind, int>, PeerLink> bundles;
    const DeviceModel* const row = FindDeviceModel(found.device.model);
    for (const pugi::xml_node& link : found.gpu.children()) {
      if (link.type() != pugi::node_element) continue;
      const std::string_view name = link.name();
      if (name != "nvlink" && name != "xgmi" && name != "c2c") {
        return faults_.Add(link, "expected <nvlink>, <xgmi> or <c2c> in <gpu>");
      }
      const std::optional<int64_t> count = faults_.Number(link, "count", 1, kMaxLinks);
      if (!count) return faults_.Add(link, fmt::format("count: expected how many links, from 1 to {}", kMaxLinks));
      PeerLink made{.kind = name == "nvlink" ? PeerKind::kNvlink
                            : name == "xgmi" ? PeerKind::kXgmi
                                             : PeerKind::kC2c,
                    .from = from,
                    .to = kSocket,
                    .count = static_cast<int>(*count)};
      if (made.kind == PeerKind::kC2c) {  // "bw": MB/s of one link
        made.gigabytes = static_cast<double>(faults_.Number(link, "bw", 0, 10000000).value_or(0)) / 1000;
      } else {
        made.gigabytes = row != nullptr && row->peer == made.kind ? row->peer_gigabytes
                         : made.kind == PeerKind::kXgmi
                             ? (found.gcn.empty() ? 0 : XgmiGigabytes(found.gcn))
                             : (found.sm == 0 ? 0 : NvlinkGigabytes(static_cast<int>(found.sm)));
        const std::string target = faults_.Text(link, "target");
        const PciKind kind = KindOf(faults_.Text(link, "tclass"));
        const auto peer = by_bus_id.find(NormalizedBusId(target).value_or(""));
        if (kind == PciKind::kFabric) {
          made.to = kFabric;
        } else if (peer != by_bus_id.end() && peer->second != from) {
          made.to = peer->second;
        } else if (kind == PciKind::kGpu || kind == PciKind::kNone) {
          node.completed.push_back(fmt::format("device {}: without {} links to {}, which is {}", ordinal, *count,
                                               ShownXml(target),
                                               peer == by_bus_id.end() ? "not in the file" : "the device itself"));
          links_untold_ = links_untold_ || peer != by_bus_id.end();
          continue;
        } else if (kind != PciKind::kCpu) {
          return faults_.Add(link,
                             "tclass: expected the PCI class of a GPU (0x03...), an NVSwitch (0x068000) or a CPU "
                             "bridge (0x068001)");
        }
      }
      PeerLink& bundle = bundles.try_emplace({made.kind, made.to}, PeerLink{.count = 0}).first->second;
      made.count += bundle.count;
      if (made.count > kMaxLinks) return faults_.Add(link, fmt::format("expected at most {} links in all", kMaxLinks));
      bundle = made;
    }
    for (const auto& [key, bundle] : bundles) node.links.push_back(bundle);
  }

  // The modules of a skeleton, joined as the catalogue says.
  static void CompleteLinks(Node& node) {
    const int count = static_cast<int>(node.devices.size());
    for (int from = 0; from < count && count > 1; ++from) {
      const DeviceModel* const row = FindDeviceModel(node.devices[from].model);
      if (row == nullptr || row->joined == Joined::kPcie || row->joined == Joined::kVaries) continue;
      const bool fabric = row->joined == Joined::kSwitch;
      if (!fabric && count > row->peer_links + 1) continue;  // no mesh that there is
      for (int to = 0; to < (fabric ? 1 : count); ++to) {
        if (!fabric && to == from) continue;
        node.links.push_back({.kind = row->peer,
                              .from = from,
                              .to = fabric ? kFabric : to,
                              .count = fabric ? row->peer_links : 1,
                              .gigabytes = row->peer_gigabytes});
      }
      node.completed.push_back(fmt::format("device {}: {} links to {}, as {} has", node.devices[from].ordinal,
                                           fabric ? row->peer_links : count - 1,
                                           fabric ? "the NVSwitches" : "the others", row->name));
    }
  }

  XmlFaults& faults_;
  const DeviceModel* model_;
  std::vector<Host> hosts_;
  size_t device_count_ = 0;
  bool links_untold_ = false;  // of the host at hand: some are said to lead to where they begin
};

}  // namespace

Result<Cluster> ParseNcclXml(std::string_view text, std::string_view where, const DeviceModel* model) {
  pugi::xml_document doc;
  MRS_RETURN_IF_ERROR(LoadXml(text, where, &doc));
  XmlFaults faults{text, where};
  const pugi::xml_node root = doc.document_element();
  const std::string_view name = root.name();
  constexpr std::pair<std::string_view, std::string_view> kOthers[] = {
      {"graphs", "what NCCL found on a topology (NCCL_GRAPH_DUMP_FILE), not the topology"},
      {"algo", "a collective algorithm of MSCCL's, not a topology"},
      {"topology", "a topology of hwloc's (lstopo, xpu-smi), which is not read"},
      {"nvidia_smi_log", "what nvidia-smi -q -x writes, which does not say how devices are joined"},
  };
  const auto other = std::ranges::find(kOthers, name, &std::pair<std::string_view, std::string_view>::first);
  if (other != std::end(kOthers)) {
    faults.Add(root,
               fmt::format("this is {}; expected <system>: give the file that NCCL_TOPO_DUMP_FILE writes, or what "
                           "nvidia-smi topo -m prints",
                           other->second));
  } else if (name != "system") {
    faults.Add(root, "expected <system>, the outermost element of an NCCL topology");
  }
  const int64_t version = faults.Number(root, "version", 0, 1000000).value_or(0);
  if (!faults.any() && version != 1 && version != 2) {
    faults.Add(root, fmt::format("version: expected 1 (NCCL) or 2 (RCCL), got {}",
                                 ShownXml(root.attribute("version").value())));
  }
  if (faults.any()) return faults.status;
  Cluster cluster = Reader(&faults, model).Read(root);
  if (faults.any()) return faults.status;
  return cluster;
}

}  // namespace mrs::cluster
