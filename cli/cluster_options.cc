#include "cli/cluster_options.h"

#include <cstdlib>
#include <optional>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/short_form.h"
#include "planner/cluster/this_host.h"
#include "plans/printable.h"

namespace mrs::cli {
namespace {

constexpr int kMostRanks = 16;  // of one tensor-parallel group

std::optional<std::string> Variable(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

// "1" and "true" say so, as for mistral.rs; "0" and "" do not.
Result<bool> SaysNoNccl(const std::string& value) {
  if (value == "1" || value == "true") return true;
  if (value.empty() || value == "0" || value == "false") return false;
  return Error{ErrorKind::kUsage, fmt::format("MISTRALRS_NO_NCCL={}: expected 1 or 0", ShownValue(value))};
}

}  // namespace

void ClusterOptions::Register(CommandLine& line, CLI::App& verb) {
  AddText(line, verb, "--gpus", &gpus, "GPUs such as 8xH100-SXM or 48GB,24GB",
          "Plan for these GPUs: 8xH100-SXM, 2x8xH200+400G (2 nodes), 48GB,24GB");
  AddText(line, verb, "--cpus", &cpus, "CPU ranks such as 4", "Plan for so many CPU ranks of one host");
  AddText(line, verb, "--cluster", &file, "a file name", "Plan for the cluster that this YAML file describes");
  AddText(line, verb, "--devices", &devices, "devices such as cuda:0,1",
          "Of the cluster's nodes, these devices; ordinals count what CUDA_VISIBLE_DEVICES leaves");
  verb.add_flag("--no-nccl", no_nccl, "The GPUs have no NCCL: stages instead of tensor parallelism");
}

Status ClusterOptions::Fill(planner::BuildOptions* options) const {
  const int given = int{!gpus.empty()} + int{!cpus.empty()} + int{!file.empty()};
  if (given > 1) {
    return Error{ErrorKind::kUsage, "build: --gpus, --cpus and --cluster each say what to plan for; give one"};
  }
  if (no_nccl) {
    options->no_nccl = "--no-nccl";
  } else if (const auto value = Variable("MISTRALRS_NO_NCCL")) {
    MRS_ASSIGN_OR_RETURN(const bool none, SaysNoNccl(*value));
    if (none) options->no_nccl = fmt::format("MISTRALRS_NO_NCCL={}", *value);
  }
  options->devices = devices;
  const auto ranks = Variable("MISTRALRS_MN_LOCAL_WORLD_SIZE");
  if (given == 0) {
    if (!devices.empty()) {
      return Error{
          ErrorKind::kUsage,
          fmt::format("build: --devices {}: of which cluster? Say --gpus, such as 2xRTX-4090, or --cluster FILE",
                      ShownValue(devices))};
    }
    if (!ranks || options->tp || options->pp != 0 || !options->device_layers.empty()) return Status();
    const auto count = ReadNumber<int>(*ranks, 1, kMostRanks);
    if (!count) {
      return Error{ErrorKind::kUsage,
                   fmt::format("MISTRALRS_MN_LOCAL_WORLD_SIZE={}: expected a whole number from 1 to {}",
                               ShownValue(*ranks), kMostRanks)};
    }
    options->cluster = cluster::ThisHost(*count);
    return Status();
  }
  if (!gpus.empty()) {
    MRS_ASSIGN_OR_RETURN(options->cluster, cluster::ParseGpus(gpus));
  } else if (!cpus.empty()) {
    if (!devices.empty()) {
      return Error{ErrorKind::kUsage, "build: --devices chooses GPUs, --cpus says how many CPU ranks; give one"};
    }
    MRS_ASSIGN_OR_RETURN(options->cluster, cluster::ParseCpus(cpus));
  } else {
    MRS_ASSIGN_OR_RETURN(options->cluster, cluster::ReadClusterFile(file));
    options->local_world = ranks;
    options->cuda_visible = Variable("CUDA_VISIBLE_DEVICES");
  }
  if (!devices.empty()) {
    options->local_world.reset();
    options->cuda_visible = Variable("CUDA_VISIBLE_DEVICES");
  }
  return Status();
}

}  // namespace mrs::cli
