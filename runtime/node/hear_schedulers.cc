// Flags, LeaderWorkerSet and Slurm.
#include "runtime/node/claims.h"

namespace mrs::node {

Heard HearFlags(const IdentityFlags& flags, const std::vector<PlanNode>& nodes) {
  Claim claim;
  if (!flags.head.empty()) {
    MRS_ASSIGN_OR_RETURN(claim.head, ReadHead("--head", flags.head, /*port_needed=*/false));
    claim.said = claim.head.said;
  }
  if (flags.cluster_port != 0) {
    const std::string said = fmt::format("--cluster-port {}", flags.cluster_port);
    if (claim.head.port != 0 && claim.head.port != flags.cluster_port) {
      return Refuse("--head {}, but {}: both say the head's port; give one of the two", flags.head, said);
    }
    claim.head.port = flags.cluster_port;
    if (claim.said.empty()) claim.said = claim.head.said = said;
  }
  if (flags.node.has_value()) {
    if (*flags.node >= nodes.size()) {
      return Refuse("--node {}: the plan has {}, so --node is {}", *flags.node, Describe(nodes),
                    nodes.size() == 1 ? "0" : fmt::format("0 to {}", nodes.size() - 1));
    }
    claim.node = *flags.node;
    claim.said = fmt::format("--node {}", *flags.node);
  }
  if (claim.said.empty()) return std::optional<Claim>();
  return std::optional(std::move(claim));
}

// https://lws.sigs.k8s.io/docs/reference/labels-annotations-and-environment-variables: the controller sets all three in
// every container of a group; the leader is worker 0, and the size counts it.
Heard HearLws(const Environment& environment, const std::vector<PlanNode>& nodes) {
  constexpr std::string_view kAll[] = {"LWS_WORKER_INDEX", "LWS_GROUP_SIZE", "LWS_LEADER_ADDRESS"};
  std::string_view set, missing;
  for (const std::string_view name : kAll) {
    (Find(environment, name) != nullptr ? set : missing) = name;
  }
  if (set.empty()) return std::optional<Claim>();
  if (!missing.empty()) {
    return Refuse(
        "{} is set, but {} {}: LeaderWorkerSet sets LWS_LEADER_ADDRESS, LWS_GROUP_SIZE and LWS_WORKER_INDEX together "
        "(the last since v0.5.0); set {}, or unset the others and say --node K",
        set, missing, Absence(environment, missing), missing);
  }
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> size, FindNumber(environment, kAll[1], 1, kMaxNodes));
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> index, FindNumber(environment, kAll[0], 0, kMaxNodes - 1));
  if (*size != nodes.size()) {
    return Refuse("LWS_GROUP_SIZE={}, but the plan has {}: set leaderWorkerTemplate.size to {}, or plan for {} nodes",
                  *size, Describe(nodes), nodes.size(), *size);
  }
  if (*index >= *size) {
    return Refuse("LWS_WORKER_INDEX={}, but LWS_GROUP_SIZE={}: the workers of a group are 0 (the leader) to {}", *index,
                  *size, *size - 1);
  }
  Claim claim;
  MRS_ASSIGN_OR_RETURN(claim.head, ReadHead(kAll[2], *Find(environment, kAll[2]), /*port_needed=*/false));
  claim.node = *index;
  claim.said = fmt::format("LWS_WORKER_INDEX={}", *index);
  return std::optional(std::move(claim));
}

// https://slurm.schedmd.com/srun.html, "OUTPUT ENVIRONMENT VARIABLES": those of the step count what srun started;
// those of the job what was allocated. A batch script itself runs on the first node, outside of any step.
Heard HearSlurm(const Environment& environment, const std::vector<PlanNode>& nodes) {
  const std::string start = fmt::format("srun --nodes={} --ntasks-per-node=1 mrs-exec ...", nodes.size());
  std::string_view size_name;
  std::optional<uint32_t> size;
  for (const std::string_view name : {"SLURM_STEP_NUM_NODES", "SLURM_JOB_NUM_NODES", "SLURM_NNODES"}) {
    MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> value, FindNumber(environment, name, 1, kMaxNodes));
    if (value && !size) {
      size = value;
      size_name = name;
    }
  }
  MRS_ASSIGN_OR_RETURN(std::optional<uint32_t> index, FindNumber(environment, "SLURM_NODEID", 0, kMaxNodes - 1));
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> task, FindNumber(environment, "SLURM_PROCID", 0, INT32_MAX));
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> local, FindNumber(environment, "SLURM_LOCALID", 0, INT32_MAX));
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> tasks,
                       FindNumber(environment, "SLURM_STEP_NUM_TASKS", 1, INT32_MAX));
  if (!size && !index) return std::optional<Claim>();  // a rank of MPI's, or nothing of Slurm
  if (!size) {
    return Refuse(
        "SLURM_NODEID={} is set, but SLURM_STEP_NUM_NODES, SLURM_JOB_NUM_NODES and SLURM_NNODES are not: start it with "
        "{}, or unset SLURM_NODEID and say --node K",
        *index, start);
  }
  std::string_view index_name = "SLURM_NODEID";
  if (!index && task) {
    if (tasks && *tasks != *size) {
      return Refuse(
          "SLURM_PROCID={} tells the node only where each has one task, but SLURM_STEP_NUM_TASKS={} and {}={}: start "
          "it with {}",
          *task, *tasks, size_name, *size, start);
    }
    index = task;
    index_name = "SLURM_PROCID";
  }
  if (!index) {
    // The shell of salloc: of what runs in it alone, nothing is said.
    if (nodes.size() == 1) return std::optional<Claim>();
    return Refuse("{}={} is set, but SLURM_NODEID {}: this is an allocation, and no step of it; start it with {}",
                  size_name, *size, Absence(environment, "SLURM_NODEID"), start);
  }
  if (*size != nodes.size()) {
    return Refuse("{}={}, but the plan has {}: start it with {}, or plan for {} node{}", size_name, *size,
                  Describe(nodes), start, *size, *size == 1 ? "" : "s");
  }
  if (*index >= *size) {
    return Refuse("{}={}, but {}={}: the nodes of a step are 0 to {}", index_name, *index, size_name, *size, *size - 1);
  }
  if (local && *local > 0) {
    return Refuse(
        "SLURM_LOCALID={}: a node's first task starts all of its ranks, and another has nothing to do; start "
        "it with {}",
        *local, start);
  }
  if (tasks && *tasks != *size) {
    return Refuse("SLURM_STEP_NUM_TASKS={}, but {}={}: one task a node starts all of its ranks; start it with {}",
                  *tasks, size_name, *size, start);
  }
  Claim claim;
  claim.node = *index;
  claim.said = fmt::format("{}={}", index_name, *index);
  for (const std::string_view name : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}) {
    const std::string* list = Find(environment, name);
    if (list == nullptr) continue;
    claim.head = {FirstHost(*list), 0, Shown(name, *list)};
    if (!claim.head.address.empty()) break;
    return Refuse("{}: expected a list of hosts such as gpu-[01-04,7],login-2", claim.head.said);
  }
  if (*size > 1 && Find(environment, "SLURM_JOB_ID") != nullptr && Find(environment, "SLURM_STEP_ID") == nullptr) {
    claim.notices.push_back(
        fmt::format("SLURM_STEP_ID {}: this is the batch script on the first node, and nothing starts the other {} "
                    "node{}; start all with {}",
                    Absence(environment, "SLURM_STEP_ID"), *size - 1, *size == 2 ? "" : "s", start));
  }
  return std::optional(std::move(claim));
}

}  // namespace mrs::node
