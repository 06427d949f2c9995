// What works instead of what is refused: the nearest changes of options of which a plan comes, or that none does, and
// the memory that would do. Each was decided by the planner itself (Decider), and is said as it is typed.
//
//   70B, {.tp = 6} on 8 H100  ->  "tp 6: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16;
//                                  what works: --tp 4 --devices cuda:0,1,2,3; or --pp 6, without --tp"
//   70B on 2 of 24 GB         ->  "the plan does not fit: ... too few; nothing listed suffices (fewer sequences, ...);
//                                  devices of 79 GB each would"
#pragma once

#include <string>

#include "planner/decision.h"
#include "plans/status.h"

namespace mrs {

// Why no plan comes of the wish, and what to do: of one that Decider::Plans() says no to. A mistake of the command line
// (kUsage) stays as it is.
Error RefusalOf(const Decider& decider, const Wish& wish);

// From one wish to another as one types it: "--tp 4 --pp 2, without --device-layers and MISTRALRS_NO_NCCL".
std::string AsTyped(const Wish& from, const Wish& to);

}  // namespace mrs
