// How much memory a refused plan would take, as one gives it: by --memory, a larger host, or larger devices. Part of
// ways_out.h.
//
//   MemoryThatWould(decider of 70B on 2 x 24 GB, {})  ->  "devices of 79206743336 bytes (73.8 GiB) each"
#pragma once

#include <optional>
#include <string>

#include "planner/decision.h"

namespace mrs {

struct EnoughMemory {
  std::string text;      // "--memory 4096", "devices of 10 bytes (10 B) each, with --tp 2"
  std::string sentence;  // "--memory 4096 would"
  bool can_be = true;    // no rank may have more than contract::kMaxArenaBytes
};

// Of the wish's own layout, or where that is refused of the legal one that takes least of each rank; nothing: there is
// none, whatever the memory, as what is refused is not the layout.
std::optional<EnoughMemory> MemoryThatWould(const Decider& decider, const Wish& wish);

}  // namespace mrs
