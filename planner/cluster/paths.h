// How far any two parts of a node are from each other, in NCCL's words and with NCCL's figures.
//
//   const Paths paths = PathsOf(node);
//   paths.At(paths.Device(0), paths.Device(1))  ->  {kNvl, 240 GB/s, 1 hop}     12 NVLinks between two A100
//   paths.At(paths.Device(0), paths.Socket(0))  ->  {kPhb, 24 GB/s, 1 hop}      PCIe 4.0 x16
//
// The rules are those of NCCL 2.27.7 (https://github.com/NVIDIA/nccl, tag v2.27.7-1: src/graph/topo.h, topo.cc,
// paths.cc), xGMI's figures those of RCCL (https://github.com/ROCm/rccl, src/graph/topo.h), before a communicator's own
// choices: no detour through another GPU's card (PXN), and whether GPUDirect is allowed does not count. Figures are
// what NCCL reckons with, less than what a data sheet says: 20 GB/s for an NVLink of 25. Where something on the way is
// not known (a PCIe link's rate, a card's, the make of a CPU whose socket is left) NCCL takes a default, and the path
// says that its figure is not `known`: nothing is shown, judged or planned by such a figure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

// Nearest first. PIX: one PCIe switch; PXB: several; PHB: a CPU's host bridge; SYS: between sockets; NVB: through
// another GPU's NVLinks.
enum class PathClass : uint8_t { kLoc, kNvl, kNvb, kC2c, kPix, kPxb, kPhb, kSys, kNet };

std::string_view PathClassName(PathClass path_class);  // "PIX"

struct Path {
  PathClass path_class = PathClass::kNet;  // kNet: nothing within the node joins them
  float gigabytes = 0;                     // per second, as NCCL reckons; 0: nothing joins them
  bool known = false;                      // whether `gigabytes` rests on what is known of every link, not on defaults
  int hops = 0;                            // links crossed
  bool operator==(const Path&) const = default;
};

// All devices, then nics, then sockets of one node, each with each.
struct Paths {
  int device_count = 0, nic_count = 0, socket_count = 0;
  std::vector<Path> table;  // [from][to]

  int Device(int index) const { return index; }
  int Nic(int index) const { return device_count + index; }
  int Socket(int index) const { return device_count + nic_count + index; }
  int count() const { return device_count + nic_count + socket_count; }
  const Path& At(int from, int to) const { return table[static_cast<size_t>(from) * count() + to]; }
};

Paths PathsOf(const Node& node);

// Of each node; nodes that differ in nothing but name and address share one table.
struct ClusterPaths {
  std::vector<Paths> tables;
  std::vector<int> table_of;               // [node] -> tables
  std::vector<int> domain_of;              // [node] -> number of its NVLink domain; -1: none
  std::vector<std::vector<Path>> fabrics;  // [table][device] its NVLinks to the fabric, {kNet, 0}: none
  double network_gigabytes = 0;

  const Paths& Of(int node) const { return tables[table_of[node]]; }
  // From a device to any of another node: by its best card, or the cluster's network.
  Path ToOtherNodes(int node, int device) const;
  // From a device to any of another node of its NVLink domain (NVL72): NVL; kNet where it has no such link.
  Path ToDomain(int node, int device) const;
  // Between devices, by node and index.
  Path Between(int node_a, int device_a, int node_b, int device_b) const;
};

ClusterPaths PathsOf(const Cluster& cluster);

// Devices that reach each other by NVLink, xGMI or an NVSwitch without crossing PCIe or a host, as groups of indices.
std::vector<std::vector<int>> IslandsOf(const Node& node, const Paths& paths);

// GB/s as NCCL reckons: of a PCIe link (unknown: 3.0 x16), of all links of `link`, between this socket and another.
double PcieGigabytes(const PcieLink& link);
double PeerGigabytes(const Node& node, const PeerLink& link);
double InterSocketGigabytes(const Socket& socket);

// Whether the figure above is one of this link or socket, rather than NCCL's default for what it does not know.
bool PcieKnown(const PcieLink& link);
bool PeerKnown(const Node& node, const PeerLink& link);
bool InterSocketKnown(const Socket& socket);

// GB/s of one NVLink by compute capability (sm, 90 is 9.0), and of one xGMI link by the name of an AMD architecture.
double NvlinkGigabytes(int sm);
double XgmiGigabytes(std::string_view gcn);

}  // namespace mrs::cluster
