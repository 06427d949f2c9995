#include "cli/run_node.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstring>
#include <mutex>
#include <optional>

#include "cli/session.h"
#include "host/output.h"
#include "host/process.h"
#include "plans/text.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/world/node_facts.h"
#include "runtime/world/node_main.h"

namespace mrs::cli {
namespace {

Status CheckOptions(const ExecOptions& options, const NodeSeat& seat) {
  if (seat.ring.has_value()) return Status();  // all ranks of a ring may be started by the same words
  const char* for_head = options.answers_once()        ? "--prompt and --prompt-ids are"
                         : options.json                ? "--json is"
                         : !options.logits_out.empty() ? "--logits-out is"
                                                       : nullptr;
  if (for_head == nullptr) return Status();
  return Error{ErrorKind::kUsage, fmt::format("{} for the head, {}; this is {} ({})", for_head, NodeText(seat.nodes, 0),
                                              NodeText(seat.nodes, seat.identity.node), seat.identity.source)};
}

std::string WhoThisIs(const plan::Plan& plan, const NodeSeat& seat) {
  const std::string me = NodeText(seat.nodes, seat.identity.node);
  if (seat.ring.has_value()) {
    return fmt::format(
        "this is       {} of {}, a background worker ({}): no port for clients, no prompts; rank 0 has them, at {}", me,
        seat.nodes.size(), seat.identity.source, AddressText(seat.identity.head_address, seat.port));
  }
  return fmt::format("this is       {} of {} nodes, by {}: {} of {}; no port for clients, which the head serves: {}",
                     me, seat.nodes.size(), seat.identity.source, RanksText(seat.identity.ranks), plan.ranks()->size(),
                     NodeText(seat.nodes, 0));
}

// What this node's ranks need, as far as it can be told without the head.
Result<RankOptions> NodeRanks(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options) {
  MRS_RETURN_IF_ERROR(CheckOptions(options, seat));
  MRS_ASSIGN_OR_RETURN(RankOptions ranks, RanksFor(opened.plan(), options, seat));
  if (!options.rehearse) {
    MRS_ASSIGN_OR_RETURN(ranks.model_dir, FindModel(opened.plan(), options));
  }
  return ranks;
}

}  // namespace

int RunNode(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, const NodeWaits& waits) {
  const TcpEndpoint head{seat.identity.head_address, seat.port};
  Party party = MakeParty(opened, seat, options, RankOptions());
  party.stop_fd = waits.signal_fd;
  const Result<RankOptions> ranks = NodeRanks(opened, seat, options);
  if (!ranks.ok()) {
    const int exit_code = Fail(ranks.error());  // here first, whether the head is there or not
    TellWhyNotJoining(head, party, ranks.message());
    return exit_code;
  }
  if (!options.quiet) {
    Say("{}{}{}\n", PlanSummary(opened.plan(), opened.name()), DescribeRun(opened.plan(), *ranks, seat),
        WhoThisIs(opened.plan(), seat));
  }
  std::mutex mutex;
  std::optional<Status> ended;
  Result<std::unique_ptr<NodeMain>> node = NodeMain::Start(opened, *ranks, party, head, [&](const Status& how) {
    {
      const std::lock_guard lock(mutex);
      ended = how;
    }
    waits.notify();
  });
  if (!node.ok()) {
    if (node.error().kind == ErrorKind::kCancelled) return 0;
    return Fail(node.error());
  }
  for (const std::string& notice : seat.identity.notices) {
    (*node)->SayToHead(fmt::format("mrs-exec: warning: {}", notice));
  }
  if (!options.quiet) {
    PassOn(fmt::format("together      all {} {} are there\n", seat.nodes.size(), seat.ring ? "ranks" : "nodes"));
  }
  const int signal_number = waits.wait();
  if (signal_number != 0) {
    (*node)->Leave(fmt::format("it was asked to end (signal {}, {})", signal_number, strsignal(signal_number)));
  }
  (*node)->Stop();
  if (signal_number != 0) return 0;
  const std::lock_guard lock(mutex);
  if (ended.has_value() && !ended->ok()) return Fail(ended->error());
  if (!options.quiet) Say("ended         by the head, in order\n");
  return 0;
}

}  // namespace mrs::cli
