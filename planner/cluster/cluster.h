// The machines that a plan is made for: nodes, their devices and network cards, and how these are joined.
//
//   node "gpu-0"
//     socket 0 ── switch "0000:15:00.0" ──┬── device 0 (H100-SXM, 80 GiB)  ══ NVLink x 18 ══ an NVSwitch
//                                         └── nic "mlx5_0" (400 Gbit/s)
//     socket 1 ── ...
//
// Read from YAML (cluster_file.h), a short form (short_form.h), an import, or this host. What is not known is at its
// default and stays so: nothing here guesses. Whatever the source, CanonicalText (cluster_file.h) is what a plan holds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mrs::cluster {

enum class DeviceKind : uint8_t { kCpu, kCuda, kRocm };

// One lane's signalling rate and the number of lanes, as sysfs and NCCL say them; 0: not known.
struct PcieLink {
  double gigatransfers = 0;  // 2.5, 5, 8, 16, 32, 64 GT/s
  int lanes = 0;
  bool operator==(const PcieLink&) const = default;
};

// What a switch, device or nic hangs from: a switch of the node, or else a socket.
struct Attachment {
  int socket = 0;      // index into Node.sockets
  int parent = -1;     // index into Node.switches, which lies under that socket; -1: the socket itself
  PcieLink link = {};  // up to the parent
  bool operator==(const Attachment&) const = default;
};

struct Socket {
  int numa = 0;             // the kernel's number of the NUMA node
  std::string arch = {};    // "x86_64", "arm64"; "": not known
  std::string vendor = {};  // "GenuineIntel", "AuthenticAMD"
  std::string cpu = {};     // family and model as one word, or a marketing name
  bool operator==(const Socket&) const = default;
};

// A PCIe switch, or a host bridge (root complex) where a socket has several: crossing only the former is PIX or PXB,
// crossing the latter PHB.
struct Switch {
  std::string name = {};  // bus id, or a name that is unique on the node
  bool host_bridge = false;
  Attachment at = {};
  bool operator==(const Switch&) const = default;
};

struct Device {
  DeviceKind kind = DeviceKind::kCuda;
  std::string model = {};     // a name of the catalogue (catalogue.h) where there is one; "": not known
  uint64_t memory_bytes = 0;  // 0: not known
  int ordinal = 0;            // as the runtime counts them on this node, from 0
  std::string bus_id = {};    // "0000:17:00.0", lower case; "": not known
  Attachment at = {};
  bool operator==(const Device&) const = default;
};

struct Nic {
  std::string name = {};  // "mlx5_0"
  double gigabits = 0;    // per second; 0: not known
  bool gpu_direct = false;
  std::string bus_id = {};
  Attachment at = {};
  bool operator==(const Nic&) const = default;
};

enum class PeerKind : uint8_t { kNvlink, kXgmi, kC2c };

// Direct links of a device: to another device of the node, to the node's NVSwitch fabric, or to its socket (C2C).
struct PeerLink {
  PeerKind kind = PeerKind::kNvlink;
  int from = 0;          // index into Node.devices
  int to = -1;           // index into Node.devices; kFabric or kSocket below
  int count = 0;         // links bundled
  double gigabytes = 0;  // of one link and direction, per second; 0: the catalogue's
  bool operator==(const PeerLink&) const = default;
};
inline constexpr int kFabric = -1;  // NVSwitch: every device that has such a link reaches every other
inline constexpr int kSocket = -2;

// A line of Node.completed: devices may have links that the source leaves to the machine, or of which it does not tell
// where they lead. Such a node is not found to be without them.
inline constexpr std::string_view kLinksNotTold = "links between devices: not told; the machine may have some";
// Another: memory of devices is a NUMA node of its own, as beside a Grace CPU. Then what is SYS away is where it is
// made to be.
inline constexpr std::string_view kOwnNumaNodes = "devices: NUMA nodes of their own, so joined with their CPU by C2C";

struct Node {
  std::string name = {};
  std::string address = {};   // host name or IP address; "": not known
  uint64_t memory_bytes = 0;  // of the host; 0: not known
  int cores = 0;              // that ranks may use; 0: not known
  std::vector<Socket> sockets = {};
  std::vector<Switch> switches = {};
  std::vector<Device> devices = {};  // by ordinal
  std::vector<Nic> nics = {};
  std::vector<PeerLink> links = {};  // each pair and direction as the source says it; sound ones are symmetric
  // NVLink between nodes (NVL72): those of one name share the NVSwitch fabric that their devices' links lead to; "": it
  // is the node's own.
  std::string nvlink_domain = {};
  std::vector<std::string> completed = {};  // what a source left out, from the catalogue: "device 0: memory", ...
  bool operator==(const Node&) const = default;
};

struct Cluster {
  std::string name = {};
  std::vector<Node> nodes = {};
  double network_gigabits = 0;  // between nodes, of each node, where no nic says it; 0: not known
  bool operator==(const Cluster&) const = default;
};

}  // namespace mrs::cluster
