// How attention is spread over a device along a context: blocks that each take some of its segments of 512 tokens and
// leave what each gave, which the last of them merges in order. It changes no bit of a result.
//
//   SplitOf({.tokens = 1, .heads = 32, .kv_heads = 8, .head_dim = 128, .table_stride = 256, .window = 0}, 132, 32 <<
//   20)
//   // 16 segments at most, a block each: 128 blocks on 132 multiprocessors
//
// A graph keeps it while contexts grow, so it goes by the longest that there may be. Never timed.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace mrs::kernels::cuda {

struct AttentionSize {
  int64_t tokens, heads, kv_heads, head_dim, table_stride, window;
};

struct AttentionSplit {
  int64_t blocks;    // along a context; 1: one walks it, and leaves nothing
  int64_t segments;  // in sight at most
  constexpr int64_t Bytes(const AttentionSize& size) const {
    return blocks == 1 ? 0 : size.tokens * size.heads * segments * (size.head_dim + 2) * int64_t{sizeof(float)};
  }
};

constexpr int64_t kMostContexts = 1024;  // that are spread: of a token and a KV head

constexpr AttentionSplit SplitOf(const AttentionSize& size, int64_t multiprocessors, int64_t workspace_bytes) {
  constexpr int64_t kBlocksAtOnce = 1;  // on a multiprocessor
  constexpr int64_t kTokens = kSegmentBlocks * kBlockTokens;
  int64_t segments = (size.table_stride + kSegmentBlocks - 1) / kSegmentBlocks;
  if (size.window != 0) {
    const int64_t of_window = (size.window + kTokens - 2) / kTokens + 1;
    segments = of_window < segments ? of_window : segments;
  }
  const int64_t others = size.tokens * size.kv_heads;  // blocks that there are anyway
  const int64_t wanted = others == 0 ? 1 : (kBlocksAtOnce * multiprocessors + others - 1) / others;
  const AttentionSplit split = {wanted < segments ? wanted : segments, segments};
  if (split.blocks < 2 || others > kMostContexts || split.Bytes(size) > workspace_bytes) return {1, segments};
  return split;
}

}  // namespace mrs::kernels::cuda
