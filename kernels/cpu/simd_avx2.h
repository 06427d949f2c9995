// Sixteen f32 lanes in two AVX2 registers. The same names as simd_avx512.h, where they are explained.
#pragma once

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/math.h"

namespace mrs::kernels {
namespace {

struct F16 {
  __m256 lo, hi;
};
constexpr int kMaxTileRows = 4;  // 4 rows x 1 block of sums take half of the 16 registers

inline F16 Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F16 Set1(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
inline F16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline F16 LoadN(const float* p, int64_t n) {
  if (n == kLanes) return Load(p);
  float lanes[kLanes] = {};
  for (int64_t l = 0; l < n; ++l) lanes[l] = p[l];
  return Load(lanes);
}
inline void Store(float* p, F16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void StoreN(float* p, F16 a, int64_t n) {
  if (n == kLanes) return Store(p, a);
  float lanes[kLanes];
  Store(lanes, a);
  for (int64_t l = 0; l < n; ++l) p[l] = lanes[l];
}

inline F16 Add(F16 a, F16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F16 Sub(F16 a, F16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F16 Mul(F16 a, F16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F16 Div(F16 a, F16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F16 Fma(F16 a, F16 b, F16 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline F16 Negate(F16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
}
inline F16 Abs(F16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline __m256 CopySign(__m256 a, __m256 b) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
}
inline F16 CopySign(F16 a, F16 b) { return {CopySign(a.lo, b.lo), CopySign(a.hi, b.hi)}; }
inline F16 Max(F16 a, F16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }

inline F16 WhereLess(F16 x, float bound, F16 chosen, F16 other) {
  const __m256 b = _mm256_set1_ps(bound);
  return {_mm256_blendv_ps(other.lo, chosen.lo, _mm256_cmp_ps(x.lo, b, _CMP_LT_OQ)),
          _mm256_blendv_ps(other.hi, chosen.hi, _mm256_cmp_ps(x.hi, b, _CMP_LT_OQ))};
}
inline F16 WhereGreater(F16 x, float bound, F16 chosen, F16 other) {
  const __m256 b = _mm256_set1_ps(bound);
  return {_mm256_blendv_ps(other.lo, chosen.lo, _mm256_cmp_ps(x.lo, b, _CMP_GT_OQ)),
          _mm256_blendv_ps(other.hi, chosen.hi, _mm256_cmp_ps(x.hi, b, _CMP_GT_OQ))};
}
inline uint32_t GreaterMask(F16 x, float bound) {
  const __m256 b = _mm256_set1_ps(bound);
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(x.lo, b, _CMP_GT_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(x.hi, b, _CMP_GT_OQ));
  return static_cast<uint32_t>(low | (high << 8));
}
inline F16 FirstOf(F16 a, int64_t n, F16 rest) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int32_t count = static_cast<int32_t>(n);
  const __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
  const __m256i high = _mm256_cmpgt_epi32(_mm256_set1_epi32(count - 8), lane);
  return {_mm256_blendv_ps(rest.lo, a.lo, _mm256_castsi256_ps(low)),
          _mm256_blendv_ps(rest.hi, a.hi, _mm256_castsi256_ps(high))};
}

inline __m256 TimesPowerOfTwo(__m256 p, __m256 t) {
  const __m256i power = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_castps_si256(_mm256_set1_ps(kExpMagic)));
  const __m256i first = _mm256_srai_epi32(power, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(first, bias), 23);
  const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(power, first), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}
inline F16 TimesPowerOfTwo(F16 p, F16 t) { return {TimesPowerOfTwo(p.lo, t.lo), TimesPowerOfTwo(p.hi, t.hi)}; }

inline __m256 Widen(__m128i halves) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline F16 Load(const bf16* p) {
  return {Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          Widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline F16 LoadN(const bf16* p, int64_t n) {
  if (n == kLanes) return Load(p);
  bf16 lanes[kLanes] = {};
  for (int64_t l = 0; l < n; ++l) lanes[l] = p[l];
  return Load(lanes);
}
inline __m256i Round(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i high = _mm256_srli_epi32(bits, 16);
  const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(high, _mm256_set1_epi32(1)));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
  const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  return _mm256_blendv_epi8(rounded, quiet, _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000)));
}
inline void StoreN(bf16* p, F16 a, int64_t n) {
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(Round(a.lo), Round(a.hi)), 0xd8);
  if (n == kLanes) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
  bf16 lanes[kLanes];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), packed);
  for (int64_t l = 0; l < n; ++l) p[l] = lanes[l];
}

inline void LoadPairs(const bf16* p, F16* even, F16* odd) {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
  const __m256i mask = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
  *even = {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
  *odd = {_mm256_castsi256_ps(_mm256_and_si256(low, mask)), _mm256_castsi256_ps(_mm256_and_si256(high, mask))};
}
// shuffle_ps works within halves of a register and leaves the middle two quarters exchanged.
inline __m256 Deinterleave(__m256 shuffled) {
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(shuffled), 0xd8));
}
inline void LoadPairs(const float* p, F16* even, F16* odd) {
  const __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + 8);
  const __m256 c = _mm256_loadu_ps(p + 16), d = _mm256_loadu_ps(p + 24);
  *even = {Deinterleave(_mm256_shuffle_ps(a, b, 0x88)), Deinterleave(_mm256_shuffle_ps(c, d, 0x88))};
  *odd = {Deinterleave(_mm256_shuffle_ps(a, b, 0xdd)), Deinterleave(_mm256_shuffle_ps(c, d, 0xdd))};
}

inline F16 InterleaveHalf(__m256 even, __m256 odd) {
  const __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
  return {_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)};
}
inline void Interleave(F16 even, F16 odd, F16* first, F16* second) {
  *first = InterleaveHalf(even.lo, odd.lo);
  *second = InterleaveHalf(even.hi, odd.hi);
}

}  // namespace
}  // namespace mrs::kernels
