// The network cards of this host with their rates, as /sys says them; and the GPUs on its PCI bus, driver or none.
//
//   mlx5_0: InfiniBand, up, 400 Gbit/s, at 0000:18:00.0    eth0: Ethernet, up, 25 Gbit/s, at 0000:03:00.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/probe/sysfs.h"

namespace mrs::probe {

enum class NicKind : uint8_t { kEthernet, kInfiniband, kRoce };

struct NicFacts {
  std::string name;  // "mlx5_0" of RDMA, "eth0" of Ethernet; port 2 and on of one card: "mlx5_0:2"
  NicKind kind = NicKind::kEthernet;
  bool up = false;
  double gigabits = 0;  // per second; 0: not known (a virtual machine's card, or a link that is down)
  PciPlace place;
};

struct NicsFacts {
  std::vector<NicFacts> nics;  // RDMA first; a card that does RDMA is there with its Ethernet interface, too
  bool gpu_direct = false;     // nvidia_peermem is loaded: a card can read a GPU's memory
};

// Interfaces without a device (lo, bridges, tunnels) are none. `root` is "" but for tests.
NicsFacts ReadNics(const std::string& root = "");

struct BusGpu {
  std::string bus_id;
  std::string vendor;  // "nvidia" or "amd"
};

// Display and 3D controllers and processing accelerators of those vendors.
std::vector<BusGpu> ReadBusGpus(const std::string& root = "");

}  // namespace mrs::probe
