// mrs-plan cluster: machines as they are described elsewhere, how they look, and what is wrong with them.
//
//   mrs-plan cluster import topo.xml -o rack.yaml   ->  a cluster file, for mrs-plan build --cluster rack.yaml
//   mrs-plan cluster show rack.yaml [--json]        ->  each node's tree, and classes and GB/s between its parts
//   mrs-plan cluster check rack.yaml [--json]       ->  findings with ids; exit codes 0 sound, 1 findings,
//                                                       2 unreadable or usage
//
// Each takes every kind of file that import reads, and show and check --gpus and --cpus, or nothing for this host.
#pragma once

#include <string>

#include "cli/command_line.h"
#include "planner/cluster/cluster.h"

namespace mrs::cli {

struct ClusterVerb {
  std::string action, path, gpus, cpus, model, out;
  bool json = false;

  CLI::App* Register(CommandLine& line);
  int Run();

 private:
  Result<cluster::Cluster> Read() const;
  int Import(const cluster::Cluster& cluster) const;
  int Check(const cluster::Cluster& cluster) const;
};

}  // namespace mrs::cli
