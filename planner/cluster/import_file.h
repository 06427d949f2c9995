// Any description of machines as a cluster: by its first bytes this tells which of the readers has it.
//
//   NCCL topology XML (nccl_xml.h), `nvidia-smi topo -m` (smi_matrix.h), `mrs-exec doctor --json` (doctor_json.h), or a
//   cluster file (cluster_file.h)
//
// What is known to be something else is refused by its name: NCCL's graphs, hwloc's XML, topograph's YAML, TACCL's and
// MSCCL's JSON, Slurm's topology.conf, rocm-smi's tables.
#pragma once

#include <string>
#include <string_view>

#include "planner/cluster/catalogue.h"
#include "planner/cluster/cluster.h"
#include "plans/status.h"

namespace mrs::cluster {

// `model`, where not null, is what devices are that the text gives no model; it is listed in Node.completed.
Result<Cluster> ImportCluster(std::string_view text, std::string_view where, const DeviceModel* model = nullptr);
Result<Cluster> ImportClusterFile(const std::string& path, const DeviceModel* model = nullptr);

}  // namespace mrs::cluster
