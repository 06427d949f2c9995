#include "cli/node_seat.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "cli/name_wait.h"
#include "cli/ring_seat.h"
#include "host/memory.h"
#include "host/output.h"
#include "plans/printable.h"
#include "plans/whole_file.h"
#include "runtime/comm/integrity.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/node/claims.h"
#include "runtime/world/node_facts.h"
#include "runtime/world/strangers.h"

extern char** environ;

namespace mrs::cli {
namespace {

constexpr uint64_t kMaxSecretBytes = 4096;
constexpr size_t kMinSecretBytes = 16;
constexpr std::chrono::microseconds kTagRateTime{3000};

// The file's bytes but for white space at its end, which editors and echo leave there.
Result<std::string> ReadSecret(const std::string& path) {
  MRS_ASSIGN_OR_RETURN(const WholeFile file, ReadWholeFile(path, kMaxSecretBytes));
  std::string secret(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  while (!secret.empty() && std::strchr(" \t\r\n", secret.back()) != nullptr) secret.pop_back();
  if (secret.size() < kMinSecretBytes) {
    return Refuse(
        "--cluster-secret-file {}: has {} bytes, at least {} are needed; make one with: head -c 32 /dev/urandom "
        "| base64",
        Printable(path), secret.size(), kMinSecretBytes);
  }
  return secret;
}

// --interface is for where the plan has no address of this node; there it must be the same.
Status SettleInterface(const ExecOptions& options, NodeSeat* seat) {
  const std::string& planned = seat->nodes[seat->identity.node].address;
  if (seat->bind_address.empty()) return Status();
  if (planned.empty()) {
    if (seat->is_head() && seat->identity.head_address.empty()) seat->identity.head_address = seat->bind_address;
    return Status();
  }
  if (!options.node.interface.empty() && node::SurelyUnlike(seat->bind_address, planned)) {
    return Refuse(
        "--interface {}: it gives this node {}, and the plan has it at {}; leave it out, or correct the address "
        "in the cluster file, and plan anew",
        Printable(options.node.interface), seat->bind_address, planned);
  }
  seat->bind_address.clear();
  return Status();
}

// The secret, and what is done without one.
Status SettleSecret(const ExecOptions& options, NodeSeat* seat) {
  if (!options.node.secret_file.empty()) {
    MRS_ASSIGN_OR_RETURN(seat->secret, ReadSecret(options.node.secret_file));
    seat->integrity = options.node.integrity != "off";
    return Status();
  }
  if (options.node.integrity == "on") {
    return Refuse(
        "--cluster-integrity on: tags are made with the cluster's secret; give every node the same file with "
        "--cluster-secret-file FILE");
  }
  if (options.node.insecure) return Status();
  std::string far = IsLoopback(seat->identity.head_address) ? "" : seat->identity.head_address;
  if (seat->ring.has_value()) {
    const wire::RingFacts& facts = seat->ring->facts;
    for (const std::string& address : {facts.right.address, facts.listen.address}) {
      if (far.empty() && !address.empty() && !IsLoopback(address)) far = address;
    }
  }
  for (const PlanNode& node : seat->nodes) {
    if (far.empty() && !node.address.empty() && !IsLoopback(node.address)) far = node.address;
  }
  if (far.empty()) return Status();
  return Refuse(
      "{0} is no address of the loopback: {1}s must prove to each other that they know a secret; give every {1} the "
      "same file with --cluster-secret-file FILE, or say --insecure-cluster where whoever reaches them may be trusted",
      far, seat->ring.has_value() ? "rank" : "node");
}

// Of a ring, each rank's file says where it listens.
uint16_t ClusterPortOf(const NodeSeat& seat) { return seat.ring.has_value() ? 0 : seat.port; }

}  // namespace

bool IsLoopback(const std::string& address) {
  if (address == "localhost" || address == "::1") return true;
  in_addr v4{};
  return inet_pton(AF_INET, address.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

Result<NodeSeat> FindSeat(const plan::Plan& plan, const ExecOptions& options) {
  NodeSeat seat;
  MRS_ASSIGN_OR_RETURN(seat.nodes, NodesOf(plan));
  MRS_ASSIGN_OR_RETURN(seat.identity, options.node.Identify(seat.nodes, environ));
  for (const std::string& notice : seat.identity.notices) Say("mrs-exec: warning: {}\n", notice);
  const bool alone = seat.alone() && !seat.identity.ring.has_value();
  std::vector<std::string> notices = LinkNotices(options.node.links, alone, environ);
  if (alone) {
    for (const std::string& notice : notices) Say("mrs-exec: warning: {}\n", notice);
    return seat;
  }
  MRS_ASSIGN_OR_RETURN(seat.bind_address, options.node.InterfaceAddress(environ, &notices));
  for (const std::string& notice : notices) Say("mrs-exec: warning: {}\n", notice);
  if (seat.identity.head_port != 0) seat.port = seat.identity.head_port;
  if (seat.identity.ring.has_value()) {
    MRS_RETURN_IF_ERROR(TakeRingSeat(options, &seat));
  } else {
    if (seat.is_head()) MRS_RETURN_IF_ERROR(CheckClusterPort(seat.port, plan.ranks()->size()));  // whose port counts
    MRS_RETURN_IF_ERROR(SettleInterface(options, &seat));
  }
  if (seat.identity.head_address.empty()) {
    return Refuse(
        "the plan's cluster gives its head, {}, no address: say where it listens with --head ADDRESS[:PORT] on "
        "every node, or plan with addresses in the cluster file",
        NodeText(seat.nodes, 0));
  }
  MRS_RETURN_IF_ERROR(SettleSecret(options, &seat));
  // Where the name of this host comes to be known later than this process starts.
  if (seat.is_head()) {
    const std::string& head = seat.identity.head_address;
    MRS_RETURN_IF_ERROR(WaitForName(head, fmt::format("the head's address, {}", Printable(head)), options).status());
  }
  return seat;
}
std::string DescribeIntegrity(const NodeSeat& seat) {
  if (seat.alone()) return "";
  if (seat.secret.empty()) return "integrity     off between nodes: they share no secret to make tags with\n";
  const double rate = MeasureTagRate(kTagRateTime);
  if (seat.integrity) {
    return fmt::format(
        "integrity     AES-GMAC between nodes, {:.2g} GB/s a core here; --cluster-integrity off where the network is "
        "trusted\n",
        rate / 1e9);
  }
  return fmt::format(
      "integrity     off between nodes (--cluster-integrity off); AES-GMAC would take a core {:.2g} s a GB\n",
      1e9 / rate);
}

Party MakeParty(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, const RankOptions& ranks) {
  Party party;
  party.nodes = seat.nodes;
  party.node = seat.identity.node;
  party.facts = FactsOf(opened, seat.nodes, seat.identity.node, ReadHostMemory().total_bytes);
  party.facts.rehearses = options.rehearse;
  party.facts.streams = options.node.links.count();
  if (seat.ring.has_value()) {
    party.facts.ring = seat.ring->facts;
    party.head_also = seat.ring->head_also;
  }
  party.own_address = seat.bind_address;
  party.secret = seat.secret;
  party.integrity = seat.integrity;
  party.start_timeout = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(options.node.start_timeout_s * 1000)));
  party.stands = {.rehearsal = ranks.rehearsal, .cluster_port = ClusterPortOf(seat)};
  if (!options.quiet) party.say = [](const std::string& line) { Say("{}\n", line); };
  return party;
}

Status TakeHeadSeat(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, RankOptions* ranks) {
  if (seat.alone()) return Status();
  Result<TcpListener> listener = TcpListener::Bind(seat.identity.head_address, seat.port);
  if (!listener.ok() && seat.ring.has_value()) {
    return Unavailable(
        "{}: cannot meet the others: {}; is this the host of rank 0, and the only rank 0 there ({})? 'master_ip' and "
        "'master_port' say where it is, in every file",
        NodeText(seat.nodes, 0), listener.message(), seat.identity.source);
  }
  if (!listener.ok()) {
    return Unavailable("{}: cannot listen for the other nodes at {} port {}: {}; is this that node ({})?",
                       NodeText(seat.nodes, 0), seat.identity.head_address, seat.port, listener.message(),
                       seat.identity.source);
  }
  const std::string address = OwnAddress(listener->fd());
  const auto is_far = [](const PlanNode& node) { return !node.address.empty() && !IsLoopback(node.address); };
  if (IsLoopback(address) && std::any_of(seat.nodes.begin() + 1, seat.nodes.end(), is_far)) {
    return Refuse(
        "{} is {} on this host, which no other node reaches ({}): correct its name in /etc/hosts here, or give "
        "an address with --head ADDRESS on every node",
        Printable(seat.identity.head_address), address, NodeText(seat.nodes, 1));
  }
  if (address == "0.0.0.0" || address == "::") {
    return Refuse(
        "--head {}: the head listens at one address, which the other nodes reach it by, and never at all of "
        "them; name that one",
        seat.identity.head_address);
  }
  if (seat.ring.has_value() && !options.quiet) {
    Say("this is       {} of {}, which serves; the others meet it at {}{}\n", NodeText(seat.nodes, 0),
        seat.nodes.size(), AddressText(address, seat.port), IsLoopback(address) ? ", from this host alone" : "");
  }
  ranks->share = NodeShare{.nodes = seat.nodes,
                           .node = 0,
                           .address = seat.bind_address.empty() ? address : seat.bind_address,
                           .cluster_port = ClusterPortOf(seat)};
  ranks->head = HeadSeat{.party = MakeParty(opened, seat, options, *ranks),
                         .listener = std::make_shared<TcpListener>(*std::move(listener))};
  return Status();
}

}  // namespace mrs::cli
