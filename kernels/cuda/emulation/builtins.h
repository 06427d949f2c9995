// CUDA's own names, as far as the kernels use them, for a compiler that knows no CUDA. Included by dialect.h alone.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/emulation/machine.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

using dim3 = ::mrs::emulation::Dim3;
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

#define threadIdx (::mrs::emulation::Here().thread)
#define blockIdx (::mrs::emulation::Here().block)
#define blockDim (::mrs::emulation::Here().block_dim)
#define gridDim (::mrs::emulation::Here().grid_dim)

inline void __syncthreads(::mrs::emulation::Site site = ::mrs::emulation::Site::Current()) {
  ::mrs::emulation::SyncBlock(site);
}

inline void __syncwarp(uint32_t mask = ~0u, ::mrs::emulation::Site site = ::mrs::emulation::Site::Current()) {
  ::mrs::emulation::SyncWarp(mask, nullptr, 0, nullptr, 0, nullptr, site);
}

// Of the lane whose number differs by `other`, which must be in the mask.
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int other, ::mrs::emulation::Site site = ::mrs::emulation::Site::Current()) {
  struct In {
    T value;
    int other;
  };
  static_assert(sizeof(In) <= ::mrs::emulation::kLaneBytes);
  const In in = {value, other};
  T out;
  ::mrs::emulation::SyncWarp(
      mask, &in, sizeof(in), &out, sizeof(out),
      [](uint32_t lanes, const std::byte(*slots)[::mrs::emulation::kLaneBytes], ::mrs::emulation::LaneSlots results)
          MRS_NOT_WATCHED {
            for (unsigned lane = 0; lane < 32; ++lane) {
              if ((lanes >> lane & 1) == 0) continue;
              In own, from;
              std::memcpy(&own, slots[lane], sizeof(own));
              const unsigned source = lane ^ static_cast<unsigned>(own.other);
              if (source >= 32 || (lanes >> source & 1) == 0)
                ::mrs::emulation::Fault("a shuffle reads outside its mask");
              std::memcpy(&from, slots[source], sizeof(from));
              std::memcpy(results[lane], &from.value, sizeof(T));
            }
          },
      site);
  return out;
}

inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
