// One process for each rank of a ring, as RING_CONFIG asks for: where it listens, whom it connects to, and where rank 0
// is met.
//
//   {"port": 9002, "right_port": 9001, "rank": 1, "world_size": 2, "master_port": 9000}
//   ->  listens at 127.0.0.1:9002, connects to this host's port 9001, and meets the others at 127.0.0.1:9000
#pragma once

#include <string>

#include "cli/exec_options.h"
#include "cli/node_seat.h"
#include "plans/status.h"

namespace mrs::cli {

// What a rank of a ring may listen at, in the order of who decides; "": says nothing.
struct ListenSources {
  std::string planned;    // the cluster file's, numeric
  std::string interface;  // --interface, or NCCL_SOCKET_IFNAME
  bool hinted = false;    // the latter
  std::string right;      // the right neighbour's, numeric; "": it is on this host
};

// kRefused: the plan and --interface differ; kUnavailable: no way leads to the right neighbour.
Result<std::string> ListenAddress(const ListenSources& sources);

// Makes the seat one of a ring of processes: `seat` has its nodes by the plan, its identity and what --interface gives.
Status TakeRingSeat(const ExecOptions& options, NodeSeat* seat);

}  // namespace mrs::cli
