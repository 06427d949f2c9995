// MISTRALRS_MN_* and RING_CONFIG, as mistral.rs means them (mistralrs-core/src/distributed.rs,
// prepare_distributed_mapper,
// https://github.com/EricLBuehler/mistral.rs/blob/9e922623f24b/mistralrs-core/src/distributed.rs): the head says of how
// many workers and where it listens, a worker where the head is and which worker it is, from 0; all say how many ranks
// there are, and may say how many are this node's. There a size or index that does not fit is a hang.
#include <algorithm>

#include "runtime/node/claims.h"

namespace mrs::node {
namespace {

constexpr std::string_view kGlobal = "MISTRALRS_MN_GLOBAL_WORLD_SIZE";
constexpr std::string_view kLocal = "MISTRALRS_MN_LOCAL_WORLD_SIZE";
constexpr std::string_view kWorkers = "MISTRALRS_MN_HEAD_NUM_WORKERS";
constexpr std::string_view kPort = "MISTRALRS_MN_HEAD_PORT";
constexpr std::string_view kServer = "MISTRALRS_MN_WORKER_SERVER_ADDR";
constexpr std::string_view kWorker = "MISTRALRS_MN_WORKER_ID";
// docs/DISTRIBUTED/NCCL.md of mistral.rs up to 0.7 spells it so in its examples, and its program does not read it.
constexpr std::string_view kServerOfManual = "MISTRALRS_WORKER_SERVER_ADDR";

Status CheckLocal(const Environment& environment, const PlanNode& node) {
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> local, FindNumber(environment, kLocal, 1, kMaxNodes));
  if (!local || *local == node.ranks.size()) return Status();
  return Refuse("{}={}, but the plan has {} rank{} on node {}: set it to {}, or plan for {} there", kLocal, *local,
                node.ranks.size(), node.ranks.size() == 1 ? "" : "s", node.name, node.ranks.size(), *local);
}

// The head's address, under either spelling.
Result<HeadClaim> FindServer(const Environment& environment, std::vector<std::string>* notices) {
  const std::string* server = Find(environment, kServer);
  const std::string* of_manual = Find(environment, kServerOfManual);
  if (of_manual != nullptr) {
    if (server != nullptr && *server != *of_manual) {
      return Refuse("{}, but {}: unset the latter, which mistral.rs itself does not read", Shown(kServer, *server),
                    Shown(kServerOfManual, *of_manual));
    }
    notices->push_back(fmt::format("{} is taken for {}, as mistral.rs reads it; rename it", kServerOfManual, kServer));
  }
  if (server != nullptr) return ReadHead(kServer, *server, /*port_needed=*/true);
  if (of_manual != nullptr) return ReadHead(kServerOfManual, *of_manual, /*port_needed=*/true);
  return HeadClaim{};
}

Heard HearWorker(const Environment& environment, const std::vector<PlanNode>& nodes, Claim claim) {
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> worker, FindNumber(environment, kWorker, 0, kMaxNodes - 1));
  if (claim.head.said.empty()) {
    return Refuse("{}={} is set, but {} {}: a worker needs the head's address and port, such as 10.0.0.1:9000", kWorker,
                  *worker, kServer, Absence(environment, kServer));
  }
  if (!worker) {
    return Refuse("{} is set, but {} {}: set it to which worker this is, 0 to {}", claim.head.said, kWorker,
                  Absence(environment, kWorker), std::max<size_t>(nodes.size(), 2) - 2);
  }
  if (nodes.size() == 1) {
    return Refuse("{}={}, but the plan has {}, and so no workers: unset it, or plan for several nodes", kWorker,
                  *worker, Describe(nodes));
  }
  if (*worker + 1 >= nodes.size()) {
    return Refuse(
        "{}={}, but the plan has {}: a head and the workers 0 to {}; plan for at least {} nodes, or leave "
        "this one out",
        kWorker, *worker, Describe(nodes), nodes.size() - 2, *worker + 2);
  }
  claim.node = *worker + 1;
  claim.said = fmt::format("{}={}", kWorker, *worker);
  return std::optional(std::move(claim));
}

