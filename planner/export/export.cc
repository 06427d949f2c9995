#include "planner/export/export.h"

#include "planner/export/quoting.h"

namespace mrs::deploy {
namespace {

Status CheckOptions(const Deployment& deployment, Target target, const ExportOptions& options) {
  if (!IsLabel(options.name)) {
    return Refuse(
        "--name \"{}\": expected 1 to {} lower case letters, digits and hyphens that start with a letter and end with "
        "no hyphen (RFC 1123), such as {}",
        Comment(options.name), kMaxLabel, LabelLike(options.name));
  }
  MRS_RETURN_IF_ERROR(CheckPath("--plan-path", options.plan_path));
  if (!options.model_dir.empty()) MRS_RETURN_IF_ERROR(CheckPath("--model", options.model_dir));
  MRS_RETURN_IF_ERROR(CheckPath("--secret-file", options.secret_file));
  MRS_RETURN_IF_ERROR(CheckText("--program", options.program));
  if (options.program.find('/') != options.program.npos) MRS_RETURN_IF_ERROR(CheckPath("--program", options.program));
  for (const Node& node : deployment.nodes) {
    MRS_RETURN_IF_ERROR(CheckText("the plan's cluster: a node's name", node.name));
    if (!node.address.empty()) MRS_RETURN_IF_ERROR(CheckText("the plan's cluster: a node's address", node.address));
  }
  if (options.port == options.cluster_port) {
    return Refuse("--port {} is --cluster-port, too; the head listens on both, so they must differ", options.port);
  }
  if (target != Target::kMistralrs && deployment.nodes.size() > 1) {
    MRS_RETURN_IF_ERROR(CheckClusterPort(options.cluster_port, deployment.rank_count));
    for (const uint32_t rank : deployment.nodes.front().ranks) {
      if (RankPort(options.cluster_port, rank) != options.port) continue;
      return Refuse(
          "--port {} is rank {}'s, too: rank r listens on --cluster-port + 1 + r, {} + r; move one of the two",
          options.port, rank, RankPort(options.cluster_port, 0));
    }
  }
  if (target == Target::kLws && options.image.empty()) {
    return Error{ErrorKind::kUsage, "export --for lws: which image has mrs-exec? Say it with --image"};
  }
  if (target != Target::kLws && !options.image.empty()) {
    return Error{ErrorKind::kUsage, "export: --image is for --for lws"};
  }
  return Status();
}

}  // namespace

std::string PlanLine(const Deployment& deployment) {
  return fmt::format("plan {} of {}, {} rank{} on {} node{}", deployment.plan_sha256.substr(0, 16),
                     Comment(deployment.model), deployment.rank_count, deployment.rank_count == 1 ? "" : "s",
                     deployment.nodes.size(), deployment.nodes.size() == 1 ? "" : "s");
}

std::vector<std::string> CommandOf(const Deployment& deployment, const ExportOptions& options, std::string_view node) {
  std::vector<std::string> words = {options.program, "--plan", options.plan_path};
  if (!options.model_dir.empty()) words.insert(words.end(), {"--model", options.model_dir});
  if (deployment.nodes.size() > 1) {
    if (!node.empty()) words.insert(words.end(), {"--node", std::string(node)});
    if (options.cluster_port != kClusterPort) {
      words.insert(words.end(), {"--cluster-port", fmt::format("{}", options.cluster_port)});
    }
    words.insert(words.end(), {"--cluster-secret-file", options.secret_file});
  }
  words.insert(words.end(), {"--port", fmt::format("{}", options.port)});
  return words;
}

std::string PortsStep(const Deployment& deployment, const ExportOptions& options) {
  return fmt::format(
      "let the nodes reach each other at TCP ports {} to {}: the head is met at the first, rank r listens on {} + r",
      options.cluster_port, RankPort(options.cluster_port, deployment.rank_count - 1),
      RankPort(options.cluster_port, 0));
}

Result<Exported> Export(const Deployment& deployment, Target target, const ExportOptions& given) {
  ExportOptions options = given;
  if (options.name.empty()) options.name = LabelLike(deployment.model);
  if (options.program.empty()) {
    options.program = target == Target::kMistralrs ? "mistralrs"
                      : target == Target::kSystemd ? "/usr/local/bin/mrs-exec"
                                                   : "mrs-exec";
  }
  if (options.cluster_port == 0) options.cluster_port = target == Target::kMistralrs ? 9000 : kClusterPort;
  if (options.secret_file.empty()) options.secret_file = "/etc/mrs/cluster-secret";
  MRS_RETURN_IF_ERROR(CheckOptions(deployment, target, options));
  switch (target) {
    case Target::kLws:
      return ExportLws(deployment, options);
    case Target::kSlurm:
      return ExportSlurm(deployment, options);
    case Target::kSystemd:
      return ExportSystemd(deployment, options);
    case Target::kMistralrs:
      return ExportMistralrs(deployment, options);
  }
  MRS_CHECK(false);
}

}  // namespace mrs::deploy
