#include "cli/cluster_verb.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "host/output.h"
#include "host/process.h"
#include "planner/cluster/catalogue.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/findings.h"
#include "planner/cluster/import_file.h"
#include "planner/cluster/short_form.h"
#include "planner/cluster/show.h"
#include "planner/cluster/this_host.h"
#include "plans/contract.h"
#include "plans/writer.h"

namespace mrs::cli {
namespace {

// 1 is for findings.
int Unchecked(const Error& error) {
  Fail(error);
  return 2;
}

}  // namespace

CLI::App* ClusterVerb::Register(CommandLine& line) {
  CLI::App* const verb = line.app.add_subcommand("cluster",
                                                 "Import, show or check a description of machines; exit codes of "
                                                 "check: 0 sound, 1 findings, 2 unreadable or usage");
  AddText(line, *verb, "action", &action, "import, show or check", "import, show or check")->required();
  AddText(line, *verb, "file", &path, "a file name",
          "NCCL topology XML, nvidia-smi topo -m, mrs-exec doctor --json or a cluster file");
  AddText(line, *verb, "--gpus", &gpus, "GPUs such as 8xH100-SXM", "Show or check these GPUs: 2x8xH200+400G");
  AddText(line, *verb, "--cpus", &cpus, "CPU ranks such as 4", "Show or check so many CPU ranks of one host");
  AddText(line, *verb, "--model", &model, "a model of the catalogue such as H100-SXM",
          "What devices are whose model the file does not tell");
  AddText(line, *verb, "-o,--output", &out, "a file name", "Where import writes [standard output]");
  verb->add_flag("--json", json, "As JSON");
  verb->footer(
      "Example:\n  nvidia-smi topo -m | tee matrix.txt\n  mrs-plan cluster import matrix.txt --model H100-SXM -o "
      "node.yaml\n  mrs-plan cluster show node.yaml\n  mrs-plan cluster check node.yaml   # a list of findings; with "
      "--json [] where there is none");
  return verb;
}

Result<cluster::Cluster> ClusterVerb::Read() const {
  const auto usage = [](std::string message) { return Error{ErrorKind::kUsage, std::move(message)}; };
  if (action != "import" && action != "show" && action != "check") {
    return usage(fmt::format("cluster {}: there is no such action; there are import, show, check", ShownValue(action)));
  }
  const int given = int{!path.empty()} + int{!gpus.empty()} + int{!cpus.empty()};
  if (given > 1) return usage(fmt::format("cluster {}: a file, --gpus and --cpus each say what; give one", action));
  if (action == "import" && path.empty()) {
    return usage("cluster import: a file is missing: NCCL topology XML, nvidia-smi topo -m or mrs-exec doctor --json");
  }
  if (action != "import" && !out.empty()) {
    return usage(fmt::format("cluster {}: --output is import's; it writes to standard output", action));
  }
  if (action == "import" && json) return usage("cluster import: --json is of show and check; import writes YAML");
  const cluster::DeviceModel* row = nullptr;
  if (!model.empty()) {
    row = cluster::FindDeviceModel(model);
    if (path.empty()) return usage(fmt::format("cluster {}: --model is of a file's devices; name the file", action));
    if (row == nullptr || row->kind == cluster::DeviceKind::kCpu) {
      return usage(fmt::format("--model {}: expected a model of the catalogue; the nearest is {}", ShownValue(model),
                               cluster::NearestDeviceModel(model)->name));
    }
  }
  if (!gpus.empty()) return cluster::ParseGpus(gpus);
  if (!cpus.empty()) return cluster::ParseCpus(cpus);
  if (path.empty()) return cluster::ThisHost();
  return cluster::ImportClusterFile(path, row);
}

int ClusterVerb::Import(const cluster::Cluster& cluster) const {
  if (out.ends_with(contract::kFileExtension)) {
    return Fail({ErrorKind::kUsage, fmt::format("--output {}: would write a cluster where a plan is; name a file that "
                                                "does not end in {}",
                                                ShownValue(out), contract::kFileExtension)});
  }
  std::error_code absent;
  if (!out.empty() && !path.empty() && std::filesystem::equivalent(path, out, absent)) {
    return Fail(
        {ErrorKind::kUsage, fmt::format("--output {}: is the file that is read; name another", ShownValue(out))});
  }
  const std::string text = cluster::CanonicalText(cluster);
  for (const cluster::Node& node : cluster.nodes) {
    for (const std::string& note : node.completed) Say("{}: {}\n", node.name, note);
  }
  const Status written = out.empty() ? Print(text) : WritePlanFile(out, text);
  return written.ok() ? 0 : Fail(written.error());
}

int ClusterVerb::Check(const cluster::Cluster& cluster) const {
  const std::vector<cluster::Finding> findings = cluster::FindingsOf(cluster);
  const bool sound = std::ranges::all_of(findings, &cluster::Finding::by_design);
  const Status printed = Print(json ? cluster::FindingsJson(findings)
                                    : (sound ? cluster::SoundText(cluster) : "") + cluster::FindingsText(findings));
  if (!printed.ok()) return Unchecked(printed.error());
  return sound ? 0 : 1;
}

int ClusterVerb::Run() {
  const Result<cluster::Cluster> cluster = Read();
  if (!cluster.ok()) return action == "check" ? Unchecked(cluster.error()) : Fail(cluster.error());
  if (action == "import") return Import(*cluster);
  if (action == "show") {
    if (const Status showable = cluster::CheckShowable(*cluster); !showable.ok()) {
      return Fail({showable.error().kind, fmt::format("cluster show: {}", showable.message())});
    }
    const Status printed = Print(json ? cluster::ClusterJson(*cluster) : cluster::ClusterText(*cluster));
    return printed.ok() ? 0 : Fail(printed.error());
  }
  return Check(*cluster);
}

}  // namespace mrs::cli
