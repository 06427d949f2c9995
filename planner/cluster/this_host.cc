#include "planner/cluster/this_host.h"

#include <algorithm>
#include <cstdint>

#include "host/cores.h"
#include "host/memory.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/short_form.h"
#include "planner/cluster/units.h"

namespace mrs::cluster {

Cluster ThisHost(int ranks, const std::string& root) {
  Node node{.name = "localhost"};
  const uint64_t memory = ReadHostMemory(root).total_bytes;
  if (memory <= kMaxBytes) node.memory_bytes = memory;  // else it could not be read
  node.cores = static_cast<int>(CoreCount());
  node.sockets.push_back({});
  node.devices = CpuRanks(std::clamp(ranks, 1, static_cast<int>(kMaxDevicesPerNode)));
  Cluster cluster;
  cluster.nodes.push_back(std::move(node));
  return cluster;
}

}  // namespace mrs::cluster