Heard HearHead(const Environment& environment, const std::vector<PlanNode>& nodes, Claim claim) {
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> workers, FindNumber(environment, kWorkers, 0, kMaxNodes - 1));
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> port, FindNumber(environment, kPort, 1, 65535));
  if (!workers) {
    return Refuse("{}={} is set, but {} {}: set it to {}, the plan's nodes without the head", kPort, *port, kWorkers,
                  Absence(environment, kWorkers), nodes.size() - 1);
  }
  if (*workers + 1 != nodes.size()) {
    return Refuse("{}={}, so the head and its workers are {} node{}, but the plan has {}: set it to {}, or plan for {}",
                  kWorkers, *workers, *workers + 1, *workers == 0 ? "" : "s", Describe(nodes), nodes.size() - 1,
                  *workers + 1);
  }
  if (!port) {
    return Refuse("{}={} is set, but {} {}: set it to the port on which the head listens for its workers", kWorkers,
                  *workers, kPort, Absence(environment, kPort));
  }
  claim.node = 0;
  claim.said = fmt::format("{}={}", kWorkers, *workers);
  claim.head.port = static_cast<uint16_t>(*port);
  claim.head.said = fmt::format("{}={}", kPort, *port);
  return std::optional(std::move(claim));
}

}  // namespace

Heard HearMistralrs(const Environment& environment, const std::vector<PlanNode>& nodes) {
  Claim claim;
  MRS_ASSIGN_OR_RETURN(claim.head, FindServer(environment, &claim.notices));
  const bool as_head = Find(environment, kWorkers) != nullptr || Find(environment, kPort) != nullptr;
  const bool as_worker = Find(environment, kWorker) != nullptr || !claim.head.said.empty();
  MRS_ASSIGN_OR_RETURN(const std::optional<uint32_t> global, FindNumber(environment, kGlobal, 1, kMaxNodes));
  if (!as_head && !as_worker && !global) {
    // One node's size alone, as mistral.rs takes it for one machine.
    if (nodes.size() == 1) MRS_RETURN_IF_ERROR(CheckLocal(environment, nodes.front()));
    return std::optional<Claim>();
  }
  const std::string one = as_head ? Shown(Find(environment, kWorkers) != nullptr ? kWorkers : kPort,
                                          *Find(environment, Find(environment, kWorkers) != nullptr ? kWorkers : kPort))
                                  : claim.head.said;
  if (as_head && as_worker) {
    const std::string* worker = Find(environment, kWorker);
    return Refuse("{} is a head's, {} a worker's: a node is one of the two; unset the other's variables", one,
                  worker != nullptr ? Shown(kWorker, *worker) : claim.head.said);
  }
  if (!global) {
    const std::string* worker = Find(environment, kWorker);
    return Refuse("{} is set, but {} {}: set it to {}, the plan's ranks on all nodes",
                  as_worker && worker != nullptr ? Shown(kWorker, *worker) : one, kGlobal,
                  Absence(environment, kGlobal), RankCount(nodes));
  }
  if (*global != RankCount(nodes)) {
    return Refuse("{}={}, but the plan has {} rank{} on {}: set it to {}, or plan for {} ranks", kGlobal, *global,
                  RankCount(nodes), RankCount(nodes) == 1 ? "" : "s", Describe(nodes), RankCount(nodes), *global);
  }
  if (!as_head && !as_worker) {
    if (nodes.size() == 1) {
      MRS_RETURN_IF_ERROR(CheckLocal(environment, nodes.front()));
      claim.node = 0;
      claim.said = fmt::format("{}={}", kGlobal, *global);
      return std::optional(std::move(claim));
    }
    // With --node or another source beside it, it says a size alone.
    claim.said = fmt::format("{}={}", kGlobal, *global);
    return std::optional(std::move(claim));
  }
  Heard heard =
      as_head ? HearHead(environment, nodes, std::move(claim)) : HearWorker(environment, nodes, std::move(claim));
  if (heard.ok() && *heard) MRS_RETURN_IF_ERROR(CheckLocal(environment, nodes[*(*heard)->node]));
  return heard;
}

