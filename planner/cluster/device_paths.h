// How the devices of a cluster reach each other, within nodes and across them: what placing ranks asks.
//
//   two trays of an NVL72    ->  one island of 8: Between(0, 0, 1, 0) is NVL
//   DGX-1 with V100          ->  two islands of 4: devices 0 and 5 reach each other by way of another GPU, NVB
//
// An island is what paths.h takes for one: devices each of which reaches each other by NVLink, xGMI or an NVSwitch.
#pragma once

#include <vector>

#include "planner/cluster/cluster.h"
#include "planner/cluster/paths.h"

namespace mrs::cluster {

struct DevicePaths {
  ClusterPaths paths;                    // between devices; without network cards and what hangs elsewhere
  std::vector<std::vector<int>> island;  // [node][device] -> its number in the cluster, in the order of devices
};

DevicePaths DevicePathsOf(const Cluster& cluster);

}  // namespace mrs::cluster
