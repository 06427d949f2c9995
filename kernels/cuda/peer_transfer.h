// What a rank hands to one of the next stage, by that one's memory (CUDA IPC): it puts it there, piece by piece, and
// tells; the other takes it from its own memory, and tells that the place is free.
//
//   PeerTransferArgs args = {.data = x, .bytes = 4096 * 4, .is_send = true, .own = own, .peer = theirs, .state =
//   state}; StartPeerTransfer(args, stream)   // the other, with is_send = false: y = x
//
// Both start the same transfers in the same order, each in one stream. The sender does not wait for the other to come:
// what its blocks' places hold is on its way when it goes on. No row of the kernel table: CPU ranks send by their
// hosts.
//
// A block takes a share of the bytes, in pieces, and talks to the block of its number on the other rank alone. Pieces
// of a block are counted, from transfer to transfer, by each rank in its own buffer, so that a graph may be launched
// any number of times; each has one of kPeerPlaces places in turn. Flags are a word a place and block, in the buffer of
// who waits, so that nobody polls another's memory. In the receiver's: how often the place was filled, and how many
// bytes the transfer has. In the sender's: how often it was emptied, before which it is not filled again.
#pragma once

#include <cstdint>

#include "kernels/cuda/peer_exchange.h"

namespace mrs::kernels::cuda {

constexpr int kPeerPlaces = 2;  // of a block: one is filled while the other is emptied
// A receiver's buffer is one of peer_exchange.h: words, then pieces. A sender's has words alone. Zeros before the
// first.
constexpr int64_t kPeerInboxBytes = kPeerHeaderBytes + kPeerPlaces * kPeerBlocks * kPeerPieceBytes;
constexpr int64_t kPeerOutboxBytes = kPeerHeaderBytes;
// Words of a buffer: flags, then what a block has had; greetings (StartPeerGreet, of two ranks) lie behind them.
static_assert((kPeerPlaces + 1) * kPeerBlocks <= kPutGreetings);

struct PeerTransferArgs {
  void* data = nullptr;  // of a sender, what it has; of a receiver, where it comes
  int64_t bytes = 0;     // of floats or bf16, so even
  bool is_send = false;
  void* own = nullptr;                    // this rank's buffer
  void* peer = nullptr;                   // the other's, as this one reaches it
  PeerState* state = nullptr;             // where it says stop, nothing is put, and the state has why
  int peer_number = 0;                    // by which the state names the other; less than PeerFailure::kNobody
  int64_t piece_bytes = kPeerPieceBytes;  // a multiple of 16, no more; the same on both
  uint64_t longest_ns = 60'000'000'000;   // that a wait takes
};
// As a kernel of exact.h.
int StartPeerTransfer(const PeerTransferArgs& args, void* stream);

}  // namespace mrs::kernels::cuda