namespace {

// What one file says of two ranks, and what the plan says of the neighbour, held against each other. The last rank's
// right neighbour is rank 0, which is the master.
Status CheckNeighbour(const RingFound& ring, const std::vector<PlanNode>& nodes, uint32_t own_node) {
  const RingRankConfig& config = ring.config;
  const uint32_t right = (config.rank + 1) % config.world_size;
  const bool right_is_master = right == 0;
  const bool right_here = IsThisHost(config.right_ip);
  if (config.rank != 0 && config.port == config.master_port && config.master_ip && IsThisHost(config.master_ip)) {
    return Refuse(
        "{}: 'port' {} is 'master_port', too, and the master is on this host: give this rank a port of its own",
        ring.path, config.port);
  }
  if (right_is_master && config.right_port == config.master_port) {
    return Refuse(
        "{}: 'right_port' {} is 'master_port', where rank 0 meets all ranks: the ring is not closed; write rank 0's "
        "'port', where it hears its left neighbour",
        ring.path, config.right_port);
  }
  const auto unbracketed = [](const std::string& address) {
    return address.starts_with('[') ? address.substr(1, address.size() - 2) : address;
  };
  const std::string right_ip = right_here ? "" : unbracketed(*config.right_ip);
  if (right_is_master && !right_here && config.master_ip && !IsThisHost(config.master_ip) &&
      SurelyUnlike(right_ip, unbracketed(*config.master_ip))) {
    return Refuse(
        "{}: 'right_ip' \"{}\", but 'master_ip' \"{}\": the right neighbour of rank {} is rank 0, the master: the ring "
        "is "
        "not closed; write rank 0's address in both",
        ring.path, *config.right_ip, *config.master_ip, config.rank);
  }
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    if (std::find(nodes[node].ranks.begin(), nodes[node].ranks.end(), right) == nodes[node].ranks.end()) continue;
    const bool as_planned = config.right_ip && unbracketed(*config.right_ip) == nodes[node].address;
    if (right_here && node != own_node && !as_planned) {
      return Refuse(
          "{}: 'right_ip' {}is this host, but the plan has the right neighbour, rank {}, on node {} ({}{}): write its "
          "address",
          ring.path, config.right_ip ? fmt::format("\"{}\" ", *config.right_ip) : "is left out, which ", right, node,
          nodes[node].name, nodes[node].address.empty() ? "" : " at " + nodes[node].address);
    }
    if (!right_here && SurelyUnlike(right_ip, nodes[node].address)) {
      return Refuse(
          "{}: 'right_ip' \"{}\", but the plan has the right neighbour, rank {}, on node {} ({} at {}): correct it, or "
          "the "
          "address in the cluster file, and plan anew",
          ring.path, *config.right_ip, right, node, nodes[node].name, nodes[node].address);
    }
  }
  return Status();
}

}  // namespace

Heard HearRing(const RingFound& ring, const std::vector<PlanNode>& nodes) {
  const RingRankConfig& config = ring.config;
  const uint32_t ranks = RankCount(nodes);
  if (config.world_size != ranks) {
    return Refuse(
        "{}: 'world_size' {}, but the plan has {} rank{}: write the files of its ranks with mrs-plan export "
        "--for mistralrs, or plan for {} ranks",
        ring.path, config.world_size, ranks, ranks == 1 ? "" : "s", config.world_size);
  }
  Claim claim;
  for (uint32_t node = 0; node < nodes.size(); ++node) {
    for (const uint32_t rank : nodes[node].ranks) {
      if (rank == config.rank) claim.node = node;
    }
  }
  if (!claim.node) return Refuse("{}: 'rank' {} is none of the plan's", ring.path, config.rank);
  MRS_RETURN_IF_ERROR(CheckNeighbour(ring, nodes, *claim.node));
  claim.said = fmt::format("RING_CONFIG={}, rank {}", ring.path, config.rank);
  if (config.master_ip && !IsThisHost(config.master_ip)) {
    std::string address = *config.master_ip;
    if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
    claim.head = {address, 0, fmt::format("{}: 'master_ip' \"{}\"", ring.path, *config.master_ip)};
  }
  claim.head.port = config.master_port;
  if (claim.head.said.empty() && config.master_port > 0) {
    claim.head.said = fmt::format("{}: 'master_port' {}", ring.path, config.master_port);
  }
  return std::optional(std::move(claim));
}

}  // namespace mrs::node
