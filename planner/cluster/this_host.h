// This host as a cluster: one node of CPU ranks, with the memory and cores that this process may use.
//
//   ThisHost(2)  ->  node "localhost": 16 GiB, 2 cores, two CPU ranks that share them
//
// GPUs are not looked for: mrs-exec doctor does that, and cluster import reads what it says. Nothing here tells one
// host of a kind from another (no host names), so that the same plan comes from each.
#pragma once

#include <string>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

// `root` is "" but for tests: where /proc and /sys are. `ranks`: at least 1.
Cluster ThisHost(int ranks = 1, const std::string& root = "");

}  // namespace mrs::cluster
