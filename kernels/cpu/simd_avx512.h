// Sixteen f32 lanes in one AVX-512 register. The same names as simd_avx2.h: kernel sources see only these.
//
//   F16 acc = Fma(Load(x), Set1(2.0f), Zero());
//
// All of cpu/ lives in an unnamed namespace: each instruction set keeps its own copy, and none leaks into another's
// file.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/math.h"

namespace mrs::kernels {
namespace {

struct F16 {
  __m512 v;
};
constexpr int kMaxTileRows = 8;  // rows of x side by side: 8 x 2 blocks of sums fill half of the 32 registers

inline __mmask16 FirstLanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }

inline F16 Zero() { return {_mm512_setzero_ps()}; }
inline F16 Set1(float value) { return {_mm512_set1_ps(value)}; }
inline F16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline F16 LoadN(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(FirstLanes(n), p)}; }
inline void StoreN(float* p, F16 a, int64_t n) { _mm512_mask_storeu_ps(p, FirstLanes(n), a.v); }

inline F16 Add(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F16 Sub(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F16 Mul(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F16 Div(F16 a, F16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F16 Fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F16 Negate(F16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
inline F16 Abs(F16 a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
// The magnitude of a, the sign of b.
inline F16 CopySign(F16 a, F16 b) {
  const __m512 sign = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(sign, a.v), _mm512_and_ps(sign, b.v))};
}
inline F16 Max(F16 a, F16 b) { return {_mm512_max_ps(a.v, b.v)}; }  // a > b ? a : b

// x < bound ? chosen : other, per lane; false for NaN.
inline F16 WhereLess(F16 x, float bound, F16 chosen, F16 other) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_set1_ps(bound), _CMP_LT_OQ), other.v, chosen.v)};
}
inline F16 WhereGreater(F16 x, float bound, F16 chosen, F16 other) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_set1_ps(bound), _CMP_GT_OQ), other.v, chosen.v)};
}
// Bit l: lane l is greater than the bound.
inline uint32_t GreaterMask(F16 x, float bound) { return _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(bound), _CMP_GT_OQ); }
// The first n lanes of a, then those of `rest`.
inline F16 FirstOf(F16 a, int64_t n, F16 rest) { return {_mm512_mask_blend_ps(FirstLanes(n), rest.v, a.v)}; }

// p * 2^n where n are the low bits of t above kExpMagic, in two factors (as in Exp).
inline F16 TimesPowerOfTwo(F16 p, F16 t) {
  const __m512i power = _mm512_sub_epi32(_mm512_castps_si512(t.v), _mm512_castps_si512(_mm512_set1_ps(kExpMagic)));
  const __m512i first = _mm512_srai_epi32(power, 1);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512i a = _mm512_slli_epi32(_mm512_add_epi32(first, bias), 23);
  const __m512i b = _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(power, first), bias), 23);
  return {_mm512_mul_ps(_mm512_mul_ps(p.v, _mm512_castsi512_ps(a)), _mm512_castsi512_ps(b))};
}

inline F16 Widen(__m256i halves) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))}; }
inline F16 Load(const bf16* p) { return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline F16 LoadN(const bf16* p, int64_t n) { return Widen(_mm256_maskz_loadu_epi16(FirstLanes(n), p)); }
inline void StoreN(bf16* p, F16 a, int64_t n) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i high = _mm512_srli_epi32(bits, 16);
  const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), _mm512_and_si512(high, _mm512_set1_epi32(1)));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  const __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
  // By bits: a comparison would be enough, but this cannot depend on MXCSR.
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
  _mm256_mask_storeu_epi16(p, FirstLanes(n), _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, quiet)));
}

// Sixteen (even, odd) pairs, split.
inline void LoadPairs(const bf16* p, F16* even, F16* odd) {
  const __m512i pairs = _mm512_loadu_si512(p);
  even->v = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  odd->v = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u))));
}
inline void LoadPairs(const float* p, F16* even, F16* odd) {
  const __m512 a = _mm512_loadu_ps(p);
  const __m512 b = _mm512_loadu_ps(p + 16);
  const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  even->v = _mm512_permutex2var_ps(a, evens, b);
  odd->v = _mm512_permutex2var_ps(a, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), b);
}

// The other way round: the first eight pairs, then the others.
inline void Interleave(F16 even, F16 odd, F16* first, F16* second) {
  const __m512i pairs = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  first->v = _mm512_permutex2var_ps(even.v, pairs, odd.v);
  second->v = _mm512_permutex2var_ps(even.v, _mm512_add_epi32(pairs, _mm512_set1_epi32(8)), odd.v);
}

}  // namespace
}  // namespace mrs::kernels
