#include "planner/cluster/doctor_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/placed_json.h"
#include "planner/cluster/short_form.h"
#include "planner/cluster/units.h"

namespace mrs::cluster {
namespace {

constexpr std::string_view kFormat = "mrs-doctor 1";
// Links of one GPU and steps of one path, which limits.h does not know.
constexpr size_t kMaxLinks = 64, kMaxPath = 16;
constexpr uint64_t kMaxCores = 65536;

bool IsHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// "0000:18:00.0", perhaps with a longer domain.
bool IsBusId(std::string_view id) {
  constexpr std::string_view kForm = "xxxx:xx:xx.x";
  if (id.size() < kForm.size() || id.size() > kForm.size() + 4) return false;
  const std::string_view rest = id.substr(id.size() - kForm.size());
  if (!std::all_of(id.begin(), id.end() - static_cast<ptrdiff_t>(kForm.size()), IsHex)) return false;
  for (size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == 'x' ? !IsHex(rest[i]) : rest[i] != kForm[i]) return false;
  }
  return true;
}

std::string BusIdOf(const PlacedJson& value) {
  const std::string id = value.Text(kMaxNameBytes).value_or("");
  if (!id.empty() && !IsBusId(id)) value.Expect("a bus id like \"0000:18:00.0\"");
  return id;
}

// The catalogue's name, or else the driver's.
std::string ModelOf(const std::string& name) {
  const DeviceModel* const row = FindDeviceModel(name);
  return row == nullptr ? name : std::string(row->name);
}

class Importer {
 public:
  explicit Importer(PlacedJson root) : root_(std::move(root)) {}

  Cluster Import() {
    const PlacedJson name = root_.Key("host").Key("name");
    node_.name = name.Text(kMaxNameBytes).value_or("localhost");
    const bool plain = !node_.name.empty() && std::all_of(node_.name.begin(), node_.name.end(), [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_';
    });
    if (!plain) name.Expect("a host name");
    node_.memory_bytes = root_.Key("memory").Key("total_bytes").Number(1, kMaxBytes).value_or(0);
    node_.cores = static_cast<int>(root_.Key("cpu").Key("cores").Number(1, kMaxCores).value_or(0));
    Sockets();
    Gpus();
    Nics();
    if (node_.devices.empty()) node_.devices = CpuRanks(1);  // it shares all that the host has
    return {.name = node_.name, .nodes = {std::move(node_)}, .network_gigabits = 0};
  }

 private:
  void Sockets() {
    const PlacedJson cpu = root_.Key("cpu");
    Socket socket{.numa = 0,
                  .arch = root_.Key("host").Key("arch").Text(kMaxNameBytes).value_or(""),
                  .vendor = cpu.Key("vendor").Text(kMaxNameBytes).value_or(""),
                  .cpu = cpu.Key("model").Text(kMaxNameBytes).value_or("")};
    // By its numbers, as NCCL tells CPUs apart; reports before there were such fields have the name alone.
    if (cpu.Has("family") && cpu.Has("model_number")) {
      const auto family = cpu.Key("family").Number(0, 65535), model = cpu.Key("model_number").Number(0, 65535);
      if (family && model) socket.cpu = fmt::format("{}/{}", *family, *model);
    }
    std::set<int> seen;
    for (const PlacedJson& node : root_.Key("numa").Items(kMaxPartsPerNode)) {
      const PlacedJson number = node.Key("node");
      socket.numa = static_cast<int>(number.Number(0, 65535).value_or(0));
      if (!seen.insert(socket.numa).second) number.Refuse(fmt::format("node {} stands here twice", socket.numa));
      // Nodes of memory alone (a GPU's, or CXL's) are no sockets.
      if (!node.Key("cpus").Text(64 << 10).value_or("").empty()) node_.sockets.push_back(socket);
    }
    socket.numa = 0;
    if (node_.sockets.empty()) node_.sockets.push_back(socket);
  }

  // Where something hangs. `what` is how a note calls it, should its place not be known.
  Attachment AttachmentOf(const PlacedJson& value, const std::string& what) {
    Attachment at;
    const std::optional<uint64_t> numa = value.Key("numa").Number(0, 65535);
    const auto socket = std::find_if(node_.sockets.begin(), node_.sockets.end(),
                                     [&](const Socket& s) { return numa && s.numa == static_cast<int>(*numa); });
    if (socket != node_.sockets.end()) {
      at.socket = static_cast<int>(socket - node_.sockets.begin());
    } else if (node_.sockets.size() > 1) {
      node_.completed.push_back(fmt::format("{}: socket 0, as the kernel names none", what));
    }
    // A root port, then pairs of a switch's upstream and downstream ports.
    const std::vector<PlacedJson> path = value.Key("path").Items(kMaxPath);
    for (size_t i = 2; i + 1 < path.size(); i += 2) at.parent = SwitchAt(path[i], at);
    return at;
  }

