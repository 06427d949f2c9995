// The variables and RING_CONFIG files of mistral.rs (formats/ring_config.h, runtime/node/hear_mistralrs.cc has what
// they mean), for mistral.rs itself and for mrs-exec, which takes both.
#include <algorithm>
#include <bit>

#include "formats/json.h"
#include "planner/export/export.h"
#include "planner/export/quoting.h"

namespace mrs::deploy {
namespace {

// As it stands before a port.
std::string BeforePort(const std::string& address) {
  return address.find(':') == address.npos ? address : fmt::format("[{}]", address);
}

const Node& NodeOf(const Deployment& deployment, uint32_t rank) {
  for (const Node& node : deployment.nodes) {
    if (std::find(node.ranks.begin(), node.ranks.end(), rank) != node.ranks.end()) return node;
  }
  MRS_CHECK(false);
}

// Over several hosts every address is said, also that of the own host: a rank listens at the address that leads to its
// right neighbour, and its left one may come from elsewhere.
std::string RingFile(const Deployment& deployment, const ExportOptions& options, uint32_t rank) {
  const uint32_t world = deployment.rank_count, right = (rank + 1) % world;
  const bool several = deployment.nodes.size() > 1;
  Json file = Json::object();
  file["master_ip"] = several ? BeforePort(deployment.nodes.front().address) : "127.0.0.1";
  file["master_port"] = options.cluster_port;
  file["port"] = options.ring_port + rank;
  file["right_port"] = options.ring_port + right;
  file["right_ip"] = several ? BeforePort(NodeOf(deployment, right).address) : "127.0.0.1";
  file["rank"] = rank;
  file["world_size"] = world;
  std::string text = "{\n";
  for (const auto& [key, value] : file.items()) {
    text += fmt::format("  {}: {}{}\n", DumpJson(Json(key)), DumpJson(value), key == "world_size" ? "" : ",");
  }
  return text + "}\n";
}

std::vector<std::string> Mistralrs(const Deployment& deployment, const ExportOptions& options) {
  std::vector<std::string> words = {options.program,
                                    "serve",
                                    "-m",
                                    options.model_dir,
                                    "-p",
                                    fmt::format("{}", options.port),
                                    "--max-seqs",
                                    fmt::format("{}", deployment.max_seqs)};
  words.insert(words.end(), {"--dtype", deployment.dtype});
  if (!deployment.cuda) words.push_back("--cpu");
  return words;
}

std::string Script(const Deployment& deployment, const ExportOptions& options, std::string_view what,
                   const std::vector<std::string>& variables) {
  std::string text = fmt::format("#!/bin/sh\n# {}\n# Written by mrs-plan export --for mistralrs: {}\nset -eu\n",
                                 PlanLine(deployment), what);
  for (const std::string& variable : variables) text += fmt::format("export {}\n", variable);
  return text + fmt::format("exec {}\n", ShellWords(Mistralrs(deployment, options)));
}

std::string Devices(const Node& node) {
  std::string out;
  for (const uint32_t device : node.devices) out += fmt::format("{}{}", out.empty() ? "" : ",", device);
  return out;
}

Status CheckRing(const Deployment& deployment, const ExportOptions& options) {
  const uint32_t world = deployment.rank_count;
  if (world < 2 || !std::has_single_bit(world)) {
    return Refuse("a ring of mistral.rs has 2, 4, 8, ... ranks, and the plan {}; plan for a power of two{}", world,
                  deployment.cuda ? "" : ", or serve it with mrs-exec alone");
  }
  if (options.ring_port + world - 1 > 65535) {
    return Refuse("--ring-port {}: rank {} would listen on {}, and ports end at 65535; take one of at most {}",
                  options.ring_port, world - 1, options.ring_port + world - 1, 65536 - world);
  }
  for (const auto& [name, port] :
       {std::pair<std::string_view, uint16_t>{"--cluster-port", options.cluster_port}, {"--port", options.port}}) {
    if (port < options.ring_port || port >= options.ring_port + world) continue;
    return Refuse("{} {} is the ring's port of rank {}, too: the ranks listen on {} to {}; move one of the two", name,
                  port, port - options.ring_port, options.ring_port, options.ring_port + world - 1);
  }
  for (const Node& node : deployment.nodes) {
    if (deployment.nodes.size() == 1 || !node.address.empty()) continue;
    return Refuse(
        "node {} has no address in the plan's cluster, and its neighbours need one; give it in the cluster "
        "file, and plan anew",
        node.name);
  }
  return Status();
}

void AddNccl(const Deployment& deployment, const ExportOptions& options, Exported* out) {
  const size_t nodes = deployment.nodes.size();
  const size_t local = deployment.nodes.front().ranks.size();
  const bool even = std::all_of(deployment.nodes.begin(), deployment.nodes.end(),
                                [&](const Node& node) { return node.ranks.size() == local; });
  if (!even) {
    out->lacks.push_back("NCCL over nodes of unlike sizes: mistral.rs gives each node the same number of ranks");
    return;
  }
  for (size_t node = 0; node < nodes; ++node) {
    std::vector<std::string> variables = {fmt::format("CUDA_VISIBLE_DEVICES={}", Devices(deployment.nodes[node])),
                                          fmt::format("MISTRALRS_MN_LOCAL_WORLD_SIZE={}", local)};
    if (nodes > 1) {
      variables.push_back(fmt::format("MISTRALRS_MN_GLOBAL_WORLD_SIZE={}", deployment.rank_count));
      if (node == 0) {
        variables.push_back(fmt::format("MISTRALRS_MN_HEAD_NUM_WORKERS={}", nodes - 1));
        variables.push_back(fmt::format("MISTRALRS_MN_HEAD_PORT={}", options.cluster_port));
      } else {
        variables.push_back(fmt::format(
            "MISTRALRS_MN_WORKER_SERVER_ADDR={}",
            ShellWord(fmt::format("{}:{}", BeforePort(deployment.nodes[0].address), options.cluster_port))));
        variables.push_back(fmt::format("MISTRALRS_MN_WORKER_ID={}", node - 1));
      }
    }
    const std::string name = fmt::format("nccl_node_{}.sh", node);
    out->files.push_back({name, Script(deployment, options, "a build with nccl and without ring", variables)});
    out->steps.push_back(fmt::format("by NCCL: on node {} ({}) sh {}", node, deployment.nodes[node].name, name));
  }
}

}  // namespace

Result<Exported> ExportMistralrs(const Deployment& deployment, const ExportOptions& options) {
  if (options.model_dir.empty()) {
    return Error{ErrorKind::kUsage,
                 "export --for mistralrs: which folder has the model on every node? Say it with --model"};
  }
  MRS_RETURN_IF_ERROR(CheckRing(deployment, options));
  Exported out;
  for (uint32_t rank = 0; rank < deployment.rank_count; ++rank) {
    out.files.push_back({fmt::format("ring_{}.json", rank), RingFile(deployment, options, rank)});
    const std::vector<std::string> variables = {
        fmt::format("RING_CONFIG=\"$(cd -- \"$(dirname -- \"$0\")\" && pwd)/ring_{}.json\"", rank),
        "MISTRALRS_NO_NCCL=1"};
    const std::string name = fmt::format("ring_{}.sh", rank);
    out.files.push_back({name, Script(deployment, options, "a build with ring", variables)});
    out.steps.push_back(fmt::format("as a ring: on node {} sh {}, with ring_{}.json beside it",
                                    NodeOf(deployment, rank).name, name, rank));
  }
  constexpr uint32_t kMostOfMrs = 16;  // kMaxRingRanks of runtime/comm/ring.h
  if (deployment.rank_count > kMostOfMrs) {
    out.lacks.push_back(
        fmt::format("a ring of {} ranks for mrs-exec, whose have {} at most: let it start them without "
                    "RING_CONFIG",
                    deployment.rank_count, kMostOfMrs));
  } else {
    std::vector<std::string> words = {"mrs-exec", "--plan", options.plan_path, "--model", options.model_dir};
    if (deployment.nodes.size() > 1) words.insert(words.end(), {"--cluster-secret-file", options.secret_file});
    out.steps.push_back(fmt::format("with mrs-exec in mistral.rs' place, each rank by RING_CONFIG=ring_<rank>.json {}",
                                    ShellWords(words)));
  }
  if (deployment.cuda && deployment.stages == 1) AddNccl(deployment, options, &out);
  if (deployment.stages > 1) {
    out.lacks.push_back(
        fmt::format("{} pipeline stages: mistral.rs puts every layer on all {} ranks; a layer map is one "
                    "process' with it",
                    deployment.stages, deployment.rank_count));
  }
  if (deployment.rank_count > 2) {
    out.lacks.push_back(
        fmt::format("sums over {} ranks of a ring: mistral.rs (as of 9e922623f24b) adds the left "
                    "neighbour's part alone; mrs-exec adds all",
                    deployment.rank_count));
  }
  out.lacks.push_back(
      fmt::format("KV memory and lengths: the plan has {} tokens a sequence and blocks for {} at once, "
                  "mistral.rs takes what it finds",
                  deployment.max_len, deployment.max_seqs));
  if (deployment.chain != "fast") {
    out.lacks.push_back(
        fmt::format("the plan's order of sums ({}), so tokens may differ with the number of ranks", deployment.chain));
  }
  out.lacks.push_back(
      "a secret between ranks, the plan's hash, and checks of what each rank loads: whoever reaches the "
      "ports is taken in");
  return out;
}

}  // namespace mrs::deploy
