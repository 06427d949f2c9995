// The spaces of KV blocks that a plan's sequences live in: one for each distinct window of its layers, whichever stage
// they are of.
//
//   // stage 0 has layers with window 512 alone, stage 1 has full ones, too
//   KvSpacesOf(plan)              // {full, 80 blocks}, {window 512, 64 blocks, 25 of one sequence at most}
//   SpacesOfClasses(spaces, *plan.stages()->Get(0))   // {1}: its class 0 is the second space
//
// The engine hands out blocks by space, a batch brings slots and a block table for each, and every rank takes those of
// its stage's classes.
#pragma once

#include <cstdint>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

struct KvSpace {
  uint64_t window = 0;           // tokens; 0: all
  uint64_t block_count = 0;      // that every stage has
  uint64_t sequence_blocks = 0;  // of one sequence at most: block b of its positions is its block b % sequence_blocks
};

// Full attention first, then by window. Refuses a plan whose stages do not agree on a window's ring, and kinds of cache
// that no kernel here reads.
Result<std::vector<KvSpace>> KvSpacesOf(const plan::Plan& plan);

// For each KV class of a stage, which of `spaces` it is.
std::vector<uint32_t> SpacesOfClasses(const std::vector<KvSpace>& spaces, const plan::Stage& stage);

}  // namespace mrs