  int SwitchAt(const PlacedJson& port, const Attachment& above) {
    const std::string name = BusIdOf(port);
    const auto found =
        std::find_if(node_.switches.begin(), node_.switches.end(), [&](const Switch& one) { return one.name == name; });
    if (found == node_.switches.end()) {
      if (node_.switches.size() == kMaxPartsPerNode) {
        port.Refuse(fmt::format("expected at most {} switches", kMaxPartsPerNode));
        return above.parent;
      }
      node_.switches.push_back({.name = name, .host_bridge = false, .at = above});
      return static_cast<int>(node_.switches.size()) - 1;
    }
    if (found->at != above) port.Refuse(fmt::format("switch {} hangs from two places", name));
    return static_cast<int>(found - node_.switches.begin());
  }

  static PcieLink LinkOf(const PlacedJson& pcie) {
    // The generation of now drops while a GPU is idle; the lanes stay.
    return {.gigatransfers = GigatransfersOf(static_cast<int>(pcie.Key("gen_max").Number(1, 6).value_or(0))),
            .lanes = static_cast<int>(pcie.Key("width").Number(1, 32).value_or(0))};
  }

  // Why CUDA has no GPUs to tell of although there are some, or "".
  std::string DriverFault(const PlacedJson& gpus, size_t device_count) const {
    if (const std::string error = gpus.Key("error").Text(kMaxNameBytes).value_or(""); !error.empty()) return error;
    const PlacedJson cuda = gpus.Key("cuda");
    const std::string error = cuda.Key("error").Text(kMaxNameBytes).value_or("");
    const bool hidden = !gpus.Key("environment").Key("CUDA_VISIBLE_DEVICES").is_null();
    constexpr uint64_t kNoDevice = 100;  // CUDA_ERROR_NO_DEVICE
    const bool none = cuda.Key("code").Number(0, INT32_MAX).value_or(0) == kNoDevice;
    if (device_count == 0 || error.empty() || (none && hidden)) return "";
    return error;
  }

  void Gpus() {
    const PlacedJson gpus = root_.Key("gpus");
    const std::vector<PlacedJson> known = gpus.Key("devices").Items(kMaxDevicesPerNode);
    const std::vector<PlacedJson> visible = gpus.Key("visible").Items(kMaxDevicesPerNode);
    if (const std::string fault = DriverFault(gpus, known.size()); !fault.empty()) {
      gpus.Refuse(
          fmt::format("the GPUs' driver failed there: {}; mend it (mrs-exec doctor says how), and make the "
                      "report anew",
                      fault));
      return;
    }
    std::map<std::string, size_t> by_bus_id;
    for (size_t i = 0; i < known.size(); ++i) {
      const PlacedJson at = known[i].Key("bus_id");
      const std::string id = BusIdOf(at);
      if (!id.empty() && !by_bus_id.emplace(id, i).second) at.Refuse(fmt::format("a second GPU at {}", id));
    }
    for (const PlacedJson& gpu : visible) {
      const PlacedJson at = gpu.Key("bus_id");
      const std::string id = BusIdOf(at);
      const auto found = by_bus_id.find(id);
      Visible(gpu, id, found == by_bus_id.end() ? nullptr : &known[found->second]);
    }
    for (size_t i = 0; i < visible.size(); ++i) {
      const auto found = by_bus_id.find(node_.devices[i].bus_id);
      if (found == by_bus_id.end()) continue;
      Nvlinks(known[found->second], static_cast<int>(i));
      C2c(known[found->second], static_cast<int>(i));
      Domain(known[found->second], static_cast<int>(i));
    }
  }

