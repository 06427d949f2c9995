// The files that start a plan on its nodes, one command a node, for whoever starts programs there.
//
//   MRS_ASSIGN_OR_RETURN(const Exported out, Export(deployment, Target::kSystemd, options));
//   out.files   ->  {"mini-0.service", "[Unit]\n..."}, {"mini-1.service", ...}
//   out.steps   ->  "copy mini-0.service to node a, ..."          what to do with them
//   out.lacks   ->  "systemd has no readiness probe: ..."         what the target cannot express
//
// Texts from outside are quoted for their language (quoting.h), or refused. A pure function: nothing is written, and
// the same plan and options give the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "planner/export/deployment.h"
#include "plans/cluster_ports.h"
#include "plans/status.h"

namespace mrs::deploy {

enum class Target { kLws, kSlurm, kSystemd, kMistralrs };

struct ExportOptions {
  std::string name;           // of the service; "": like the model's
  std::string plan_path;      // on every node
  std::string model_dir;      // on every node; "": beside the plan
  std::string program;        // mrs-exec, or mistralrs; "": of that name in the PATH, or in /usr/local/bin for systemd
  std::string secret_file;    // on every node; for lws the Secret's key
  std::string image;          // lws
  bool rehearse = true;       // mrs-exec --rehearse before it serves
  uint16_t port = 1234;       // for clients, at the head
  uint16_t cluster_port = 0;  // between nodes (cluster_ports.h); 0: 29500, or 9000 for a ring's master_port
  uint16_t ring_port = 9001;  // the ring's rank r listens on ring_port + r
};

struct ExportFile {
  std::string name;
  std::string text;
};

struct Exported {
  std::vector<ExportFile> files;
  std::vector<std::string> steps;  // sentences, in order
  std::vector<std::string> lacks;  // sentences
};

Result<Exported> Export(const Deployment& deployment, Target target, const ExportOptions& options);

// One for each target. Options are checked and filled in.
Result<Exported> ExportLws(const Deployment& deployment, const ExportOptions& options);
Result<Exported> ExportSlurm(const Deployment& deployment, const ExportOptions& options);
Result<Exported> ExportSystemd(const Deployment& deployment, const ExportOptions& options);
Result<Exported> ExportMistralrs(const Deployment& deployment, const ExportOptions& options);

// mrs-exec's words for one node: `node` as --node says it, or nothing where a variable of the target does. Only several
// nodes need a secret.
std::vector<std::string> CommandOf(const Deployment& deployment, const ExportOptions& options, std::string_view node);
// What a firewall between the nodes must let through, as a step.
std::string PortsStep(const Deployment& deployment, const ExportOptions& options);
// For comments and descriptions: "plan 9f3c2d7a of mini, 4 ranks on 2 nodes".
std::string PlanLine(const Deployment& deployment);

}  // namespace mrs::deploy
