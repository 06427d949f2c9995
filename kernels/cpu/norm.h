// Norms: a sum over the row in 16 lanes, then one pass that writes it. Formulas: kernels.h.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace mrs::kernels {
namespace {

// The sum of x^2: one FMA chain a lane.
inline float LaneSquares(const float* x, int64_t count) {
  F16 sums = Zero();
  for (int64_t i = 0; i < count; i += kLanes) {
    const F16 a = LoadN(x + i, MinOf(kLanes, count - i));
    sums = Fma(a, a, sums);  // lanes past the end add 0 * 0
  }
  return SumLanes(sums);
}

// Balanced binary tree over `chunk_count` chunks of `chunk` elements.
inline float TreeSquares(const float* x, int64_t chunk, int64_t chunk_count) {
  if (chunk_count == 1) return LaneSquares(x, chunk);
  const float left = TreeSquares(x, chunk, chunk_count / 2);
  const float right = TreeSquares(x + chunk_count / 2 * chunk, chunk, chunk_count / 2);
  return left + right;
}

inline float InverseRoot(float mean, float eps) { return 1.0f / __builtin_sqrtf(mean + eps); }

// y = (x * inverse) * w
template <typename Y>
inline void ScaleRow(const float* x, float inverse, const float* w, int64_t width, Y* y) {
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t n = MinOf(kLanes, width - i);
    StoreN(y + i, Mul(Mul(LoadN(x + i, n), Set1(inverse)), LoadN(w + i, n)), n);
  }
}

inline void ScaleRowTo(Type out, const float* x, float inverse, const float* w, int64_t width, int64_t at, void* y) {
  if (out == Type::kBf16) {
    ScaleRow(x + at, inverse, w, width, static_cast<bf16*>(y) + at);
  } else {
    ScaleRow(x + at, inverse, w, width, static_cast<float*>(y) + at);
  }
}

inline void Run(const RmsNormArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const int64_t at = row * args.width;
    const float mean = LaneSquares(args.x + at, args.width) / static_cast<float>(args.width);
    ScaleRowTo(args.out, args.x, InverseRoot(mean, args.eps), args.w, args.width, at, args.y);
  }
}

inline void Run(const SumSquaresArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t width = args.heads * args.head_dim;
  for (int64_t row = item_begin; row < item_end; ++row) {
    args.y[row] = TreeSquares(args.x + row * width, args.chunk_heads * args.head_dim, args.heads / args.chunk_heads);
  }
}

inline void Run(const RmsScaleArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float mean = args.sum[row] / static_cast<float>(args.total);
    ScaleRowTo(args.out, args.x, InverseRoot(mean, args.eps), args.w, args.width, row * args.width, args.y);
  }
}

template <typename Y>
inline void LayerNormRow(const LayerNormArgs& args, const float* x, Y* y) {
  F16 sums = Zero();
  for (int64_t i = 0; i < args.width; i += kLanes) sums = Add(sums, LoadN(x + i, MinOf(kLanes, args.width - i)));
  const F16 mean = Set1(SumLanes(sums) / static_cast<float>(args.width));
  F16 squares = Zero();
  for (int64_t i = 0; i < args.width; i += kLanes) {
    const int64_t n = MinOf(kLanes, args.width - i);
    const F16 d = FirstOf(Sub(LoadN(x + i, n), mean), n, Zero());
    squares = Fma(d, d, squares);
  }
  const F16 inverse = Set1(InverseRoot(SumLanes(squares) / static_cast<float>(args.width), args.eps));
  for (int64_t i = 0; i < args.width; i += kLanes) {
    const int64_t n = MinOf(kLanes, args.width - i);
    StoreN(y + i, Fma(Mul(Sub(LoadN(x + i, n), mean), inverse), LoadN(args.w + i, n), LoadN(args.b + i, n)), n);
  }
}

inline void Run(const LayerNormArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const int64_t at = row * args.width;
    if (args.out == Type::kBf16) {
      LayerNormRow(args, args.x + at, static_cast<bf16*>(args.y) + at);
    } else {
      LayerNormRow(args, args.x + at, static_cast<float*>(args.y) + at);
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
