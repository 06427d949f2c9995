#include "kernels/cpu/simd_avx512.h"
// Then what is written over it.
#include "kernels/cpu/vector_math.h"
#include "kernels/testing/hooks.h"

namespace mrs::kernels {

void ExpAvx512(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) StoreN(y + i, Exp(LoadN(x + i, kLanes)), kLanes);
}

void TanhAvx512(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) StoreN(y + i, Tanh(LoadN(x + i, kLanes)), kLanes);
}

void ErfAvx512(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) StoreN(y + i, Erf(LoadN(x + i, kLanes)), kLanes);
}

void RoundAvx512(const float* x, bf16* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) StoreN(y + i, LoadN(x + i, kLanes), kLanes);
}

double FmaRoundsAvx512(int64_t count) {
  constexpr int kChains = 8;
  F16 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = Set1(static_cast<float>(i));
  const F16 a = Set1(0.5f), b = Set1(1.0f);
  for (int64_t n = 0; n < count; ++n) {
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) sums[i] = Fma(sums[i], a, b);
  }
  F16 total = Zero();
  for (int i = 0; i < kChains; ++i) total = Add(total, sums[i]);
  volatile float sink = SumLanes(total);
  (void)sink;
  return static_cast<double>(count) * kChains * kLanes * 2;
}

}  // namespace mrs::kernels
