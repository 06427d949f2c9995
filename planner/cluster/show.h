// A cluster as people look at it: each node's tree, and how far its parts are from each other.
//
//   node-0
//     socket 0  (NUMA 0, x86_64 GenuineIntel 6/106)
//       device 0  A100-PCIe-80GB, 80GiB, 0000:17:00.0  PCIe 16 GT/s x16  NVLink x12 to device 1
//   ...
//   GB/s      device 0   device 1   nic mlx5_0
//   device 0  LOC        NVL 240.0  PHB 12.5
#pragma once

#include <string>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

std::string ClusterText(const Cluster& cluster);

// {"nodes": [{"name": ..., "devices": [...], "nics": [...], "sockets": [...], "islands": [[0, 1]], "completed": [...],
//   "paths": [{"from": "device 0", "to": "device 1", "class": "NVL", "gigabytes": 240.0, "hops": 1}, ...]}]}
std::string ClusterJson(const Cluster& cluster);

}  // namespace mrs::cluster
