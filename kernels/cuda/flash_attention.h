// Attention of fast numerics on tensor cores: what it takes, and in which tiles.
//
//   FlashTakes({.tokens = 512, .heads = 32, .kv_heads = 8, .head_dim = 128, ...}, 132, 32 << 20)   // true
//   FlashTileOf(4)   // 16 tokens x the 4 query heads of a KV head: 64 rows of a block
//
// A run is tokens in a row that are neighbours in one sequence, as a prompt's are. A tile may have many (decodes: each
// token is one), and blocks side by side take them by turns.
//
// How far a result may be from the truth. The weights p of V are rounded to bf16, and their sum is that of the rounded
// ones: that moves a result by at most 2^-8 of what it is a mean of. A score is a sum of head_dim exact products; its
// error comes back as a factor of its weight. Sums of tensor cores keep fewer bits than f32, so each addition is taken
// for one of kTensorEpsilon; exp2f has two units (CUDA's mathematical functions, single precision, with -ftz=true).
// testing/attention_truth.h has it as a formula, for one row and element.
#pragma once

#include "kernels/cuda/attention_split.h"

namespace mrs::kernels::cuda {

constexpr int kFlashWarps = 4;
constexpr int kFlashRows = kFlashWarps * 16;  // of a block: a tile of mma's sixteen rows a warp
constexpr int64_t kMostFlashHeadDim = 256;    // above it a warp's sums are more than its registers
constexpr int64_t kFlashGranule = 8;          // elements of head_dim: rows of V come in sixteen bytes
// Up to so many tokens there is too little in a tile for tensor cores to matter, and contexts are spread over blocks.
constexpr int64_t kMostTokensOfExact = 16;
constexpr int kFlashRunsAtOnce = 8;  // of a tile, a block each; reasoned, not timed

constexpr bool FlashHas(int64_t head_dim) { return head_dim <= kMostFlashHeadDim && head_dim % kFlashGranule == 0; }

// Else the exact kernel takes it: few tokens, such head_dims as FlashHas not, and what is spread along its contexts, as
// there are too few tokens and KV heads for a device.
constexpr bool FlashTakes(const AttentionSize& size, int64_t multiprocessors, int64_t workspace_bytes) {
  return size.tokens > kMostTokensOfExact && FlashHas(size.head_dim) &&
         SplitOf(size, multiprocessors, workspace_bytes).blocks == 1;
}

struct FlashTile {
  int heads, tokens;  // query heads of a KV head, and tokens: together kFlashRows or a little less
  int parts;          // tiles over the query heads of a KV head
};
constexpr FlashTile FlashTileOf(int64_t group) {
  const int heads = group < kFlashRows ? static_cast<int>(group) : kFlashRows;
  return {heads, kFlashRows / heads, static_cast<int>((group + heads - 1) / heads)};
}

}  // namespace mrs::kernels::cuda
