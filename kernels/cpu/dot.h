// Sums over k with lanes over n, in either chain: what matmul and attention scores share.
//
//   EmulatedDot<bf16, Chain::kPair2>::Sum<R, B, 32>(x, w, count, acc);
//     acc[r][b] (16 lanes) += chain of x[r][0..count) times the 16 packed rows at w[b]
//
// x is staged first: a stretch of at most kStage elements of each row, padded with zeros, in the form that is
// broadcast.
#pragma once

#include "kernels/cpu/vector_math.h"

namespace mrs::kernels {
namespace {

constexpr int64_t kStage = 256;

// The first `valid` elements of src, then zeros up to `count` (a multiple of 2).
template <typename T>
inline void Stage(const T* src, int64_t valid, int64_t count, float* dst) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t n = MinOf(kLanes, count - i);
    const int64_t left = valid - i < 0 ? 0 : MinOf(kLanes, valid - i);
    StoreN(dst + i, LoadN(src + (left > 0 ? i : 0), left), n);
  }
}
inline void Stage(const bf16* src, int64_t valid, int64_t count, bf16* dst) {
  for (int64_t i = 0; i < count; ++i) dst[i] = i < valid ? src[i] : bf16{0};
}

// Both chains in f32 FMAs. kPairStride: elements from one pair of k to the next.
template <typename T, Chain chain>
struct EmulatedDot {
  using Element = T;
  using Staged = float;

  template <int R, int B, int64_t kPairStride>
  static inline void Sum(const float (*x)[kStage], const T* const* w, int64_t count, F16 (*sums)[B]) {
    F16 acc[R][B];
    for (int r = 0; r < R; ++r) {
      for (int b = 0; b < B; ++b) acc[r][b] = sums[r][b];
    }
    if constexpr (chain == Chain::kPair2) {
      for (int64_t k = 0; k < count; k += 2) {
#pragma GCC unroll 8
        for (int b = 0; b < B; ++b) {
          F16 even, odd;
          LoadPairs(w[b] + k / 2 * kPairStride, &even, &odd);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            acc[r][b] = Fma(Set1(x[r][k]), even, Fma(Set1(x[r][k + 1]), odd, acc[r][b]));
          }
        }
      }
    } else {
      for (int64_t group = 0; group < count; group += kGranule) {
        F16 evens[R][B], odds[R][B];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) evens[r][b] = odds[r][b] = Zero();
        }
        const int64_t end = MinOf(count, group + kGranule);
        for (int64_t k = group; k < end; k += 2) {
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) {
            F16 even, odd;
            LoadPairs(w[b] + k / 2 * kPairStride, &even, &odd);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
              evens[r][b] = Fma(Set1(x[r][k]), even, evens[r][b]);
              odds[r][b] = Fma(Set1(x[r][k + 1]), odd, odds[r][b]);
            }
          }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int b = 0; b < B; ++b) acc[r][b] = Add(acc[r][b], Add(evens[r][b], odds[r][b]));
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int b = 0; b < B; ++b) sums[r][b] = acc[r][b];
    }
  }
};

// Which implementation a set uses; a set with an instruction for it specializes this.
template <typename T, Chain chain>
struct DotOf {
  using type = EmulatedDot<T, chain>;
};

}  // namespace
}  // namespace mrs::kernels
