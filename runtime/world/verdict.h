// Says which rank is to blame when the world breaks: one death makes all its peers complain, and the complaint may come
// first.
//
//   Judge({.ends = {{.first_rank = 1, .rank_count = 1, .pid = 123, .wait_status = 9}}, .phase = "at step 57"}, false)
//   ->  "rank 1 (pid 123) was killed by signal 9 (Killed) at step 57"
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/world/wire.h"

namespace mrs {

// A rank process that ended without being asked to. `wait_status` as waitpid gives it; none where somebody else waited
// for it first.
struct ProcessEnd {
  uint32_t first_rank = 0;
  uint32_t rank_count = 1;
  int pid = 0;
  std::optional<int> wait_status = 0;
};

// "rank 1", "ranks 0 to 3".
std::string RankRange(uint32_t first_rank, uint32_t rank_count);

struct Evidence {
  std::vector<ProcessEnd> ends = {};
  std::vector<wire::Failure> failures = {};
  std::string seen = {};   // what the board shows (finding_text.h), a rank that is frozen or hangs; "": nothing
  std::string phase = {};  // "while loading weights", "at step 57"
  std::vector<std::string> places = {};  // of each rank, " on node 1 (b at 10.0.0.2)"; empty where all are of one host
  std::optional<std::string> node_lost = {};  // "node 1 (b) is gone: its connection closed"
};

// The cause, from what is known so far; nothing while only consequences are (a peer that went away, an exit without a
// word) and it is not the `last_call`. In order: a rank killed by a signal; a rank that gives a reason of its own; a
// node that is gone; what the board shows; a rank that was asked to end (SIGTERM and the like; where everyone was, as
// systemd does it, the supervisor is ending by now); a rank that lost a peer; a rank that exited.
std::optional<std::string> Judge(const Evidence& evidence, bool last_call);

}  // namespace mrs
