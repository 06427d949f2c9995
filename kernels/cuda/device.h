// What the exact kernels share: element types, and sums in sixteen lanes.
#pragma once

#include "kernels/cuda/dependents.h"
#include "kernels/cuda/dialect.h"
#include "kernels/math_inline.h"

namespace mrs::kernels::cuda {

// The lanes of a canonical sum, as a constant of device code, too.
constexpr int kSumLanes = 16;
static_assert(kSumLanes == kLanes);
constexpr unsigned kLowLanes = 0xffffu;

static __device__ inline float ToF32(float value) { return value; }
static __device__ inline float ToF32(bf16 value) { return F32FromBf16(value); }

static __device__ inline void Put(float* y, int64_t i, float value) { y[i] = value; }
static __device__ inline void Put(bf16* y, int64_t i, float value) { y[i] = Bf16FromF32(value); }
// Element i of an array whose type is a run-time argument.
static __device__ inline void Put(void* y, Type type, int64_t i, float value) {
  if (type == Type::kBf16) {
    Put(static_cast<bf16*>(y), i, value);
  } else {
    Put(static_cast<float*>(y), i, value);
  }
}

// lane[l] += lane[l + s] for s in 8, 4, 2, 1, over the sixteen lanes of a warp that `mask` names, all of which call it
// with their own; each gets the sum.
static __device__ inline float SumLanes(unsigned mask, float lane) {
  for (int s = kSumLanes / 2; s >= 1; s /= 2) lane = lane + __shfl_xor_sync(mask, lane, s);
  return lane;
}

// Which half of its warp a thread is in, as a mask; and the lane of a canonical sum that it keeps.
static __device__ inline unsigned HalfWarp() { return threadIdx.x % 32 < kSumLanes ? kLowLanes : kLowLanes << 16; }
static __device__ inline int SumLane() { return int(threadIdx.x % kSumLanes); }

// Where element d of a head lies in K and in V of a cache, for the token of a slot (kernels.h, KvCache).
static __device__ inline int64_t PlaceInK(const KvCache& cache, int64_t slot, int64_t head, int64_t d) {
  const int64_t block = slot / kBlockTokens, t = slot % kBlockTokens;
  return (block * cache.kv_heads + head) * cache.head_dim * kBlockTokens + (d / 2 * kBlockTokens + t) * 2 + d % 2;
}
static __device__ inline int64_t PlaceInV(const KvCache& cache, int64_t slot, int64_t head, int64_t d) {
  const int64_t block = slot / kBlockTokens, t = slot % kBlockTokens;
  return ((block * cache.kv_heads + head) * kBlockTokens + t) * cache.head_dim + d;
}

constexpr unsigned Blocks(int64_t items, int64_t per_block) { return unsigned((items + per_block - 1) / per_block); }
// Over which a row's elements are spread, gridDim.y: a thread that has several waits for the load of each, as it may
// not pass the store of the one before.
constexpr unsigned BlocksOfRow(int64_t elements, int64_t threads) {
  constexpr unsigned kMost = 256;
  const unsigned blocks = Blocks(elements, threads);
  return blocks < kMost ? blocks : kMost;
}

}  // namespace mrs::kernels::cuda
