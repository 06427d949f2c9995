// Copies into shared memory that a thread starts and later waits for, in groups, oldest first.
//
//   for (...) CopyAsync16(shared + ..., global + ...);   // sixteen bytes, both aligned to sixteen
//   CommitCopies();                                      // ends a group; may be empty
//   WaitForCopies<2>();   // all groups of this thread are there but the last two
//   __syncwarp();         // and those of the others
#pragma once

#include "kernels/cuda/dialect.h"

namespace mrs::kernels::cuda {

#ifdef __CUDACC__
static __device__ inline void CopyAsync16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :
               : "r"(unsigned(__cvta_generic_to_shared(shared))), "l"(__cvta_generic_to_global(global))
               : "memory");
}
static __device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <int kLeft>
static __device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kLeft) : "memory");
}
#else
inline void CopyAsync16(void* shared, const void* global) { ::mrs::emulation::StartCopy(shared, global, 16); }
inline void CommitCopies() { ::mrs::emulation::CommitCopies(); }
template <int kLeft>
inline void WaitForCopies() {
  ::mrs::emulation::WaitForCopies(kLeft);
}
#endif

}  // namespace mrs::kernels::cuda
