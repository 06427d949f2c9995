// Shapes for attention of fast numerics: of each of its head_dims, with a group of each kind, over its edges.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {

inline std::vector<AttentionShape> FlashShapes() {
  std::vector<int32_t> many;  // contexts, of which each has one token of a batch
  for (int32_t i = 0; i < 21; ++i) many.push_back(1 + i * 37 % 100);
  return {
      {.heads = 4, .kv_heads = 1, .head_dim = 64, .lengths = {70}, .queries = 70},
      {.heads = 4, .kv_heads = 2, .head_dim = 64, .lengths = {97, 1, 33}, .queries = 40},
      {.heads = 1, .kv_heads = 1, .head_dim = 64, .lengths = {130}, .queries = 129},
      {.heads = 7, .kv_heads = 1, .head_dim = 128, .lengths = {20, 64}, .queries = 12},
      {.heads = 71, .kv_heads = 1, .head_dim = 16, .lengths = {34}, .queries = 2},
      {.heads = 64, .kv_heads = 1, .head_dim = 8, .lengths = {40, 2}, .queries = 3},
      {.heads = 6, .kv_heads = 3, .head_dim = 96, .lengths = {65}, .queries = 33},
      {.heads = 2, .kv_heads = 1, .head_dim = 80, .lengths = {31, 32, 66}, .queries = 20},
      {.heads = 2, .kv_heads = 1, .head_dim = 104, .lengths = {45}, .queries = 17},
      {.heads = 2, .kv_heads = 1, .head_dim = 256, .lengths = {50, 35}, .queries = 34},
      {.heads = 1, .kv_heads = 1, .head_dim = 136, .lengths = {70}, .queries = 9},
      {.heads = 4, .kv_heads = 2, .head_dim = 64, .lengths = many, .queries = 1, .padding = 11},
      {.heads = 2, .kv_heads = 2, .head_dim = 24, .lengths = many, .queries = 2},
      // Neighbours by their positions, but not of one sequence.
      {.heads = 4, .kv_heads = 1, .head_dim = 64, .lengths = {39, 40, 41, 42}, .queries = 1},
      // Windows: a token, a block, between, and longer than the context.
      {.heads = 2, .kv_heads = 1, .head_dim = 64, .lengths = {100, 40}, .queries = 70, .window = 1},
      {.heads = 4, .kv_heads = 1, .head_dim = 64, .lengths = {200}, .queries = 40, .window = 32},
      {.heads = 2, .kv_heads = 1, .head_dim = 128, .lengths = {300, 90}, .queries = 50, .window = 77},
      {.heads = 2, .kv_heads = 1, .head_dim = 96, .lengths = {60}, .queries = 40, .window = 1000},
      // Caps, of each way that Q is kept.
      {.heads = 2, .kv_heads = 1, .head_dim = 64, .lengths = {50}, .queries = 40, .soft_cap = 5.0f},
      {.heads = 2, .kv_heads = 1, .head_dim = 96, .lengths = {50}, .queries = 20, .soft_cap = 50.0f},
      {.heads = 2, .kv_heads = 1, .head_dim = 128, .lengths = {50}, .queries = 20, .window = 40, .soft_cap = 20.0f},
      {.heads = 2, .kv_heads = 1, .head_dim = 256, .lengths = {60}, .queries = 20, .window = 33, .soft_cap = 50.0f},
      // Sinks, among the scores and above them, of each way that Q is kept; with tiles that heads do not fill.
      {.heads = 6, .kv_heads = 2, .head_dim = 64, .lengths = {70, 33}, .queries = 40, .sinks = {3, -1, 1e6f, 5, 0}},
      {.heads = 3, .kv_heads = 1, .head_dim = 96, .lengths = {60}, .queries = 40, .window = 20, .sinks = {2, 1, 4}},
      {.heads = 2, .kv_heads = 1, .head_dim = 128, .lengths = {70}, .queries = 33, .soft_cap = 5.0f, .sinks = {4, 20}},
      {.heads = 2, .kv_heads = 1, .head_dim = 256, .lengths = {60}, .queries = 20, .sinks = {3, -1e6f}},
      {.heads = 71, .kv_heads = 1, .head_dim = 16, .lengths = {34}, .queries = 2, .sinks = {2, 0, 3}},
  };
}

}  // namespace mrs::kernels::cuda
