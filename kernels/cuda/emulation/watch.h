// Who wrote and read each byte of shared memory, and who wrote global memory, while kernels run: two threads that touch
// one byte, one of them writing, with no barrier between them, end the program; so does an access to what nobody
// allocated, to what a copy is still bringing, or to what the launch before may still use (dependents.h), and a read of
// shared memory that no thread of the block has written.
//
//   emulation: thread 0 reads 4 bytes at byte 4 of shared memory, which thread 32 wrote, and no barrier is between
//   them, in block 0,0,0
//     at kernels/cuda/norm.cu:76
//
// For kernels that were compiled with -fsanitize=thread and linked without that sanitizer: its calls, one an access,
// end up in watch.cc. What is between two accesses is known from the barriers, so that a fault is found in whatever
// order threads run. Shuffles order nothing, as on a device; __syncwarp orders the lanes of its
// mask. A count (CountBlock) orders what its thread knew of, by a barrier, before those that count after it. Between
// ranks nothing is looked at: those are OS threads, whose races the thread sanitizer tells (planted_peers.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace mrs::emulation {

// What the machine tells, of the block that the calling OS thread runs. Null: nobody watches.
struct Watcher {
  virtual ~Watcher() = default;
  virtual void GridBegins() = 0;
  // `slot`: counts the blocks that are resident together. The one that begins, or comes to its turn, runs from now on.
  virtual void BlockBegins(unsigned slot, unsigned threads, const std::byte* shared, size_t shared_bytes) = 0;
  virtual void BlockRuns(unsigned slot) = 0;
  virtual void ThreadRuns(unsigned thread) = 0;  // from now on, another than before
  virtual void BlockMet() = 0;
  virtual void WarpMet(unsigned first_thread, uint32_t mask) = 0;
  virtual void CopyStarts(void* to, const void* from, size_t bytes) = 0;
  virtual void CopyIsThere(void* to, size_t bytes) = 0;
  virtual void Prefetches(const void* global, size_t bytes) = 0;
  virtual void AnyBytesDo(const void* shared, size_t bytes) = 0;
  virtual void Counts(const uint32_t* count) = 0;  // acquires and releases, at once (CountBlock)
  virtual void GridEnds() = 0;
};
// Of this OS thread; there is one where watch.cc is linked.
using MakeWatcher = Watcher* (*)();
extern MakeWatcher make_watcher;

}  // namespace mrs::emulation