  // One GPU that CUDA counts. `known` is what NVML says of it, null where NVML is not there.
  void Visible(const PlacedJson& gpu, const std::string& bus_id, const PlacedJson* known) {
    Device device{.kind = DeviceKind::kCuda,
                  .model = ModelOf(gpu.Key("name").Text(kMaxNameBytes).value_or("")),
                  .memory_bytes = gpu.Key("memory_total_bytes").Number(1, kMaxBytes).value_or(0),
                  .ordinal = static_cast<int>(node_.devices.size()),
                  .bus_id = bus_id,
                  .at = {}};
    const PlacedJson ordinal = gpu.Key("ordinal");
    if (ordinal.Number(0, kMaxDevicesPerNode) != static_cast<uint64_t>(device.ordinal)) {
      ordinal.Expect(fmt::format("the ordinal {}, in their order", device.ordinal));
    }
    const std::string what = fmt::format("device {}", device.ordinal);
    const bool twice = std::any_of(node_.devices.begin(), node_.devices.end(),
                                   [&](const Device& one) { return !bus_id.empty() && one.bus_id == bus_id; });
    if (twice || (known != nullptr && !known->Key("mig").is_null() && known->Key("mig").Flag())) {
      gpu.Refuse(
          fmt::format("{} is a MIG instance of the GPU at {}; plans for MIG instances are not there yet: turn MIG off "
                      "(nvidia-smi -mig 0) and make the report anew",
                      what, bus_id));
    }
    if (known == nullptr) {
      node_.completed.push_back(fmt::format("{}: socket 0, as NVML was not there to say more", what));
    } else {
      if (const std::string error = known->Key("error").Text(kMaxNameBytes).value_or(""); !error.empty()) {
        known->Refuse(fmt::format("{} failed there: {}; mend it (mrs-exec doctor says how), and make the report anew",
                                  what, error));
      }
      // CUDA tells what of it is left for programs; everybody else (nvidia-smi, the catalogue) tells all of it.
      device.memory_bytes = known->Key("memory_total_bytes").Number(1, kMaxBytes).value_or(device.memory_bytes);
      device.at = AttachmentOf(*known, what);
      device.at.link = LinkOf(known->Key("pcie"));
    }
    node_.devices.push_back(std::move(device));
  }

  // The active links of a device, bundled by where they lead.
  void Nvlinks(const PlacedJson& gpu, int from) {
    std::map<int, PeerLink> bundles;
    int lost = 0;
    constexpr uint64_t kJoined = 3;  // nvmlGpuFabricState_t
    const bool on_fabric = gpu.Key("fabric_state").Number(0, 255) == kJoined;
    for (const PlacedJson& link : gpu.Key("nvlinks").Items(kMaxLinks)) {
      if (!link.Key("active").Flag()) continue;
      const PlacedJson end = link.Key("to");
      const std::string to = end.Text(kMaxNameBytes).value_or("");
      if (to != "gpu" && to != "switch" && to != "npu" && to != "unknown") {
        end.Expect("\"gpu\", \"switch\", \"npu\" or \"unknown\"");
      }
      const std::string bus_id = BusIdOf(link.Key("bus_id"));
      const auto peer = std::find_if(node_.devices.begin(), node_.devices.end(),
                                     [&](const Device& one) { return !bus_id.empty() && one.bus_id == bus_id; });
      int target = kFabric;
      if (peer != node_.devices.end()) {
        target = static_cast<int>(peer - node_.devices.begin());
        if (target == from) link.Refuse(fmt::format("device {} is linked with itself", from));
      } else if (to == "gpu") {
        continue;  // one that CUDA_VISIBLE_DEVICES hides
      } else if (to != "switch" && !(to == "unknown" && on_fabric)) {
        ++lost;
        continue;
      }
      PeerLink& bundle = bundles[target];
      const double gigabytes =
          static_cast<double>(link.Key("megabytes_a_second").Number(1, 1000000).value_or(0)) / 1000;
      const bool slower = gigabytes > 0 && (bundle.gigabytes == 0 || gigabytes < bundle.gigabytes);
      bundle = {.kind = PeerKind::kNvlink,
                .from = from,
                .to = target,
                .count = bundle.count + 1,
                .gigabytes = slower ? gigabytes : bundle.gigabytes};
    }
    for (const auto& [target, bundle] : bundles) node_.links.push_back(bundle);
    if (lost > 0) {
      node_.completed.push_back(
          fmt::format("device {}: without {} NVLinks, whose other end the driver does not tell", from, lost));
    }
  }

