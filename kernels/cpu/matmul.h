// y = x w^T in tiles of R rows x B blocks of 16 outputs. Formula, bytes and flops: MatmulArgs in kernels.h.
#pragma once

#include "kernels/cpu/dot.h"

namespace mrs::kernels {
namespace {

// The chunks' tree as a stack, one level per bit: after chunk c, as many pairs are added as c has trailing ones.
template <typename D, int R, int B>
inline void MatmulTile(const MatmulArgs& args, int64_t row, int64_t block) {
  using T = typename D::Element;
  constexpr int kMaxDepth = 20;
  const PackedShape& shape = args.shape;
  const int64_t padded = (shape.chunk_k + kGranule - 1) / kGranule * kGranule;
  const T* x = static_cast<const T*>(args.x) + row * args.x_stride;
  const T* w = static_cast<const T*>(args.w) + block * shape.chunk_count * padded * kLanes;
  alignas(64) typename D::Staged staged[R][kStage];
  F16 stack[kMaxDepth][R][B];
  int depth = 0;
  for (int64_t chunk = 0; chunk < shape.chunk_count; ++chunk) {
    F16(*acc)[B] = stack[depth++];
    for (int r = 0; r < R; ++r) {
      for (int b = 0; b < B; ++b) acc[r][b] = Zero();
    }
    for (int64_t k = 0; k < padded; k += kStage) {
      const int64_t count = MinOf(kStage, padded - k);
      const T* at[B];
      for (int b = 0; b < B; ++b) at[b] = w + ((b * shape.chunk_count + chunk) * padded + k) * kLanes;
      for (int r = 0; r < R; ++r) {
        Stage(x + r * args.x_stride + chunk * shape.chunk_k + k, MinOf(count, shape.chunk_k - k), count, staged[r]);
      }
      D::template Sum<R, B, 2 * kLanes>(staged, at, count, acc);
    }
    for (int64_t bits = chunk; (bits & 1) != 0; bits >>= 1) {
      --depth;
      for (int r = 0; r < R; ++r) {
        for (int b = 0; b < B; ++b) stack[depth - 1][r][b] = Add(stack[depth - 1][r][b], stack[depth][r][b]);
      }
    }
  }
  for (int b = 0; b < B; ++b) {
    const int64_t n = (block + b) * kLanes;
    const int64_t lanes = MinOf(kLanes, shape.n - n);
    for (int r = 0; r < R; ++r) {
      F16 y = stack[0][r][b];
      if (args.bias != nullptr) y = Add(y, LoadN(args.bias + n, lanes));
      StoreN(args.y + (row + r) * args.y_stride + n, y, lanes);
    }
  }
}

// All rows of B blocks; weights stay in the cache from one tile of rows to the next.
template <typename D, int B>
inline void MatmulBlocks(const MatmulArgs& args, int64_t block) {
  int64_t row = 0;
  for (; row + kMaxTileRows <= args.rows; row += kMaxTileRows) MatmulTile<D, kMaxTileRows, B>(args, row, block);
  if constexpr (kMaxTileRows > 4) {
    for (; row + 4 <= args.rows; row += 4) MatmulTile<D, 4, B>(args, row, block);
  }
  for (; row + 2 <= args.rows; row += 2) MatmulTile<D, 2, B>(args, row, block);
  for (; row < args.rows; ++row) MatmulTile<D, 1, B>(args, row, block);
}

template <typename T, Chain chain>
void Run(const MatmulArgs& args, int64_t item_begin, int64_t item_end) {
  using D = typename DotOf<T, chain>::type;
  int64_t block = item_begin;
  if (args.rows == 1) {  // more sums side by side, since each is a chain
    for (; block + 4 <= item_end; block += 4) MatmulTile<D, 1, 4>(args, 0, block);
  } else if (kMaxTileRows > 4) {
    for (; block + 2 <= item_end; block += 2) MatmulBlocks<D, 2>(args, block);
  }
  for (; block < item_end; ++block) MatmulBlocks<D, 1>(args, block);
}

}  // namespace
}  // namespace mrs::kernels
