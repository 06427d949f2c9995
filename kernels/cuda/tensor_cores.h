// Products of small tiles of bf16 by a warp, as sm_80 has them, and how a warp fetches a tile from shared memory. All
// 32 lanes call each together. What a lane holds of a tile stands in the PTX ISA, "Matrix fragments for mma.m16n8k16";
// with g = lane / 4 and t = lane % 4, of words of two elements, the lower half first:
//
//   a[16][16]   words (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8)       of row and first column
//   b[16][8]    words of (2t, g) and (2t + 1, g); (2t + 8, g) and (2t + 9, g)   of row and column
//   c[16][8]    floats (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
//
//   uint32_t b[4];
//   LoadTransposed(b, v + lane % 16 * stride + lane / 16 * 8);   // b[16][8] at column 0, and at column 8
//   MultiplyTiles(c, a, b[0], b[1]);                             // c += a * b
#pragma once

#include "kernels/cuda/dialect.h"
#include "kernels/math.h"
#ifndef __CUDACC__
#include "kernels/cuda/emulation/tensor_cores.h"
#endif

namespace mrs::kernels::cuda {

#ifdef __CUDACC__
// c += a * b. Products are exact; in which order they are added, and with how many bits, is the device's.
static __device__ inline void MultiplyTiles(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Four tiles of eight rows of eight elements, transposed: lane l gives where row l % 8 of tile l / 8 lies in shared
// memory, aligned to sixteen bytes, and gets of each tile rows 2t and 2t + 1 of column g.
static __device__ inline void LoadTransposed(uint32_t (&words)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(unsigned(__cvta_generic_to_shared(row)))
               : "memory");
}
// Two floats as a word of bf16, each rounded to the nearest, to even in the middle.
static __device__ inline uint32_t PackBf16(float low, float high) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
#else
inline void MultiplyTiles(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                          ::mrs::emulation::Site site = ::mrs::emulation::Site::Current()) {
  ::mrs::emulation::MultiplyTiles(c, a, b0, b1, site);
}
inline void LoadTransposed(uint32_t (&words)[4], const void* row,
                           ::mrs::emulation::Site site = ::mrs::emulation::Site::Current()) {
  ::mrs::emulation::CheckRow(row);
  const uint4 own = *static_cast<const uint4*>(row);  // read here, where each access is told
  ::mrs::emulation::Transpose(words, &own, site);
}
inline uint32_t PackBf16(float low, float high) {
  return uint32_t{Bf16FromF32(low).bits} | uint32_t{Bf16FromF32(high).bits} << 16;
}
#endif

}  // namespace mrs::kernels::cuda
