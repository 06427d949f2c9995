// Where a rank stands among the plan's stages.
//
//   // two stages of two: ranks 0 1 | 2 3
//   AnsweringRank(plan)      // 2: the first rank of the stage that ends the model
//   PeerIn(plan, 1, 1)       // 3: the rank with rank 1's place in stage 1
#pragma once

#include <cstdint>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs {

// The one rank that gives the supervisor the results.
uint32_t AnsweringRank(const plan::Plan& plan);

// The rank of `stage` that has the coordinates of `rank` on all other axes; it is there in a verified plan.
uint32_t PeerIn(const plan::Plan& plan, uint32_t rank, uint32_t stage);

// The ranks of the group in which the collectives of `rank` run, in tree order.
std::vector<int> TpGroupOf(const plan::Plan& plan, uint32_t rank);

}  // namespace mrs
