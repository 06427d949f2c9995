// The bodies of math.h, for whoever compiles them into his own code: math.cc for the CPU, kernels/cuda for a device.
// One text, so that both give the same bits.
//
//   float p = math::Exp(score - max);   // in a CUDA kernel, compiled with -fmad=false -ftz=true
#pragma once

#include "kernels/math.h"

#ifdef __CUDACC__
#define MRS_MATH static __device__ inline
#else
#define MRS_MATH static inline
#endif

namespace mrs::kernels::math {

MRS_MATH float Fma(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

template <typename To, typename From>
MRS_MATH To As(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

MRS_MATH float Abs(float x) { return As<float>(As<uint32_t>(x) & 0x7fffffffu); }
MRS_MATH float WithSignOf(float magnitude, float sign) {
  return As<float>((As<uint32_t>(magnitude) & 0x7fffffffu) | (As<uint32_t>(sign) & 0x80000000u));
}

MRS_MATH float Exp(float x) {
  // Of its own, as a device knows no array of the host.
  constexpr float kSeries[8] = {kExpSeries[0], kExpSeries[1], kExpSeries[2], kExpSeries[3],
                                kExpSeries[4], kExpSeries[5], kExpSeries[6], kExpSeries[7]};
  if (x < kExpLow) return 0.0f;
  if (x > kExpHigh) return As<float>(0x7f800000u);
  if (x != x) return x;
  const float t = Fma(x, kExpLog2E, kExpMagic);
  const float n = t - kExpMagic;
  const float r = Fma(n, -kExpLn2Low, Fma(n, -kExpLn2High, x));
  float p = kSeries[7];
  for (int i = 6; i >= 0; --i) p = Fma(p, r, kSeries[i]);
  // Two factors, since 2^128 is no float.
  const int32_t power = static_cast<int32_t>(As<uint32_t>(t) - As<uint32_t>(float{kExpMagic}));
  const int32_t first = power >> 1;
  p = p * As<float>(static_cast<uint32_t>(first + 127) << 23);
  return p * As<float>(static_cast<uint32_t>(power - first + 127) << 23);
}

MRS_MATH float Tanh(float x) {
  constexpr float kSeries[kTanhTerms] = {kTanhSeries[0], kTanhSeries[1], kTanhSeries[2], kTanhSeries[3],
                                         kTanhSeries[4]};
  const float t = Abs(x);
  float y;
  if (t < kTanhSmall) {
    const float t2 = t * t;
    float p = kSeries[kTanhTerms - 1];
    for (int i = kTanhTerms - 2; i >= 0; --i) p = Fma(p, t2, kSeries[i]);
    y = Fma(t * t2, p, t);
  } else {
    y = 1.0f - 2.0f / (Exp(t + t) + 1.0f);
  }
  return WithSignOf(y, x);
}

MRS_MATH float Erf(float x) {
  constexpr float kSeries[kErfTerms] = {kErfSeries[0], kErfSeries[1], kErfSeries[2], kErfSeries[3],
                                        kErfSeries[4], kErfSeries[5], kErfSeries[6]};
  constexpr float kTail[kErfTerms] = {kErfTail[0], kErfTail[1], kErfTail[2], kErfTail[3],
                                      kErfTail[4], kErfTail[5], kErfTail[6]};
  float t = Abs(x);
  float y;
  if (t < kErfSmall) {
    const float t2 = t * t;
    float p = kSeries[kErfTerms - 1];
    for (int i = kErfTerms - 2; i >= 0; --i) p = Fma(p, t2, kSeries[i]);
    y = Fma(t, p, t);
  } else {
    if (t > kErfEnd) t = kErfEnd;
    float p = kTail[kErfTerms - 1];
    for (int i = kErfTerms - 2; i >= 0; --i) p = Fma(p, t, kTail[i]);
    y = 1.0f - Exp(Fma(t, p, -t));
  }
  return WithSignOf(y, x);
}

MRS_MATH double Log(double x) {
  const double kInfinity = As<double>(uint64_t{0x7ff0000000000000});
  if (x != x || x == kInfinity) return x;
  if (x < 0) return As<double>(uint64_t{0x7ff8000000000000});
  if (x == 0) return -kInfinity;
  int64_t exponent = 0;
  if (x < 0x1p-1022) {  // denormal; with denormals-are-zero it was 0 above
    x = x * 0x1p54;
    exponent = -54;
  }
  uint64_t bits = As<uint64_t>(x);
  // m in [sqrt(1/2), sqrt(2)): subtracting the bits of sqrt(1/2) carries into the exponent at the right place.
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdull;
  const int64_t shift = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  exponent += shift;
  bits -= static_cast<uint64_t>(shift) << 52;
  const double m = As<double>(bits);
  const double s = (m - 1.0) / (m + 1.0);  // |s| <= 0.172
  const double s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * s2;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // 32 bits: exponent * this is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (2.0 * s + (2.0 * s * series + e * kLn2Low));
}

MRS_MATH void SinCos(double x, double* sine, double* cosine) {
  if (!(x > -0x1p51 && x < 0x1p51)) x = As<double>(uint64_t{0x7ff8000000000000});
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kMagic = 0x1.8p52;  // adding it rounds to the nearest integer, in the low bits
  constexpr double kHalfPi1 = 0x1.921fb54000000p+0;
  constexpr double kHalfPi2 = 0x1.10b4610000000p-30;
  constexpr double kHalfPi3 = 0x1.a62633145c06ep-58;
  const double t = x * kTwoOverPi + kMagic;
  const double n = t - kMagic;
  const uint64_t quadrant = As<uint64_t>(t);
  const double r = ((x - n * kHalfPi1) - n * kHalfPi2) - n * kHalfPi3;
  const double r2 = r * r;
  // Taylor: r^19/19! < 1e-19 and r^18/18! < 3e-18 for |r| <= pi/4.
  double s = 0;
  for (int k = 17; k >= 3; k -= 2) s = (s + 1.0) * (-r2 / (k * (k - 1)));
  s = r + r * s;
  double c = 0;
  for (int k = 16; k >= 2; k -= 2) c = (c + 1.0) * (-r2 / (k * (k - 1)));
  c = c + 1.0;
  const bool swap = (quadrant & 1) != 0;
  const double a = swap ? c : s;
  const double b = swap ? s : c;
  *sine = (quadrant & 2) != 0 ? -a : a;
  *cosine = ((quadrant + 1) & 2) != 0 ? -b : b;
}

}  // namespace mrs::kernels::math

#undef MRS_MATH
