// Which node this process is, where the head is, and what the nodes share: from the command line, the environment and
// the plan.
//
//   MRS_ASSIGN_OR_RETURN(const NodeSeat seat, FindSeat(plan, options));
//   if (!seat.is_head()) return RunNode(...);
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/exec_options.h"
#include "plans/cluster_nodes.h"
#include "plans/cluster_ports.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/node/identity.h"
#include "runtime/world/rank_world.h"

namespace mrs::cli {

// RING_CONFIG's file, as this process carries it out: `nodes` stand for the ranks of the ring.
struct RingSeat {
  wire::RingFacts facts;
  uint32_t ranks_on_host = 0;          // of the ring; 0: not known
  std::vector<std::string> head_also;  // where rank 0 may be met, too: it is on this host
};

struct NodeSeat {
  std::vector<PlanNode> nodes;
  NodeIdentity identity;
  uint16_t port = kClusterPort;
  std::string secret;            // of the cluster; "": none
  bool integrity = false;        // what is said between nodes has tags
  std::string bind_address;      // of this node, numeric; "": the one that leads to the head
  std::optional<RingSeat> ring;  // of a process of a ring

  bool alone() const { return nodes.size() == 1; }
  bool is_head() const { return identity.node == 0; }
};

// Says what was taken otherwise than it was written.
Result<NodeSeat> FindSeat(const plan::Plan& plan, const ExecOptions& options);

// Whether every node can only be reached from its own host.
bool IsLoopback(const std::string& address);

// The line about tags of a start; "" where the node is alone. Measures what they cost here, for some milliseconds.
std::string DescribeIntegrity(const NodeSeat& seat);

// As many as a rendezvous needs to know; `ranks` are the head's; a node's do not matter.
Party MakeParty(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, const RankOptions& ranks);

// Of the head of several nodes: listens for the others, and makes its ranks part of the world. Nothing where it is
// alone.
Status TakeHeadSeat(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, RankOptions* ranks);

}  // namespace mrs::cli
