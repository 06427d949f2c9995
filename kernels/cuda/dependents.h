// Kernels whose blocks may be there, and may have asked for their weights, before the launch before them in their
// stream has ended (programmatic dependent launch).
//
//   __global__ void Twice(TwiceArgs a) {
//     Prefetch(a.w, 4096);   // from memory that no kernel writes
//     AwaitPrevious();       // each thread, before it touches other memory or returns
//
// From sm_90 on; below, both are nothing, and a launch begins when the one before has ended. Launch (dialect.h) asks
// for it where the kernel as loaded has the wait.
//
// Nothing else changes, as every thread of every such launch waits for the end of all of the one before:
// - "until all prerequisite grids in flight have completed and all the memory operations from the prerequisite
//   grids are performed and made visible" (PTX ISA, griddepcontrol). What it then reads is there; what it writes
//   nobody reads any more who came before.
// - A launch ends after its threads have waited for the end of the one before, that one likewise, and so on: ends
//   follow one another, so whoever waits for one has waited for all.
// - What is launched otherwise (copies, marks, cooperative kernels) waits for the end of all that came before it
//   in its stream, and a launch after it for its end, whenever it let it in. So do cuBLASLt's kernels and NCCL's:
//   those of them that depend as these do (NCCL's of registered windows, which nobody registers here) wait as
//   these do. Other streams and the host wait for marks, which come after ends.
// - A prefetch brings lines into L2, by which all of a device's reads and writes of its memory go: none there is
//   old.
// - The next launch's blocks come in when all blocks of this one are there, and have waited. So none takes the
//   place of one that it waits for, and there are two launches' at most. Sooner would be no gain, and later a
//   loss: blocks that wait take what nobody else could.
#pragma once

#include "kernels/cuda/dialect.h"

namespace mrs::kernels::cuda {

#ifdef __CUDACC__
// Returns when the launch before this one has ended. From then on the next one's blocks may come, as far as there is
// room.
static __device__ inline void AwaitPrevious() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" : : : "memory");
  asm volatile("griddepcontrol.launch_dependents;" : : : "memory");
#endif
}
// On their way to L2; both multiples of sixteen. By one thread: by a warp's lanes it is as many.
static __device__ inline void Prefetch([[maybe_unused]] const void* global, [[maybe_unused]] unsigned bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" : : "l"(__cvta_generic_to_global(global)), "r"(bytes));
#endif
}
#else
using ::mrs::emulation::AwaitPrevious;
inline void Prefetch(const void* global, unsigned bytes) { ::mrs::emulation::Prefetch(global, bytes); }
#endif

}  // namespace mrs::kernels::cuda
