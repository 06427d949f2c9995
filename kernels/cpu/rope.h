// Rotation of pairs. Formula: RopeArgs in kernels.h. Each head is read and written once.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace mrs::kernels {
namespace {

template <typename Y>
inline void RotateHalves(const float* x, const float* cosine, const float* sine, int64_t half, Y* y) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t n = MinOf(kLanes, half - i);
    const F16 a = LoadN(x + i, n), b = LoadN(x + half + i, n);
    const F16 c = LoadN(cosine + i, n), s = LoadN(sine + i, n);
    StoreN(y + i, Fma(a, c, Negate(Mul(b, s))), n);
    StoreN(y + half + i, Fma(b, c, Mul(a, s)), n);
  }
}

// Sixteen pairs at a time lie in two registers; of a last group each register's part is clipped by itself.
template <typename Y>
inline void RotateNeighbours(const float* x, const float* cosine, const float* sine, int64_t half, Y* y) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t n = MinOf(kLanes, half - i);
    const int64_t first = MinOf(kLanes, 2 * n), second = 2 * n - first;
    alignas(64) float pairs[2 * kLanes];
    StoreN(pairs, LoadN(x + 2 * i, first), kLanes);
    StoreN(pairs + kLanes, LoadN(x + 2 * i + first, second), kLanes);
    F16 a, b, low, high;
    LoadPairs(pairs, &a, &b);
    const F16 c = LoadN(cosine + i, n), s = LoadN(sine + i, n);
    Interleave(Fma(a, c, Negate(Mul(b, s))), Fma(b, c, Mul(a, s)), &low, &high);
    StoreN(y + 2 * i, low, first);
    StoreN(y + 2 * i + first, high, second);
  }
}

template <typename Y>
inline void RotateHead(const RopeArgs& args, const float* x, const float* cosine, Y* y) {
  if (args.interleaved) {
    RotateNeighbours(x, cosine, cosine + args.half, args.half, y);
  } else {
    RotateHalves(x, cosine, cosine + args.half, args.half, y);
  }
  for (int64_t i = 2 * args.half; i < args.head_dim; i += kLanes) {
    const int64_t n = MinOf(kLanes, args.head_dim - i);
    StoreN(y + i, LoadN(x + i, n), n);
  }
}

inline void Run(const RopeArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin * args.heads; row < item_end * args.heads; ++row) {
    const float* cosine = args.cos_sin + row / args.heads * 2 * args.half;
    const float* x = args.x + row * args.head_dim;
    if (args.out == Type::kBf16) {
      RotateHead(args, x, cosine, static_cast<bf16*>(args.y) + row * args.head_dim);
    } else {
      RotateHead(args, x, cosine, static_cast<float*>(args.y) + row * args.head_dim);
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
