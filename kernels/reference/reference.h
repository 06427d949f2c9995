// The kernels as plain loops: what every other version must equal bit for bit.
//
//   reference::Run(RmsNormArgs{...}, 0, rows);
//
// Read these for the meaning of kernels.h; no loop here is written for speed. The small helpers are shared by all.
#pragma once

#include <cmath>

#include "kernels/kernels.h"
#include "kernels/math.h"

namespace mrs::kernels::reference {

static inline float ToF32(float value) { return value; }
static inline float ToF32(bf16 value) { return F32FromBf16(value); }

// Writes element i of an array whose type is a run-time argument.
static inline void Put(void* y, Type type, int64_t i, float value) {
  if (type == Type::kBf16) {
    static_cast<bf16*>(y)[i] = Bf16FromF32(value);
  } else {
    static_cast<float*>(y)[i] = value;
  }
}

// lane[l] += lane[l + s] for s in 8, 4, 2, 1.
static inline float SumLanes(float* lanes) {
  for (int64_t s = kLanes / 2; s >= 1; s /= 2) {
    for (int64_t l = 0; l < s; ++l) lanes[l] += lanes[l + s];
  }
  return lanes[0];
}

// The sum of a(i) * b(i) for i in [0, count), count even.
template <Chain chain, typename A, typename B>
static inline float Dot(int64_t count, A a, B b) {
  float acc = 0;
  if constexpr (chain == Chain::kPair2) {
    for (int64_t i = 0; i < count; i += 2) acc = std::fma(a(i), b(i), std::fma(a(i + 1), b(i + 1), acc));
  } else {
    for (int64_t group = 0; group < count; group += kGranule) {
      float even = 0, odd = 0;
      for (int64_t i = group; i < count && i < group + kGranule; i += 2) {
        even = std::fma(a(i), b(i), even);
        odd = std::fma(a(i + 1), b(i + 1), odd);
      }
      acc = acc + (even + odd);
    }
  }
  return acc;
}

template <typename T, Chain chain>
void Run(const MatmulArgs& args, int64_t item_begin, int64_t item_end);
template <typename T, Chain chain>
void Run(const AttentionArgs& args, int64_t item_begin, int64_t item_end);
template <typename T>
void Run(const KvAppendArgs& args, int64_t item_begin, int64_t item_end);
#define ROW(name, Args) void Run(const Args& args, int64_t item_begin, int64_t item_end);
MRS_PLAIN_KERNELS(ROW)
#undef ROW

}  // namespace mrs::kernels::reference
