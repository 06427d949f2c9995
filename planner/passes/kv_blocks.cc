#include "planner/passes/kv_blocks.h"

#include <algorithm>
#include <limits>
#include <map>

namespace mrs::planner {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

int64_t SequenceBlocks(int64_t window, const KvLimits& limits) {
  const int64_t whole = CeilDiv(limits.max_len, kKvBlockTokens);
  if (window == 0) return whole;
  // A token at p reads back to p - window + 1, and the batch's last one was written up to batch_tokens - 1 further on.
  // So many positions touch one block more where they begin inside one.
  return std::min(whole, CeilDiv(window + limits.batch_tokens - 2, kKvBlockTokens) + 1);
}

int64_t SequenceBytes(const StageKv& stage) {
  constexpr int64_t kTop = std::numeric_limits<int64_t>::max();
  int64_t bytes = 0;
  for (const KvClassBlocks& of_class : stage.classes) {
    if (of_class.sequence_blocks > (kTop - bytes) / of_class.block_bytes) return kTop;
    bytes += of_class.sequence_blocks * of_class.block_bytes;
  }
  return bytes;
}

std::optional<size_t> CountKvBlocks(const KvLimits& limits, std::vector<StageKv>* stages) {
  int64_t sequences = limits.max_seqs;
  std::optional<size_t> too_small;
  for (size_t s = 0; s < stages->size(); ++s) {
    for (KvClassBlocks& of_class : (*stages)[s].classes) {
      of_class.sequence_blocks = SequenceBlocks(of_class.window, limits);
    }
    const int64_t fit = (*stages)[s].bytes / SequenceBytes((*stages)[s]);
    if (fit < 1 && !too_small) too_small = s;
    sequences = std::min(sequences, fit);
  }
  if (too_small) return too_small;
  // The rest, below one more sequence in some stage, is the first class's.
  std::map<int64_t, int64_t> count_of_window;
  for (StageKv& stage : *stages) {
    int64_t left = stage.bytes;
    for (const KvClassBlocks& of_class : stage.classes) {
      left -= sequences * of_class.sequence_blocks * of_class.block_bytes;
    }
    for (KvClassBlocks& of_class : stage.classes) {
      of_class.block_count = sequences * of_class.sequence_blocks;
      if (&of_class == &stage.classes.front()) of_class.block_count += left / of_class.block_bytes;
      of_class.block_count = std::min(of_class.block_count, limits.max_seqs * of_class.sequence_blocks);
      const auto [found, added] = count_of_window.try_emplace(of_class.window, of_class.block_count);
      found->second = std::min(found->second, of_class.block_count);
    }
  }
  for (StageKv& stage : *stages) {
    for (KvClassBlocks& of_class : stage.classes) of_class.block_count = count_of_window.at(of_class.window);
  }
  return std::nullopt;
}

}  // namespace mrs::planner
