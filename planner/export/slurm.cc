// A batch script of Slurm: one task a node, https://slurm.schedmd.com/sbatch.html.
#include <algorithm>
#include <cctype>

#include "planner/export/export.h"
#include "planner/export/quoting.h"

namespace mrs::deploy {
namespace {

// Names of nodes as slurm.conf has them, where brackets and commas would be a list.
bool IsSlurmName(std::string_view name) {
  return !name.empty() && name.size() <= 253 && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return c < 0x80 && (std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_');
         });
}

// Where the plan has each node at an address of its own, whoever runs on that host is that node, in whatever order
// Slurm counts: what Slurm says of the order is kept from mrs-exec.
std::string StartByName(const Deployment& deployment) {
  std::string text =
      "# The plan has each node at an address of its own: the task on a host is that node, however Slurm counts them.\n"
      "start='case \"$SLURMD_NODENAME\" in\n";
  for (size_t i = 0; i < deployment.nodes.size(); ++i) {
    text += fmt::format("  {}) node={} ;;\n", deployment.nodes[i].name, i);
  }
  return text +
         "  *) echo \"no node of the plan is called $SLURMD_NODENAME\" >&2; exit 1 ;;\nesac\n"
         "unset \"${!SLURM_@}\"\nexec \"$@\" --node \"$node\"'\n";
}

}  // namespace

Result<Exported> ExportSlurm(const Deployment& deployment, const ExportOptions& options) {
  const size_t nodes = deployment.nodes.size();
  const bool by_name = nodes > 1 && deployment.has_addresses();
  if (nodes > 1 && !by_name && !deployment.nodes.front().address.empty()) {
    return Refuse("the plan's cluster gives some of its nodes an address and not all; give all of them one, or none");
  }
  std::string names;
  size_t most_ranks = 0;
  for (const Node& node : deployment.nodes) {
    most_ranks = std::max(most_ranks, node.ranks.size());
    if (by_name && !IsSlurmName(node.name)) {
      return Refuse(
          "node \"{}\": Slurm's nodes have names of letters, digits, '-', '.' and '_'; call the plan's nodes as "
          "slurm.conf has them",
          Comment(node.name));
    }
    names += fmt::format("{}{}", names.empty() ? "" : ",", node.name);
  }
  std::string text = fmt::format(
      "#!/bin/bash\n# {}\n# Written by mrs-plan export --for slurm; sbatch takes it. One task a node; the first node "
      "serves.\n#SBATCH --job-name={}\n#SBATCH --nodes={}\n#SBATCH --ntasks-per-node=1\n",
      PlanLine(deployment), options.name, nodes);
  if (by_name) text += fmt::format("#SBATCH --nodelist={}\n", names);
  text += deployment.cuda ? fmt::format("#SBATCH --gpus-per-node={}\n", most_ranks)
                          : fmt::format("#SBATCH --cpus-per-task={}\n", most_ranks);
  text += "set -euo pipefail\n";
  text += fmt::format("command=({})\n", ShellWords(CommandOf(deployment, options, "")));
  std::string run = fmt::format("srun --nodes={} --ntasks={} --ntasks-per-node=1 --kill-on-bad-exit=1", nodes, nodes);
  if (!deployment.cuda) run += fmt::format(" --cpus-per-task={}", most_ranks);
  if (by_name) {
    text += StartByName(deployment);
    run += " bash -c \"$start\" bash";
  }
  if (options.rehearse) {
    text += fmt::format(
        "# What would not run is refused before anything heavy is loaded.\n{} \"${{command[@]}}\" "
        "--rehearse\n",
        run);
  }
  text += fmt::format("exec {} \"${{command[@]}}\"\n", run);
  Exported out;
  out.files.push_back({fmt::format("{}.sbatch", options.name), std::move(text)});
  if (nodes > 1) {
    out.steps.push_back(
        fmt::format("write a secret to {} on every node, readable by its user alone: head -c 32 "
                    "/dev/urandom | base64",
                    options.secret_file));
    out.steps.push_back(PortsStep(deployment, options));
  }
  out.steps.push_back(fmt::format("sbatch {}.sbatch", options.name));
  out.lacks.push_back(fmt::format(
      "readiness: Slurm knows of none; on the first node http://127.0.0.1:{}/health says 200 once it serves",
      options.port));
  if (!by_name && nodes > 1) {
    out.lacks.push_back("which host is which node: the plan has no addresses, so Slurm's order decides (SLURM_NODEID)");
  }
  if (deployment.cuda) {
    out.lacks.push_back("which GPUs of a node: Slurm picks them, and counts them from 0");
  }
  out.lacks.push_back("time limit, partition and account are the site's: #SBATCH --time, --partition, --account");
  return out;
}

}  // namespace mrs::deploy
