// A cluster in a word, as one says it.
//
//   8xH100-SXM       one node of 8           2x8xH200+400G   2 nodes of 8, 400 Gbit/s between nodes, of each node
//   4xL40S           one node of 4           48GB,24GB       one node, two devices of which the memory is known
//   1x8xH200,1x4xL4  two unlike nodes        --cpus 4        4 CPU ranks of one host;  2x4x16GiB+25G  2 hosts, 16 GiB a
//   rank
//
// A model is any name of the catalogue, whose row also says how its devices are joined: modules by their NVSwitch or
// mesh, cards each by a root port of its own. A device of which only the memory is said is a card in a host with one
// socket. Nothing else is invented: no nics, bus ids or addresses.
#pragma once

#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

// Nodes are named node-0, node-1, ...
Result<Cluster> ParseGpus(std::string_view text);
Result<Cluster> ParseCpus(std::string_view text);

// The same, with messages that begin with `where` in place of the flag.
Result<Cluster> ParseGpus(std::string_view text, std::string_view where);
Result<Cluster> ParseCpus(std::string_view text, std::string_view where);

// `count` CPU ranks, in nodes that have none: an equal share of the node's memory each where `memory_bytes` is 0.
std::vector<Device> CpuRanks(int count, uint64_t memory_bytes = 0);

}  // namespace mrs::cluster
