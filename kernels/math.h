// The few functions whose bits must not depend on libm, on the CPU or on the vector width.
//
//   float p = Exp(score - max);              // the same bits as a lane of the vector version (cpu/vector_math.h)
//   double s, c; SinCos(angle, &s, &c);      // basic IEEE operations only
//   bf16 h = Bf16FromF32(1.0f);              // {0x3f80}
//
// Inline functions here are `static`: each translation unit keeps its own copy, so that no AVX-512 code is picked by
// the linker for a host that has none.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"

#ifdef __CUDACC__
#define MRS_ANYWHERE static __host__ __device__ inline
#else
#define MRS_ANYWHERE static inline
#endif

namespace mrs::kernels {

MRS_ANYWHERE uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

MRS_ANYWHERE float FloatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Rounds to nearest, ties to even; integer arithmetic, so denormals are rounded and not flushed. A NaN stays a NaN
// (quiet).
MRS_ANYWHERE bf16 Bf16FromF32(float value) {
  const uint32_t bits = BitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

MRS_ANYWHERE float F32FromBf16(bf16 value) { return FloatOf(static_cast<uint32_t>(value.bits) << 16); }

// Exact: every f16, denormals included, is a normal f32 (or zero, infinity, NaN).
MRS_ANYWHERE float F32FromF16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1fu) return FloatOf(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return FloatOf(sign | ((exponent + 112u) << 23) | (mantissa << 13));
  return FloatOf(sign | BitsOf(static_cast<float>(mantissa) * 0x1p-24f));
}

// Constants of Exp, shared with the vector version. n = round(x / ln 2) falls out of the low bits of fma(x, log2(e),
// magic); r = x - n ln 2 in two parts; e^r by its Taylor series to r^7 (error 5e-9 for |r| <= ln(2)/2, a tenth of an
// ulp).
inline constexpr float kExpLow = -87.3f;      // below: 0. ln(2^-126) = -87.3365, so results stay normal
inline constexpr float kExpHigh = 88.72283f;  // above: infinity. The float below ln(largest float)
inline constexpr float kExpLog2E = 1.44269504f;
inline constexpr float kExpMagic = 0x1.8p23f;
inline constexpr float kExpLn2High = 0x1.62e4p-1f;  // ln 2 to 15 bits: n * this is exact for |n| < 256
inline constexpr float kExpLn2Low = 0x1.7f7d1cp-20f;
inline constexpr float kExpSeries[8] = {1.0f, 1.0f, 1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720, 1.0f / 5040};

// Constants of Tanh, shared with the vector version. Below kTanhSmall t + t^3 P(t^2), P fitted to the least greatest
// relative error (2^-27.7); above, 1 - 2 / (e^2t + 1).
inline constexpr float kTanhSmall = 0.625f;
inline constexpr int kTanhTerms = 5;
inline constexpr float kTanhSeries[kTanhTerms] = {-0x1.555532p-2f, 0x1.110726p-3f, -0x1.b83c5cp-5f, 0x1.5226aep-6f,
                                                  -0x1.75e214p-8f};

// Constants of Erf, shared likewise. Below kErfSmall t + t P(t^2) (fitted, relative error 2^-31); above, 1 - e^(t Q(t)
// - t), Q fitted to log(1 - erf(t)) (2^-30 of erf) up to kErfEnd, from where on erf rounds to 1.
inline constexpr float kErfSmall = 0.921875f;
inline constexpr float kErfEnd = 4.0f;
inline constexpr int kErfTerms = 7;
inline constexpr float kErfSeries[kErfTerms] = {0x1.06eba8p-3f, -0x1.812744p-2f,  0x1.ce2e2p-4f,  -0x1.b8107ep-6f,
                                                0x1.54dae8p-8f, -0x1.aaea04p-11f, 0x1.5f12aep-14f};
inline constexpr float kErfTail[kErfTerms] = {-0x1.07796cp-3f, -0x1.4531fap-1f, -0x1.b32d08p-4f, 0x1.856b8p-6f,
                                              -0x1.ddcfbep-9f, 0x1.533f1cp-12f, -0x1.7b4c54p-17f};

// Of gelu: the nearest floats to sqrt(1/2) and sqrt(2/pi), and the constant that its tanh form is defined with.
inline constexpr float kRootHalf = 0x1.6a09e6p-1f;
inline constexpr float kRootTwoOverPi = 0x1.988454p-1f;
inline constexpr float kGeluCubic = 0.044715f;

// e^x within 1 ulp; exactly 1 at 0; 0 below kExpLow, infinity above kExpHigh, NaN for NaN.
float Exp(float x);

// tanh x within 1.5 ulp and erf x within 1.2; odd, the sign of 0 is kept, exactly 1 from 9.1 and from 4 on, NaN for
// NaN.
float Tanh(float x);
float Erf(float x);

// Natural logarithm within 2 ulp; -infinity at 0, NaN below. log m = 2 atanh((m - 1) / (m + 1)) by its series.
double Log(double x);

// sin x and cos x within 2e-16 for |x| <= 2^25 (a position of 10 million at frequency 1 is below 2^24); NaN for what is
// not finite. Reduction by pi/2 in three parts (28 + 28 + 53 bits: products with a quotient of 25 bits are exact),
// Taylor.
void SinCos(double x, double* sine, double* cosine);

}  // namespace mrs::kernels

#undef MRS_ANYWHERE
