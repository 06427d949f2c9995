// For which devices to plan: --gpus, --cpus or --cluster, which of them, and what carries what they tell each other. What no flag says,
// the variables that mistral.rs and CUDA read do.
//
//   --cluster rack.yaml --devices cuda:0,1          devices 0 and 1 of every node
//   CUDA_VISIBLE_DEVICES=4,5 ... --cluster x.yaml   devices 4 and 5
//   MISTRALRS_MN_LOCAL_WORLD_SIZE=2                 two CPU ranks of this host, or the first two devices of every node
//   MISTRALRS_NO_NCCL=1                             as --no-nccl
//
// A flag that does not read, and a variable that does not, are wrong usage alike: exit code 2.
#pragma once

#include <string>

#include "cli/command_line.h"
#include "planner/build.h"

namespace mrs::cli {

struct ClusterOptions {
  std::string gpus, cpus, file, devices;
  bool no_nccl = false;
  std::string collectives = "auto";

  void Register(CommandLine& line, CLI::App& verb);
  // Reads the description, and the variables.
  Status Fill(planner::BuildOptions* options) const;
};

// Of "NAME=value"s, ended by a null: what is said of the variables by which mistral.rs starts several nodes, which a
// plan has no use for. "": there are none.
std::string UnusedVariables(const char* const* environment);

}  // namespace mrs::cli
