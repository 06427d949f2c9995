// Does a layout fit, by how much not, and what is the nearest change that does? Computed from the model alone, before
// any graph and any header; every change that is proposed was judged by the same sums, so it plans when it is applied.
//
//   Judge(llama_8b on one rank of 24 GiB, 131072 tokens)
//     ->  short of 3221225472 bytes; --max-len 106368 fits, or --tp 2, or --pp 2
//
// A rank may use 9/10 of its device (memory_default.h). The tenth is the runtime's reserve: the driver's context,
// library code, and what fragments.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ir/canonical_chunks.h"
#include "planner/model_tensors.h"
#include "planner/rank_needs.h"

namespace mrs {

// What ranks may use. Exactly one of the three.
struct Budget {
  std::optional<int64_t> each = {};     // every rank, however many there are
  std::optional<uint64_t> shared = {};  // of one host, of which its ranks may use 9/10 together
  // Of each device, in the order of ranks in groups of `tp`: there are no more.
  std::function<std::vector<int64_t>(int64_t tp)> devices = {};
  bool cuda = false;
  bool nccl = true;  // of GPU ranks: its buffers count
};

struct FitQuestion {
  const ModelSpec* spec = nullptr;
  bool bf16 = true;
  LayoutFlags flags = {};
  int64_t max_len = 0;
  int64_t longest = 0;  // that --solve max-len may say
  Budget budget = {};
  bool any_world = false;  // stages x tp need be no power of two
  // Where no flag says the layout it is chosen anew with every other option: from max_len and max_seqs. Null: `flags`
  // say it.
  std::function<LayoutFlags(int64_t max_len, int64_t max_seqs)> choose = {};
  int64_t most_tp = kMaxChunks;
};

struct FitVerdict {
  Layout layout;
  std::vector<int64_t> memory;       // that a rank of each stage may use: the least of its ranks
  std::vector<RankNeed> needs;       // of each stage
  std::vector<planner::StageKv> kv;  // with block counts, where it fits
  std::optional<size_t> too_small;   // the first stage that is
  bool fits() const { return !too_small; }
  int64_t ShortBy() const;  // of the stage that lacks most; 0: it fits
};

// Refuses a layout that flags or model forbid, and one of more ranks than there are devices.
Result<FitVerdict> Judge(const FitQuestion& question);

// Options that each alone make it fit, nearest first of its kind: "--max-seqs 4", "--max-len 2048", "--tp 4", "--pp 3",
// and where none of these does, "--tp 8 --pp 2".
std::vector<std::string> ChangesThatFit(const FitQuestion& question);

// memory.fits with its numbers, what is missing, and the changes.
Error DoesNotFit(const FitQuestion& question, const FitVerdict& verdict);

// The most tokens a sequence may have for one to fit; refuses where not even one token does.
Result<int64_t> SolveMaxLen(const FitQuestion& question);
// The most sequences that may have max_len tokens all at once.
Result<int64_t> SolveMaxSeqs(const FitQuestion& question);

}  // namespace mrs
