// A LeaderWorkerSet of Kubernetes: https://lws.sigs.k8s.io. A group is a plan's world, a pod one of its nodes.
#include <algorithm>

#include "planner/export/export.h"
#include "planner/export/quoting.h"

namespace mrs::deploy {
namespace {

constexpr std::string_view kSecretFolder = "/etc/mrs/secret";

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Asks on the pod's own loopback, where alone mrs-exec serves, by what a slim image has. No '$': Kubernetes has its
// own.
std::string Probe(std::string_view indent, std::string_view name, uint16_t port, std::string_view answer,
                  std::string_view timing) {
  const std::string ask = fmt::format(
      "exec 3<>/dev/tcp/127.0.0.1/{} && printf 'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: "
      "close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q '{}'",
      port, answer);
  const std::vector<std::string> words = {"bash", "-c", ask};
  return fmt::format("{0}{1}:\n{0}  exec:\n{0}    command: {2}\n{0}  timeoutSeconds: 5\n{3}", indent, name,
                     KubernetesWords(words), timing);
}

struct Volumes {
  std::string mounts, volumes;  // items of both lists, at a pod's indentation
};

// The folders of the plan and the model, each once; a folder within another comes with it.
Volumes VolumesOf(const Deployment& deployment, const ExportOptions& options) {
  std::vector<std::string> folders = {FolderOf(options.plan_path)};
  if (!options.model_dir.empty() && options.model_dir != folders[0]) folders.push_back(options.model_dir);
  Volumes out;
  for (size_t i = 0; i < folders.size(); ++i) {
    const char* name = i == 0 ? "plan" : "model";
    out.mounts +=
        fmt::format("              - {{name: {}, mountPath: {}, readOnly: true}}\n", name, YamlText(folders[i]));
    out.volumes +=
        fmt::format("          - {{name: {}, hostPath: {{path: {}, type: Directory}}}}\n", name, YamlText(folders[i]));
  }
  if (deployment.nodes.size() > 1) {
    out.mounts += fmt::format("              - {{name: secret, mountPath: {}, readOnly: true}}\n", kSecretFolder);
    out.volumes += fmt::format("          - {{name: secret, secret: {{secretName: {}, defaultMode: 256}}}}  # 0400\n",
                               YamlText(fmt::format("{}-cluster", options.name)));
  }
  return out;
}

std::string Resources(const Deployment& deployment, const Node& node, std::string_view indent) {
  const size_t ranks = node.ranks.size();
  if (deployment.cuda) {
    return fmt::format("{0}resources:\n{0}  limits: {{nvidia.com/gpu: {1}}}\n", indent, ranks);
  }
  return fmt::format("{0}resources:\n{0}  requests: {{cpu: {1}, memory: \"{2}\"}}\n", indent, ranks, node.memory_bytes);
}

// All workers have one template, which therefore lists the ports of the ranks of all of them.
std::string Ports(const Deployment& deployment, const ExportOptions& options, bool head) {
  std::string text;
  const auto add = [&text](const std::string& name, uint32_t port) {
    text += fmt::format("              - {{name: {}, containerPort: {}}}\n", name, port);
  };
  if (head) add("http", options.port);
  if (deployment.nodes.size() > 1) {
    if (head) add("cluster", options.cluster_port);
    for (size_t node = 0; node < deployment.nodes.size(); ++node) {
      if ((node == 0) != head) continue;
      for (const uint32_t rank : deployment.nodes[node].ranks) {
        add(fmt::format("rank-{}", rank), RankPort(options.cluster_port, rank));
      }
    }
  }
  return fmt::format("            ports:\n{}", text);
}

std::string Pod(const Deployment& deployment, const ExportOptions& options, bool head) {
  const Node& node = head ? deployment.nodes.front() : deployment.nodes.back();
  const std::vector<std::string> words = CommandOf(deployment, options, "");
  const Volumes volumes = VolumesOf(deployment, options);
  constexpr std::string_view kContext =
      "securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}";
  std::string text =
      "      spec:\n        automountServiceAccountToken: false\n        terminationGracePeriodSeconds: 45  # 30 for "
      "streams that end\n";
  const auto container = [&](std::string_view name, const std::vector<std::string>& command) {
    text += fmt::format("          - name: {}\n            image: {}\n            command: {}\n            {}\n{}",
                        name, YamlText(options.image), KubernetesWords(command), kContext,
                        Resources(deployment, node, "            "));
    text += fmt::format("            volumeMounts:\n{}", volumes.mounts);
  };
  if (options.rehearse) {
    std::vector<std::string> rehearsal = words;
    rehearsal.push_back("--rehearse");
    text += "        initContainers:\n";
    container("rehearse", rehearsal);
  }
  text += "        containers:\n";
  container("mrs-exec", words);
  text += Ports(deployment, options, head);
  if (head) {
    text += Probe("            ", "readinessProbe", options.port, " 200 ", "              periodSeconds: 5\n");
    text += Probe("            ", "livenessProbe", options.port, "^HTTP/",
                  "              periodSeconds: 10\n              failureThreshold: 6\n");
  }
  return text + fmt::format("        volumes:\n{}", volumes.volumes);
}

}  // namespace

Result<Exported> ExportLws(const Deployment& deployment, const ExportOptions& options) {
  const size_t nodes = deployment.nodes.size();
  MRS_RETURN_IF_ERROR(CheckText("--image", options.image));
  for (const auto& [what, path] : {std::pair<std::string_view, const std::string&>{"--plan-path", options.plan_path},
                                   {"--model", options.model_dir}}) {
    if (path.find(':') == path.npos) continue;
    return Refuse("{} {}: has a ':', which a path that Kubernetes mounts may not have; rename it", what, path);
  }
  if (FolderOf(options.plan_path) == "/" || options.model_dir == "/") {
    return Refuse(
        "--plan-path {}: Kubernetes cannot mount the root folder; say where the plan is in a folder of its own",
        options.plan_path);
  }
  if (nodes > 1 && !deployment.nodes.front().address.empty()) {
    return Refuse(
        "the plan's cluster puts node {} at {}, but LeaderWorkerSet gives each pod an address of its own; leave "
        "addresses out of the cluster file, and plan anew",
        deployment.nodes.front().name, deployment.nodes.front().address);
  }
  for (size_t i = 2; i < nodes; ++i) {
    const Node &first = deployment.nodes[1], &other = deployment.nodes[i];
    if (first.ranks.size() == other.ranks.size()) continue;
    return Refuse(
        "node {} has {} ranks and node {} {}, but all workers of a LeaderWorkerSet are alike; plan for equal nodes, or "
        "export --for slurm or systemd",
        first.name, first.ranks.size(), other.name, other.ranks.size());
  }
  ExportOptions in_pod = options;
  in_pod.secret_file = fmt::format("{}/cluster-secret", kSecretFolder);
  std::string text = fmt::format(
      "# {}\n# Written by mrs-plan export --for lws. Each pod learns its node from LWS_WORKER_INDEX; the leader "
      "serves.\n"
      "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata:\n  name: {}\n  labels: "
      "{{app.kubernetes.io/name: {}, app.kubernetes.io/part-of: mrs}}\nspec:\n  replicas: 1\n  leaderWorkerTemplate:\n"
      "    size: {}\n    restartPolicy: RecreateGroupOnPodRestart  # a node that goes takes its world down\n",
      PlanLine(deployment), YamlText(options.name), YamlText(options.name), nodes);
  if (nodes > 1) text += fmt::format("    leaderTemplate:\n{}", Pod(deployment, in_pod, /*head=*/true));
  text += fmt::format("    workerTemplate:\n{}", Pod(deployment, in_pod, /*head=*/nodes == 1));
  Exported out;
  out.files.push_back({fmt::format("{}.yaml", options.name), std::move(text)});
  out.steps.push_back(fmt::format(
      "put the plan at {}{} on every Kubernetes node, or write a claim in place of hostPath", options.plan_path,
      options.model_dir.empty() ? " beside its weights" : fmt::format(" and the model in {}", options.model_dir)));
  if (nodes > 1) {
    out.steps.push_back(
        fmt::format("kubectl create secret generic {0}-cluster --from-file=cluster-secret={1}   # head -c 32 "
                    "/dev/urandom | base64 > "
                    "{1}",
                    options.name, ShellWord(options.secret_file)));
  }
  if (nodes > 1) out.steps.push_back(PortsStep(deployment, options));
  out.steps.push_back(fmt::format("kubectl apply -f {}.yaml", options.name));
  out.steps.push_back(fmt::format("kubectl port-forward {}-0 {}:{}", options.name, options.port, options.port));
  out.lacks.push_back(fmt::format(
      "which machine is which node: LeaderWorkerSet counts pods, so all machines must be as the plan's cluster has "
      "them{}",
      deployment.cuda ? ", and the devices that it gives a pod are counted from 0 there" : ""));
  out.lacks.push_back(
      "a Service for clients: mrs-exec answers on the pod's loopback alone, until it knows API keys; port-forward "
      "reaches "
      "it");
  out.lacks.push_back("the probes need bash, head and grep in the image");
  return out;
}

}  // namespace mrs::deploy
