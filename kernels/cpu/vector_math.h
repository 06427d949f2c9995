// Exp, Tanh, Erf and the horizontal sums over lanes. Include a simd_*.h first.
//
//   F16 p = Exp(Sub(score, Set1(max)));   // lane by lane the bits of Exp(float)
#pragma once

#include <limits>

namespace mrs::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline int64_t MinOf(int64_t a, int64_t b) { return a < b ? a : b; }

inline F16 Exp(F16 x) {
  const F16 t = Fma(x, Set1(kExpLog2E), Set1(kExpMagic));
  const F16 n = Sub(t, Set1(kExpMagic));
  const F16 r = Fma(n, Set1(-kExpLn2Low), Fma(n, Set1(-kExpLn2High), x));
  F16 p = Set1(kExpSeries[7]);
#pragma GCC unroll 8
  for (int i = 6; i >= 0; --i) p = Fma(p, r, Set1(kExpSeries[i]));
  const F16 y = TimesPowerOfTwo(p, t);  // a NaN stays one whatever it is scaled by
  return WhereLess(x, kExpLow, Zero(), WhereGreater(x, kExpHigh, Set1(kInfinity), y));
}

inline F16 Tanh(F16 x) {
  const F16 t = Abs(x);
  const F16 t2 = Mul(t, t);
  F16 p = Set1(kTanhSeries[kTanhTerms - 1]);
#pragma GCC unroll 8
  for (int i = kTanhTerms - 2; i >= 0; --i) p = Fma(p, t2, Set1(kTanhSeries[i]));
  const F16 low = Fma(Mul(t, t2), p, t);
  const F16 high = Sub(Set1(1.0f), Div(Set1(2.0f), Add(Exp(Add(t, t)), Set1(1.0f))));
  return CopySign(WhereLess(t, kTanhSmall, low, high), x);
}

inline F16 Erf(F16 x) {
  const F16 t = Abs(x);
  const F16 t2 = Mul(t, t);
  const F16 end = WhereGreater(t, kErfEnd, Set1(kErfEnd), t);
  F16 p = Set1(kErfSeries[kErfTerms - 1]);
  F16 q = Set1(kErfTail[kErfTerms - 1]);
#pragma GCC unroll 8
  for (int i = kErfTerms - 2; i >= 0; --i) {
    p = Fma(p, t2, Set1(kErfSeries[i]));
    q = Fma(q, end, Set1(kErfTail[i]));
  }
  const F16 low = Fma(t, p, t);
  const F16 high = Sub(Set1(1.0f), Exp(Fma(end, q, Negate(end))));
  return CopySign(WhereLess(t, kErfSmall, low, high), x);
}

inline float SumLanes(F16 a) {
  float lanes[kLanes];
  StoreN(lanes, a, kLanes);
  for (int64_t s = kLanes / 2; s >= 1; s /= 2) {
    for (int64_t l = 0; l < s; ++l) lanes[l] += lanes[l + s];
  }
  return lanes[0];
}

inline float MaxLanes(F16 a) {
  float lanes[kLanes];
  StoreN(lanes, a, kLanes);
  float max = lanes[0];
  for (int64_t l = 1; l < kLanes; ++l) max = lanes[l] > max ? lanes[l] : max;
  return max;
}

}  // namespace
}  // namespace mrs::kernels
