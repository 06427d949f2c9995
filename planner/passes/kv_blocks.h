// How many blocks each class of the KV cache has. A class is the layers of one attention window; window 0 sees all.
//
//   max_len 96, max_seqs 2, windows 0 and 16, batches of 64 tokens
//     ->  sequence_blocks 3 and 3; with memory for everything 6 blocks of each
//
// Classes hold equally many sequences, so none waits for another. Where memory is short of max_seqs sequences, each has
// the blocks of as many as fit, and the first class, of the largest reach, the rest. Stages count together: a class has
// as many blocks in one stage as in every other, so that one block table is good in all. Plain C++, with table tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace mrs::planner {

inline constexpr int64_t kKvBlockTokens = 32;

struct KvClassBlocks {
  int64_t window = 0;
  int64_t layers = 0;
  int64_t block_bytes = 0;      // of all its layers, on one rank
  int64_t sequence_blocks = 0;  // the most that one sequence holds; decided
  int64_t block_count = 0;      // decided
};

struct StageKv {
  int64_t bytes = 0;  // that a rank has left for its cache
  std::vector<KvClassBlocks> classes;
};

struct KvLimits {
  int64_t max_len = 0;
  int64_t max_seqs = 0;
  int64_t batch_tokens = 0;  // of the largest bucket
};

// The most blocks that a sequence holds: all of max_len, or a ring that a batch is written to before its first token
// has looked back over the window.
int64_t SequenceBlocks(int64_t window, const KvLimits& limits);

// What one sequence takes in a stage, of classes whose sequence_blocks are decided; where that is more than an int64_t
// holds, the most it holds.
int64_t SequenceBytes(const StageKv& stage);

// Fills in what is decided. The first stage that cannot hold one sequence; nothing: all can.
std::optional<size_t> CountKvBlocks(const KvLimits& limits, std::vector<StageKv>* stages);

}  // namespace mrs::planner
