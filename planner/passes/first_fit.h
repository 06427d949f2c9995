// Where values lie in an arena: each in the lowest gap that those alive with it leave, in the order of their writers.
//
//   {bytes 100, steps 0 to 2}, {50, 1 to 3}, {64, 3 to 4}   ->   offsets 0, 128, 0; an arena of 192 bytes
//
// For the pass that fixes addresses, and for whoever asks before there is a graph how large the arena will be.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mrs {

struct Lifetime {
  int64_t bytes = 0;
  int64_t first = 0;      // the step that writes it
  int64_t last = 0;       // the last that reads it
  int64_t in_place = -1;  // the value, before this one, whose bytes it takes over
};

struct Placed {
  std::vector<int64_t> offsets;  // of each value, aligned to contract::kArenaAlignment
  int64_t arena_bytes = 0;       // aligned, too
};

// `values` in the order of `first`.
Placed PlaceByFirstFit(std::span<const Lifetime> values);

}  // namespace mrs