  // The fabric that hosts share, where this device's links lead to one.
  void Domain(const PlacedJson& gpu, int device) {
    if (!gpu.Has("fabric_cluster") || gpu.Key("fabric_cluster").is_null()) return;
    const std::string uuid = gpu.Key("fabric_cluster").Text(kMaxNameBytes / 2).value_or("");
    const uint64_t clique = gpu.Key("fabric_clique").Number(0, UINT32_MAX).value_or(0);
    const bool joins = std::any_of(node_.links.begin(), node_.links.end(), [&](const PeerLink& link) {
      return link.kind == PeerKind::kNvlink && link.from == device && link.to == kFabric;
    });
    if (!joins || uuid.empty()) return;
    const std::string domain = fmt::format("{}.{}", uuid, clique);
    if (node_.nvlink_domain.empty()) node_.nvlink_domain = domain;
    if (node_.nvlink_domain == domain) return;
    gpu.Refuse(
        fmt::format("device {} is of NVLink fabric {}, another of {}; plans for a node of several are not there "
                    "yet: hide one with CUDA_VISIBLE_DEVICES and make the report anew",
                    device, domain, node_.nvlink_domain));
  }

  // To its CPU; reports before there was such a field have none.
  void C2c(const PlacedJson& gpu, int from) {
    if (!gpu.Has("c2c")) return;
    PeerLink bundle{.kind = PeerKind::kC2c, .from = from, .to = kSocket, .count = 0};
    for (const PlacedJson& link : gpu.Key("c2c").Items(kMaxLinks)) {
      if (!link.Key("active").Flag()) continue;
      const double gigabytes =
          static_cast<double>(link.Key("megabytes_a_second").Number(1, 1000000).value_or(0)) / 1000;
      ++bundle.count;
      if (gigabytes > 0 && (bundle.gigabytes == 0 || gigabytes < bundle.gigabytes)) bundle.gigabytes = gigabytes;
    }
    if (bundle.count > 0) node_.links.push_back(bundle);
  }

  void Nics() {
    const bool gpu_direct = root_.Key("gpu_direct").Flag();
    const std::vector<PlacedJson> nics = root_.Key("nics").Items(kMaxPartsPerNode);
    std::set<std::string> rdma, names;  // of RDMA, the bus ids: their Ethernet interface is the same card
    for (const PlacedJson& nic : nics) {
      const PlacedJson name = nic.Key("name");
      if (!names.insert(name.Text(kMaxNameBytes).value_or("")).second) name.Refuse("a second card of this name");
      if (KindOf(nic) != "ethernet") rdma.insert(BusIdOf(nic.Key("bus_id")));
    }
    for (const PlacedJson& nic : nics) {
      const std::string kind = KindOf(nic), bus_id = BusIdOf(nic.Key("bus_id"));
      if (!nic.Key("up").Flag() || (kind == "ethernet" && !bus_id.empty() && rdma.contains(bus_id))) continue;
      const std::string name = nic.Key("name").Text(kMaxNameBytes).value_or("");
      if (name.empty()) nic.Key("name").Expect("a name");
      node_.nics.push_back({.name = name,
                            .gigabits = nic.Key("gigabits").Real(kMinGigabits, kMaxGigabits).value_or(0),
                            .gpu_direct = gpu_direct && kind != "ethernet",
                            .bus_id = bus_id,
                            .at = AttachmentOf(nic, fmt::format("nic {}", name))});
    }
  }

  static std::string KindOf(const PlacedJson& nic) {
    const PlacedJson kind = nic.Key("kind");
    const std::string text = kind.Text(kMaxNameBytes).value_or("");
    if (text != "ethernet" && text != "infiniband" && text != "roce") {
      kind.Expect("\"ethernet\", \"infiniband\" or \"roce\"");
    }
    return text;
  }

  PlacedJson root_;
  Node node_;
};

}  // namespace

Result<Cluster> ParseDoctorJson(std::string_view text, std::string_view where) {
  const JsonLimits limits{
      .max_bytes = kMaxDoctorBytes, .max_values = kMaxDoctorValues, .max_keys = 4096, .max_depth = 16};
  MRS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, where, limits));
  PlacedDocument document{.text = text, .where = where};
  const PlacedJson root(&document, &json);
  const PlacedJson format = root.Key("format");
  const std::string said = format.Text(kMaxNameBytes).value_or("");
  if (document.status.ok() && said != kFormat) {
    format.Refuse(said.starts_with("mrs-doctor ")
                      ? fmt::format("expected \"{}\", got \"{}\": the mrs-exec that made it is of another version than "
                                    "this mrs-plan; use the same of both",
                                    kFormat, said)
                      : fmt::format("expected \"{}\": this is no report of mrs-exec doctor --json", kFormat));
  }
  if (!document.status.ok()) return document.status;
  Cluster cluster = Importer(root).Import();
  if (!document.status.ok()) return document.status;
  return cluster;
}

}  // namespace mrs::cluster
