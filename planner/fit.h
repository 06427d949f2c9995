// Does a layout fit, and by how much not? Computed from the model alone, before any graph and any header.
//
//   Judge(llama_8b on one rank of 24 GiB, 131072 tokens)  ->  short of 10116612096 bytes
//
// A rank may use 9/10 of its device (memory_default.h). The tenth is the runtime's reserve: the driver's context,
// library code, and what fragments. What would fit instead: ways_out.h.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "planner/rank_needs.h"
#include "plans/status.h"

namespace mrs {

// What ranks may use. Exactly one of the three.
struct Budget {
  std::optional<int64_t> each = {};     // every rank, however many there are
  std::optional<uint64_t> shared = {};  // of one host, of which its ranks may use 9/10 together
  // Of each device, in the order of ranks in groups of `tp`: there are no more.
  std::function<std::vector<int64_t>(int64_t tp)> devices = {};
  bool cuda = false;
  Collectives collectives = Collectives::kStaged;  // of GPU ranks: their buffers count
};

struct FitQuestion {
  const ModelSpec* spec = nullptr;
  bool bf16 = true;
  Layout layout = {};  // legal (legality.h)
  int64_t max_len = 0;
  int64_t max_seqs = 1;
  Budget budget = {};
  bool any_world = false;  // stages x tp need be no power of two
};

struct FitVerdict {
  std::vector<int64_t> memory;       // that a rank of each stage may use: the least of its ranks
  std::vector<RankNeed> needs;       // of each stage
  std::vector<planner::StageKv> kv;  // with block counts, where it fits
  std::optional<size_t> too_small;   // the first stage that is
  bool fits() const { return !too_small; }
  int64_t ShortBy() const;  // of the stage that lacks most; 0: it fits
};

// Refuses a world that is no power of two, and more ranks than there are devices.
Result<FitVerdict> Judge(const FitQuestion& question);

// What the fullest rank takes, with one sequence's KV cache.
int64_t LeastOf(const FitVerdict& verdict);

// memory.fits with its numbers, and what is missing.
std::string TooFew(const FitQuestion& question, const FitVerdict& verdict);

}  // namespace mrs
