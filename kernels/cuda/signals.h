// Words by which a device, another one and their host tell each other how far they are: who sees a word that was stored
// sees all that came before it, by whichever thread of its block and a barrier.
//
//   buffer[i] = x;  __syncthreads();  if (threadIdx.x == 0) StoreRelease(flag, 7);
//   while (LoadAcquire(flag) != 7) Poll();
//
//   buffer[blockIdx.x] = x;  __syncthreads();  if (threadIdx.x == 0) is_last = CountBlock(count) == gridDim.x - 1;
//   __syncthreads();  if (is_last) ...  // sees all of `buffer`
//
// Flags are of the whole system's memory, counts of the device's. A kernel that waits so is launched cooperative
// (dialect.h).
#pragma once

#include <cstdint>

#include "kernels/cuda/dialect.h"

namespace mrs::kernels::cuda {

#ifdef __CUDACC__
static __device__ inline void StoreRelease(uint64_t* at, uint64_t word) {
  asm volatile("st.release.sys.u64 [%0], %1;" : : "l"(at), "l"(word) : "memory");
}
static __device__ inline uint64_t LoadAcquire(const uint64_t* at) {
  uint64_t word;
  asm volatile("ld.acquire.sys.u64 %0, [%1];" : "=l"(word) : "l"(at) : "memory");
  return word;
}
// Adds one, and gives what was there.
static __device__ inline uint32_t CountBlock(uint32_t* count) {
  uint32_t before;
  asm volatile("atom.add.acq_rel.gpu.u32 %0, [%1], 1;" : "=r"(before) : "l"(count) : "memory");
  return before;
}
// In each turn of a loop that waits.
static __device__ inline void Poll() {}
// Of a clock that goes on; it may move in steps of a microsecond.
static __device__ inline uint64_t Nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}
#else
using ::mrs::emulation::CountBlock;
using ::mrs::emulation::LoadAcquire;
using ::mrs::emulation::Nanoseconds;
using ::mrs::emulation::StoreRelease;
inline void Poll(::mrs::emulation::Site site = ::mrs::emulation::Site::Current()) { ::mrs::emulation::Poll(site); }
#endif

}  // namespace mrs::kernels::cuda
