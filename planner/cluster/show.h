// A cluster as people look at it: each node's tree, and how far its parts are from each other.
//
//   node-0
//     socket 0  (NUMA 0, x86_64 GenuineIntel 6/106)
//       device 0  A100-PCIe-80GB, 80GiB, 0000:17:00.0  PCIe 16 GT/s x16  NVLink x12 to device 1
//   ...
//   GB/s      device 0   device 1   nic mlx5_0
//   device 0  LOC        NVL 240.0  PHB unknown
//
//   other nodes  NET 12.5 ...      where there are any
//
// "unknown": the description leaves out the rate of something on the way.
#pragma once

#include <cstdint>
#include <string>

#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

// Parts of a node, each with each, of all nodes: more would be hundreds of MB that nobody reads.
inline constexpr int64_t kMaxShownPairs = int64_t{1} << 20;

// Of one node.
int64_t PairsOf(const Node& node);

// Refuses a cluster of more. Asked first, as the two below show any.
Status CheckShowable(const Cluster& cluster);

// A node that differs from one above in nothing but name and address says so: "node-1  as node-0".
std::string ClusterText(const Cluster& cluster);

// {"nodes": [{"name": ..., "devices": [...], "nics": [...], "sockets": [...], "islands": [[0, 1]], "completed": [...],
//   "paths": [{"from": "device 0", "to": "device 1", "class": "NVL", "gigabytes": 240.0, "nccl_gigabytes": 240.0,
//              "hops": 1}, ...]}]}
// and, where there are other nodes, {"from": "device 0", "to": "other nodes", "class": "NET", ...}.
// "gigabytes" is null where it is not known, and of one place with itself; "nccl_gigabytes" is what NCCL prints even
// so.
std::string ClusterJson(const Cluster& cluster);

}  // namespace mrs::cluster
