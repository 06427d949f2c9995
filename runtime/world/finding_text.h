// A finding about the ranks in words.
//
//   Describe(finding, names)
//   // "rank 1 (pid 77) hangs at step 57, operation 12 of 203 ('l3.o_proj.all_reduce'): alive, but no progress for 30.0
//   s;
//   //  ranks 0, 2 and 3 wait for it"
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/world/liveness.h"

namespace mrs {

// Which ranks a process holds.
struct NamedProcess {
  uint32_t first_rank = 0;
  uint32_t rank_count = 1;
  int pid = 0;             // 0: not told
  std::string place = {};  // "node 1 (b at 10.0.0.2)"; "": this host, as all
};

struct WorldNames {
  std::vector<NamedProcess> processes = {};  // all ranks of the world, in their order
  // What the plan calls that step of the rank's stage; "" where there is no such step.
  std::function<std::string(uint32_t rank, uint32_t plan_step)> step_name = {};
};

std::string Describe(const Finding& finding, const WorldNames& names);

// "rank 1", "ranks 0 and 2", "ranks 0, 2 and 3", "ranks 0, 1, 2, 3 and 12 others".
std::string RankList(const std::vector<uint32_t>& ranks);

}  // namespace mrs
