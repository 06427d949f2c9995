#include "cli/ring_seat.h"

#include <fmt/format.h>

#include "cli/name_wait.h"
#include "host/memory.h"
#include "plans/printable.h"
#include "runtime/comm/interfaces.h"
#include "runtime/comm/ring.h"

namespace mrs::cli {
namespace {

std::string WithoutBrackets(const std::string& address) {
  return address.starts_with('[') ? address.substr(1, address.size() - 2) : address;
}

// The port for clients is bound on the loopback alone.
Status CheckPorts(const ExecOptions& options, const NodeSeat& seat, const RingFound& ring) {
  const RingRankConfig& config = ring.config;
  if (config.rank != 0) return Status();
  const std::string& listen = seat.ring->facts.listen.address;
  if (config.port == seat.port && seat.identity.head_address == listen) {
    return Refuse("{}: 'port' {} is where rank 0 meets the others, too; give one of the two another port", ring.path,
                  config.port);
  }
  if (options.answers_once() || options.interactive || options.rehearse) return Status();
  const auto clashes = [&](const std::string& address, uint16_t port) {
    return address == "127.0.0.1" && port == options.port;
  };
  if (clashes(seat.identity.head_address, seat.port)) {
    return Refuse(
        "{}: rank 0 meets the others at port {}, and would serve clients there, too; serve them at another "
        "with --port N",
        ring.path, seat.port);
  }
  if (clashes(listen, config.port)) {
    return Refuse("{}: 'port' {} is where clients would be served, too; serve them at another with --port N", ring.path,
                  config.port);
  }
  return Status();
}

}  // namespace

Result<std::string> ListenAddress(const ListenSources& sources) {
  if (!sources.planned.empty()) {
    if (!sources.interface.empty() && !sources.hinted && sources.interface != sources.planned) {
      return Refuse(
          "--interface gives this rank {}, and the plan's cluster {}; leave it out, or correct the cluster file and "
          "plan "
          "anew",
          sources.interface, sources.planned);
    }
    return sources.planned;
  }
  if (!sources.interface.empty() && (!sources.hinted || !sources.right.empty())) return sources.interface;
  if (sources.right.empty()) return std::string("127.0.0.1");
  return AddressTowards(sources.right);
}

Status TakeRingSeat(const ExecOptions& options, NodeSeat* seat) {
  NodeIdentity& identity = seat->identity;
  const RingFound& ring = *identity.ring;
  const RingRankConfig& config = ring.config;
  if (config.world_size > static_cast<uint32_t>(kMaxRingRanks)) {
    return Refuse("{}: 'world_size' {}: a ring has 2 to {} ranks", ring.path, config.world_size, kMaxRingRanks);
  }
  const size_t own_node = NodeOfRank(seat->nodes, config.rank);
  const std::string& planned = seat->nodes[own_node].address;
  const bool right_here = IsThisHost(config.right_ip);
  RingSeat& made = seat->ring.emplace();
  wire::RingFacts& facts = made.facts;
  facts = {.file = ring.path,
           .listen = {"", config.port},
           .right = {right_here ? "" : WithoutBrackets(*config.right_ip), config.right_port},
           .network = NetworkId(),
           .machine_bytes = MachineMemoryBytes()};

  ListenSources sources;
  sources.interface = seat->bind_address;
  sources.hinted = options.node.interface.empty();
  if (!planned.empty()) {
    MRS_ASSIGN_OR_RETURN(sources.planned,
                         WaitForName(planned, fmt::format("this rank's address in the plan, {}", planned), options));
  } else if (!right_here && (sources.interface.empty())) {
    MRS_ASSIGN_OR_RETURN(
        sources.right,
        WaitForName(facts.right.address, fmt::format("{}: 'right_ip' \"{}\"", ring.path, *config.right_ip), options));
  } else if (!right_here) {
    sources.right = facts.right.address;
  }
  Result<std::string> listen = ListenAddress(sources);
  if (!listen.ok()) return Error{listen.error().kind, fmt::format("{}: {}", ring.path, listen.message())};
  facts.listen.address = *std::move(listen);

  // Rank 0 on this host, whose address nobody says: as it does itself, it is met where it listens.
  const bool master_here =
      IsThisHost(config.master_ip) && seat->nodes.front().address.empty() && options.node.flags.head.empty();
  const bool said = config.master_ip == "[::1]" && IsLoopback(facts.listen.address);
  if (master_here && config.rank == 0 && !said) identity.head_address = facts.listen.address;
  if (master_here && config.rank != 0) {
    MRS_ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> interfaces, ListInterfaces());
    for (const InterfaceAddress& of : interfaces) {
      if (of.up && of.address != identity.head_address) made.head_also.push_back(of.address);
    }
  }
  if (seat->nodes.size() > 1) {
    made.ranks_on_host = static_cast<uint32_t>(seat->nodes[own_node].ranks.size());
  } else if (right_here && IsLoopback(identity.head_address)) {
    made.ranks_on_host = config.world_size;
  }
  seat->bind_address.clear();
  seat->nodes = RingNodes(config.world_size);
  return CheckPorts(options, *seat, ring);
}

}  // namespace mrs::cli
