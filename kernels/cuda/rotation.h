// A pair of elements turned by an angle: what all kernels of RoPE share.
//
//   const TurnedPair y = Turned(x, z, cosine, sine);   // x, z: elements i and i + half of a head, or 2 i and 2 i + 1
#pragma once

#include "kernels/cuda/dialect.h"

namespace mrs::kernels::cuda {

struct TurnedPair {
  float first, second;
};
static __device__ inline TurnedPair Turned(float x, float z, float cosine, float sine) {
  return {__fmaf_rn(x, cosine, -(z * sine)), __fmaf_rn(z, cosine, x * sine)};
}

}  // namespace mrs::kernels::cuda
