// mrs-exec on a node that is not the head: its ranks, no port for clients, and whatever the head says.
#pragma once

#include <functional>

#include "cli/exec_options.h"
#include "cli/node_seat.h"
#include "plans/reader.h"

namespace mrs::cli {

// How the main thread waits; see MainLoop of mrs_exec.cc.
struct NodeWaits {
  int signal_fd = -1;            // readable once a signal has come
  std::function<void()> notify;  // any thread
  std::function<int()> wait;     // the signal that came, or 0 after notify
};

// The exit code: 0 where the head ends the world in order, or a signal this node.
int RunNode(const OpenedPlan& opened, const NodeSeat& seat, const ExecOptions& options, const NodeWaits& waits);

}  // namespace mrs::cli
