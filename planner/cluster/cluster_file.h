// A cluster as YAML: what people write, what a plan holds, and what an import makes.
//
//   network: 400Gbit/s                        # between nodes, of each node, where no nic says it
//   nodes:
//     - count: 2                              # node-0 and node-1
//       devices: [{model: L40S, count: 4}]    # memory from the catalogue
//     - name: big
//       gpus: 8xH100-SXM                      # a short form: devices and how they are joined
//
// cluster.schema.json has every key; README.md tells what each means. Whatever is wrong is refused with its place, the
// path of its key, what was expected and what stands there: "c.yaml: line 4, column 17: nodes[0].devices[0].memory:
// expected a size such as 80GiB, got "80GX"".
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

Result<Cluster> ReadClusterFile(const std::string& path);

// `where` names the source in errors.
Result<Cluster> ParseCluster(std::string_view text, std::string_view where);

// YAML with everything said out and one spelling for each thing, which ParseCluster reads to an equal cluster: equal
// clusters have equal text on every host. Nodes in a row that differ in nothing but name and address are written once.
std::string CanonicalText(const Cluster& cluster);

// SHA-256 of that, in hex.
std::string Fingerprint(const Cluster& cluster);

// The maps of a cluster file and the keys of each, in the order in which CanonicalText writes them.
struct ClusterFileMap {
  std::string_view name;  // "cluster", "node", "socket", "switch", "device", "nic", "link"
  std::span<const std::string_view> keys;
};
std::span<const ClusterFileMap> ClusterFileMaps();

}  // namespace mrs::cluster
