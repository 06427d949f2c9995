// Norm, rotation, activation, residual: each reads its inputs once and writes its output once.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace mrs::kernels {
namespace {

template <typename Y>
inline void NormRow(const float* x, const float* w, int64_t width, float eps, Y* y) {
  F16 sums = Zero();
  for (int64_t i = 0; i < width; i += kLanes) {
    const F16 a = LoadN(x + i, MinOf(kLanes, width - i));
    sums = Fma(a, a, sums);  // lanes past the end add 0 * 0
  }
  const float mean = SumLanes(sums) / static_cast<float>(width);
  const F16 inverse = Set1(1.0f / __builtin_sqrtf(mean + eps));
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t n = MinOf(kLanes, width - i);
    StoreN(y + i, Mul(Mul(LoadN(x + i, n), inverse), LoadN(w + i, n)), n);
  }
}

inline void RmsNorm(const RmsNormArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const int64_t at = row * args.width;
    if (args.out == Type::kBf16) {
      NormRow(args.x + at, args.w, args.width, args.eps, static_cast<bf16*>(args.y) + at);
    } else {
      NormRow(args.x + at, args.w, args.width, args.eps, static_cast<float*>(args.y) + at);
    }
  }
}

template <typename Y>
inline void RotateHead(const float* x, const float* cosine, const float* sine, int64_t half, int64_t head_dim, Y* y) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t n = MinOf(kLanes, half - i);
    const F16 a = LoadN(x + i, n), b = LoadN(x + half + i, n);
    const F16 c = LoadN(cosine + i, n), s = LoadN(sine + i, n);
    StoreN(y + i, Fma(a, c, Negate(Mul(b, s))), n);
    StoreN(y + half + i, Fma(b, c, Mul(a, s)), n);
  }
  for (int64_t i = 2 * half; i < head_dim; i += kLanes) {
    const int64_t n = MinOf(kLanes, head_dim - i);
    StoreN(y + i, LoadN(x + i, n), n);
  }
}

inline void Rope(const RopeArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin * args.heads; row < item_end * args.heads; ++row) {
    const float* cosine = args.cos_sin + row / args.heads * 2 * args.half;
    const float* x = args.x + row * args.head_dim;
    if (args.out == Type::kBf16) {
      bf16* y = static_cast<bf16*>(args.y) + row * args.head_dim;
      RotateHead(x, cosine, cosine + args.half, args.half, args.head_dim, y);
    } else {
      float* y = static_cast<float*>(args.y) + row * args.head_dim;
      RotateHead(x, cosine, cosine + args.half, args.half, args.head_dim, y);
    }
  }
}

template <typename Y>
inline void SiluMulRange(const float* gate, const float* up, int64_t begin, int64_t end, Y* y) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t n = MinOf(kLanes, end - i);
    const F16 g = LoadN(gate + i, n);
    StoreN(y + i, Mul(Div(g, Add(Set1(1.0f), Exp(Negate(g)))), LoadN(up + i, n)), n);
  }
}

inline void SiluMul(const SiluMulArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t begin = item_begin * args.width, end = item_end * args.width;
  if (args.out == Type::kBf16) {
    SiluMulRange(args.gate, args.up, begin, end, static_cast<bf16*>(args.y));
  } else {
    SiluMulRange(args.gate, args.up, begin, end, static_cast<float*>(args.y));
  }
}

inline void AddRows(const AddArgs& args, int64_t item_begin, int64_t item_end) {
  for (int64_t row = item_begin; row < item_end; ++row) {
    const float* a = args.a + row * args.width;
    const float* b = args.b + (args.broadcast_b ? 0 : row * args.width);
    float* y = args.y + row * args.width;
    for (int64_t i = 0; i < args.width; i += kLanes) {
      const int64_t n = MinOf(kLanes, args.width - i);
      StoreN(y + i, Add(LoadN(a + i, n), LoadN(b + i, n)), n);
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
