// Slices as a plan may have them: all of a dimension, or a part a rank, in rank order, none left out.
//
//   tp 4: {start 0, step 16, size 16, every 1}  ->  64 in all: ranks hold [0,16) [16,32) [32,48) [48,64)
//         {start 0, step 8, size 8, every 2}    ->  16 in all: ranks hold [0,8) [0,8) [8,16) [8,16)
//         {start 48, step -16, size 16}         ->  refused: another order than the ranks'
#pragma once

#include <cstdint>

#include "plans/verify/context.h"

namespace mrs::verify {

uint32_t AxisSize(const plan::Plan& plan, plan::Axis axis);

// Sane in itself: along no axis, tp or ep; it starts at 0 and steps by its size, and where several neighbours hold one
// part, they are equally many everywhere.
Status CheckSlice(const plan::Plan& plan, const plan::Slice& slice);

// What the ranks hold together of a slice that CheckSlice accepts.
uint64_t TotalOf(const plan::Plan& plan, const plan::Slice& slice);

// Whether each part is held by one rank only, of `total` in all.
bool TilesOnce(const plan::Plan& plan, const plan::Slice& slice, uint64_t total);

bool SameSlice(const plan::Slice& a, const plan::Slice& b);

}  // namespace mrs::verify
