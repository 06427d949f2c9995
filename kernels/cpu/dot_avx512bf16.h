// The vdpbf16ps instruction as a DotOf: to be included before set.h, which then uses it.
#pragma once

#include "kernels/cpu/simd_avx512.h"
// Then what is written over it.
#include "kernels/cpu/dot.h"

namespace mrs::kernels {
namespace {

// kPair2 of bf16 as one instruction: acc = fma(even, even, fma(odd, odd, acc)) per lane, flushing denormals always.
struct NativePair2 {
  using Element = bf16;
  using Staged = bf16;

  template <int R, int B, int64_t kPairStride>
  static inline void Sum(const bf16 (*x)[kStage], const bf16* const* w, int64_t count, F16 (*sums)[B]) {
    __m512 acc[R][B];
    for (int r = 0; r < R; ++r) {
      for (int b = 0; b < B; ++b) acc[r][b] = sums[r][b].v;
    }
    for (int64_t k = 0; k < count; k += 2) {
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) {
        const __m512bh weights = (__m512bh)_mm512_loadu_si512(w[b] + k / 2 * kPairStride);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          int32_t pair;
          __builtin_memcpy(&pair, &x[r][k], sizeof(pair));
          acc[r][b] = _mm512_dpbf16_ps(acc[r][b], weights, (__m512bh)_mm512_set1_epi32(pair));
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int b = 0; b < B; ++b) sums[r][b].v = acc[r][b];
    }
  }
};

template <>
struct DotOf<bf16, Chain::kPair2> {
  using type = NativePair2;
};

}  // namespace

}  // namespace mrs::kernels
