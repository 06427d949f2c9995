// Units of systemd, one for each node: systemd.service(5), systemd.exec(5).
#include "planner/export/export.h"
#include "planner/export/quoting.h"

namespace mrs::deploy {
namespace {

// The first word of a command may hold no specifier, and systemd does not look for it in a PATH of ours.
bool IsProgram(std::string_view path) {
  return path.starts_with('/') &&
         path.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-") == path.npos;
}

// systemd's own copy of the secret, for this service alone.
constexpr std::string_view kCredential = "%d/cluster-secret";

std::string CommandLine(const std::vector<std::string>& words) {
  std::string out = words.front();
  for (size_t i = 1; i < words.size(); ++i) {
    const bool secret = words[i - 1] == "--cluster-secret-file";
    out += fmt::format(" {}", secret ? std::string(kCredential) : SystemdWord(words[i]));
  }
  return out;
}

std::string Unit(const Deployment& deployment, const ExportOptions& options, size_t node) {
  const bool several = deployment.nodes.size() > 1;
  const std::string command = CommandLine(CommandOf(deployment, options, several ? fmt::format("{}", node) : ""));
  std::string text = fmt::format(
      "# {}\n# Written by mrs-plan export --for systemd.\n[Unit]\nDescription={}\nWants=network-online.target\n"
      "After=network-online.target\n\n[Service]\nType=exec\n",
      PlanLine(deployment),
      SystemdText(several ? fmt::format("{}, node {} ({})", PlanLine(deployment), node, deployment.nodes[node].name)
                          : PlanLine(deployment)));
  if (several) text += fmt::format("LoadCredential=cluster-secret:{}\n", SystemdText(options.secret_file));
  if (options.rehearse) text += fmt::format("ExecStartPre={} --rehearse\n", command);
  text += fmt::format("ExecStart={}\n", command);
  // A rehearsal waits for the other nodes as long as mrs-exec does.
  text +=
      "TimeoutStartSec=15min\nTimeoutStopSec=45\nKillMode=mixed\nRestart=on-failure\nRestartSec=5\n"
      "DynamicUser=yes\nNoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=read-only\nPrivateTmp=yes\n"
      "\n[Install]\nWantedBy=multi-user.target\n";
  return text;
}

}  // namespace

Result<Exported> ExportSystemd(const Deployment& deployment, const ExportOptions& options) {
  if (!IsProgram(options.program)) {
    return Refuse(
        "--program {}: expected a path from the root folder on, of letters, digits and /._+-, as systemd takes "
        "no other",
        Comment(options.program));
  }
  const size_t nodes = deployment.nodes.size();
  Exported out;
  for (size_t node = 0; node < nodes; ++node) {
    const std::string name =
        nodes == 1 ? fmt::format("{}.service", options.name) : fmt::format("{}-{}.service", options.name, node);
    out.files.push_back({name, Unit(deployment, options, node)});
    const std::string where = nodes == 1 ? "" : fmt::format(" of node {} ({})", node, deployment.nodes[node].name);
    out.steps.push_back(
        fmt::format("copy {0} to /etc/systemd/system{1}, and there: systemctl enable --now {0}", name, where));
  }
  if (nodes > 1) {
    out.steps.insert(
        out.steps.begin(),
        fmt::format("write one secret to {} on every node, readable by root alone: head -c 32 /dev/urandom "
                    "| base64",
                    options.secret_file));
    out.steps.insert(out.steps.begin() + 1, PortsStep(deployment, options));
    out.lacks.push_back(
        "one unit for all nodes: systemd starts what is on its own host; each node has a unit of its own");
  }
  out.lacks.push_back(fmt::format(
      "readiness: the unit is up before the server is; {}http://127.0.0.1:{}/health says 200 once it serves",
      nodes > 1 ? "on node 0 " : "", options.port));
  out.lacks.push_back(
      "who may read plan and model: the service has a user of its own (DynamicUser), which reads what everybody may");
  return out;
}

}  // namespace mrs::deploy
