// What kernels that meet those of other ranks have in common: which of the bytes are a block's, and a block's wait for
// a word that another rank sets in this one's memory.
//
//   const Share share = ShareOf(a.bytes);
//   if (!Await(a.state, a.longest_ns, /*rank=*/1, flag, word)) return;   // it will not come, and the state has why
//
// A word's upper half says which of all it is, its lower half what it is of: who finds the number and another half has
// met a rank that exchanges something else.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/peer_exchange.h"
#include "kernels/cuda/signals.h"

namespace mrs::kernels::cuda {

constexpr int kPeerThreads = 256;     // of a block
constexpr unsigned kPollsALook = 64;  // at the host's memory, which is far

static __device__ inline uint64_t* WordsOf(void* buffer) { return static_cast<uint64_t*>(buffer); }

// kind, rank, and of a flag its lower word.
static __device__ inline void Fail(PeerState* state, PeerFailure::Kind kind, int rank, uint64_t told) {
  const uint64_t failure = uint64_t{kind} << 56 | uint64_t(rank) << 48 | (told & 0xffffffffu);
  if (LoadAcquire(&state->failure) == 0) StoreRelease(&state->failure, failure);
  StoreRelease(&state->stop, 1);
}

// Whether this rank goes on: once a wait of it has been given up, or its host has said stop, what it has is nothing,
// and nobody is told that it is there. One thread's, as the word is far; the block's after its next barrier.
static __device__ inline void LookForStop(PeerState* state, int* goes_on) {
  if (threadIdx.x != 0) return;
  *goes_on = LoadAcquire(&state->stop) == 0 ? 1 : 0;
  if (*goes_on == 0) Fail(state, PeerFailure::kStopped, PeerFailure::kNobody, 0);
}

// Until the other rank has said `word`. False: it will not, and the state has why.
static __device__ inline bool Await(PeerState* state, uint64_t longest_ns, int rank, const uint64_t* flag,
                                    uint64_t word) {
  const uint64_t begin = Nanoseconds();
  for (unsigned polls = 1;; ++polls) {
    const uint64_t told = LoadAcquire(flag);
    if (told == word) {
      if (polls > kPollsALook) StoreRelease(&state->waits_for, 0);  // whoever waits on says so again
      return true;
    }
    if (told >> 32 == word >> 32) {
      Fail(state, PeerFailure::kUnlike, rank, told);
      return false;
    }
    if (polls % kPollsALook == 0) {
      StoreRelease(&state->waits_for, uint64_t(rank) + 1);
      if (LoadAcquire(&state->stop) != 0) {
        Fail(state, PeerFailure::kStopped, rank, 0);
        return false;
      }
      if (Nanoseconds() - begin > longest_ns) {
        Fail(state, PeerFailure::kSilent, rank, 0);
        return false;
      }
    }
    Poll();
  }
}

// What of the bytes is this block's. A share is of bytes, whatever the unit: all ranks have the same.
struct Share {
  int64_t begin = 0, end = 0;
};
static __device__ inline Share ShareOf(int64_t bytes) {
  constexpr int64_t kLeast = int64_t{kPeerThreads} * 16;
  const int64_t share = ((bytes + kPeerBlocks - 1) / kPeerBlocks + kLeast - 1) / kLeast * kLeast;
  Share of_block;
  of_block.begin = share * blockIdx.x;
  of_block.end = of_block.begin + share < bytes ? of_block.begin + share : bytes;
  return of_block;
}

// put(i, get(i)) of this thread's units of `count`: so many are on their way before any is put, as no load may pass the
// store of one before.
template <int ahead, typename Unit, typename Get, typename Put>
static __device__ inline void GetAndPut(int count, Get get, Put put) {
  for (int first = int(threadIdx.x); first < count; first += ahead * kPeerThreads) {
    Unit units[ahead];
#pragma unroll
    for (int j = 0; j < ahead; ++j) {
      const int i = first + j * kPeerThreads;
      units[j] = get(i < count ? i : first);  // no branch, after which the next would wait
    }
#pragma unroll
    for (int j = 0; j < ahead; ++j) {
      const int i = first + j * kPeerThreads;
      if (i < count) put(i, units[j]);
    }
  }
}

}  // namespace mrs::kernels::cuda
