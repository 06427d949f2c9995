#include "cli/cluster_options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/short_form.h"
#include "plans/printable.h"

namespace mrs::cli {
namespace {

constexpr const char* kLocalWorld = "MISTRALRS_MN_LOCAL_WORLD_SIZE";

std::optional<std::string> Variable(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

// mistral.rs leaves NCCL on for all but "1" (mistralrs-quant/src/distributed/mod.rs, use_nccl). Whoever writes "true"
// means the opposite of what they get there, and is told.
Result<bool> SaysNoNccl(const std::string& value) {
  if (value == "1") return true;
  for (const char* on : {"", "0", "false", "off", "no"}) {
    if (value == on) return false;
  }
  return Error{ErrorKind::kUsage,
               fmt::format("MISTRALRS_NO_NCCL={}: expected 1 for no NCCL, or 0; mistral.rs takes all but 1 for NCCL",
                           ShownValue(value))};
}

// What only GPUs have is said of GPUs alone.
Status OfGpus(const planner::BuildOptions& options) {
  if (options.collectives.empty()) return Status();
  if (options.cluster && options.cluster->nodes.front().devices.front().kind == cluster::DeviceKind::kCuda) {
    return Status();
  }
  return Error{ErrorKind::kUsage,
               fmt::format("build: --collectives {} is of GPUs, and the plan is for CPU ranks; leave it out, or say "
                           "--gpus, such as 2xRTX-4090",
                           options.collectives)};
}

}  // namespace

std::string UnusedVariables(const char* const* environment) {
  constexpr std::string_view kPrefix = "MISTRALRS_MN_";
  constexpr size_t kMostShown = 8;
  std::set<std::string> names;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    const std::string_view name = variable.substr(0, variable.find('='));
    if (name.starts_with(kPrefix) && name != kLocalWorld) names.insert(Printable(name.substr(0, 64)));
  }
  if (names.empty()) return "";
  const std::vector<std::string> shown(names.begin(), std::next(names.begin(), std::min(names.size(), kMostShown)));
  return fmt::format("{}{}: set, but of no use to mrs-plan; which nodes there are, --gpus or --cluster says",
                     fmt::join(shown, ", "),
                     names.size() > kMostShown ? fmt::format(" and {} more", names.size() - kMostShown) : "");
}

void ClusterOptions::Register(CommandLine& line, CLI::App& verb) {
  AddText(line, verb, "--gpus", &gpus, "GPUs such as 8xH100-SXM or 48GB,24GB",
          "Plan for these GPUs: 8xH100-SXM, 2x8xH200+400G (2 nodes), 48GB,24GB");
  AddText(line, verb, "--cpus", &cpus, "CPU ranks such as 4", "Plan for so many CPU ranks of one host");
  AddText(line, verb, "--cluster", &file, "a file name", "Plan for the cluster that this YAML file describes");
  AddText(line, verb, "--devices", &devices, "devices such as cuda:0,1",
          "Of the cluster's nodes, these devices; ordinals count what CUDA_VISIBLE_DEVICES leaves. cuda:0,0: two ranks "
          "on one GPU, for tests of --collectives ipc");
  verb.add_flag(
      "--no-nccl", no_nccl,
      "The GPUs have no NCCL: stages instead of tensor parallelism, unless they are known to reach each other's "
      "memory, or --collectives staged or ipc");
  AddChoice(line, verb, "--collectives", &collectives, {"auto", "staged", "nccl", "ipc"},
            "What carries what GPUs tell each other: staged, through pinned memory of their hosts; nccl; ipc, each "
            "other's memory, what stages hand on staged where they do not reach it; auto: ipc where all "
            "are known to reach each other's, else nccl");
}

Status ClusterOptions::Fill(planner::BuildOptions* options) const {
  const int given = int{!gpus.empty()} + int{!cpus.empty()} + int{!file.empty()};
  if (given > 1) {
    return Error{ErrorKind::kUsage, "build: --gpus, --cpus and --cluster each say what to plan for; give one"};
  }
  if (collectives != "auto") options->collectives = collectives;
  if (no_nccl) options->no_nccl = "--no-nccl";
  if (const auto value = Variable("MISTRALRS_NO_NCCL")) {
    MRS_ASSIGN_OR_RETURN(const bool none, SaysNoNccl(*value));
    if (none) options->no_nccl += fmt::format("{}MISTRALRS_NO_NCCL={}", no_nccl ? " and " : "", *value);
  }
  if (collectives == "nccl" && !options->no_nccl.empty()) {
    return Error{ErrorKind::kUsage,
                 fmt::format("build: --collectives nccl needs NCCL, and {} says there is none; leave one out, or say "
                             "--collectives staged",
                             options->no_nccl)};
  }
  options->devices = devices;
  options->cuda_visible = Variable("CUDA_VISIBLE_DEVICES");
  options->local_world = Variable(kLocalWorld);
  if (given == 0) {
    if (!devices.empty()) {
      return Error{
          ErrorKind::kUsage,
          fmt::format("build: --devices {}: of which cluster? Say --gpus, such as 2xRTX-4090, or --cluster FILE",
                      ShownValue(devices))};
    }
    return OfGpus(*options);
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
    options->cluster_of_file = true;
  }
  return OfGpus(*options);
}

}  // namespace mrs::cli
