// One node of a cluster file: everything but its name and address, which an entry for several nodes has several of.
//
//   ReadNode(&faults, MapReader(&faults, {devices: [{model: L4, count: 2}]}, "nodes[0]", kNodeKeys))
//     ->  one socket, two L4 of 23034 MiB
#pragma once

#include <string_view>

#include "planner/cluster/cluster.h"
#include "planner/cluster/map_reader.h"

namespace mrs::cluster {

// The keys of each map, in the order in which CanonicalText writes them.
inline constexpr std::string_view kNodeKeys[] = {
    "count", "name", "names",   "address",  "addresses", "memory", "cores", "nvlink_domain",
    "ranks", "gpus", "sockets", "switches", "devices",   "nics",   "links", "completed"};
inline constexpr std::string_view kSocketKeys[] = {"numa", "arch", "vendor", "cpu"};
inline constexpr std::string_view kSwitchKeys[] = {"name", "host_bridge", "socket", "parent", "pcie"};
inline constexpr std::string_view kDeviceKeys[] = {"count",  "kind",   "model",  "memory", "ordinal",
                                                   "bus_id", "socket", "parent", "pcie"};
inline constexpr std::string_view kNicKeys[] = {"name", "rate", "gpu_direct", "bus_id", "socket", "parent", "pcie"};
inline constexpr std::string_view kLinkKeys[] = {"kind", "between", "from", "to", "count", "rate"};

// Meaningless once `faults` has one.
Node ReadNode(Faults* faults, MapReader& in);

}  // namespace mrs::cluster
