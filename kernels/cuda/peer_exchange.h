// What ranks of one host exchange by each other's memory (CUDA IPC): each puts its part into a buffer of its own, tells
// the others, waits for theirs, and reads them all. Sums have the order that communicators of the host have
// (runtime/comm/communicator.h), so their bits.
//
//   PeerExchangeArgs args = {.x = x, .y = y, .bytes = 4096 * 4, .buffers = {own, theirs}, .state = state, .ranks = 2};
//   StartPeerExchange(args, stream)   // y[i] = x of rank 0 [i] + x of rank 1 [i], on both
//
// Every rank starts the same exchanges in the same order, in one stream. No row of the kernel table: a CPU's ranks sum
// as they exchange.
//
// A block takes a share of the bytes, in pieces, and talks to the block of its number on each other rank alone. A piece
// has a number that goes on from exchange to exchange, kept in the buffer, so that a graph may be launched any number
// of times; odd and even numbers have places of their own. So no rank waits for others to have read: who puts piece n
// has seen all others' flags of n - 1, which they set after they had read n - 2. Each buffer's first part are the
// flags that others set, a word a number's parity, rank and block: the number, and how many bytes its exchange has.
//
// In one shot a rank reads all that the others put, (ranks - 1) times the bytes. In two it sums a share of each piece,
// and puts that where the others gather it: twice (ranks - 1) / ranks of the bytes, for a second wait. Each of the two
// has a number of its own in the one order of all numbers, so what holds of one exchange after another holds of them.
#pragma once

#include <cstdint>

#include "kernels/cuda/fused.h"

namespace mrs::kernels::cuda {

constexpr int kMostPeers = 16;
// Of all exchanges and devices: a block waits for the one of its number, so all ranks have as many.
constexpr int kPeerBlocks = 32;
// That a multiprocessor holds at once: 128 of its 65536 registers are a thread's (exchanges wait for each other, also
// where they are of ranks that share a device).
constexpr int kPeerBlocksAMultiprocessor = 2;
constexpr int64_t kPeerPieceBytes = int64_t{64} << 10;  // of a block
// A rank's buffer, zeros before the first exchange: words, then pieces of both parities.
constexpr int64_t kPeerHeaderBytes = int64_t{2} << 20;  // more than there are, as buffers are shared by 2 MiB
constexpr int64_t kPeerBufferBytes = kPeerHeaderBytes + 2 * kPeerBlocks * kPeerPieceBytes;
constexpr int64_t kMostExchangedBytes = INT32_MAX;  // of a rank
// Whether a sum of so many bytes is quicker in two shots. Between two ranks both read as much. The sizes are those at
// which vLLM changes over between GPUs that NVLink joins (csrc/custom_all_reduce.cuh); none has been measured here.
constexpr int64_t TwoShotBytes(int ranks) { return ranks <= 4 ? int64_t{512} << 10 : int64_t{256} << 10; }
constexpr bool TakesTwoShots(int64_t bytes, int ranks) { return ranks > 2 && bytes >= TwoShotBytes(ranks); }

// Of the host, where the device reaches it; zeros. Waits look at it now and then.
struct PeerState {
  uint64_t stop = 0;     // not 0: waits end, whoever is waited for. Set by the host, and where a wait ends by itself
  uint64_t failure = 0;  // why one did: a PeerFailure
  // 1 + a rank that is waited for just now, and has been for some microseconds; 0: none. For who looks on.
  uint64_t waits_for = 0;
};
// Of which nothing but the first is kept. What y has is nothing, and what is started after it is told to nobody; but a
// stage takes what had come for it, and says so.
struct PeerFailure {
  enum Kind : uint32_t {
    kNone,
    kStopped,  // by the host
    kSilent,   // for longest_ns
    kUnlike,   // it exchanges something else
  };
  static constexpr int kNobody = 255;
  Kind kind = kNone;
  int rank = 0;  // that was waited for; of kStopped kNobody: it had been said before this rank told anything
  // Of kUnlike: what that rank exchanges.
  bool gathers = false;
  bool norms = false;  // what it sums
  int64_t bytes = 0;
};
PeerFailure FailureOf(const PeerState& state);

struct PeerExchangeArgs {
  const void* x = nullptr;
  void* y = nullptr;               // [ranks][bytes] of a gathering, [bytes] of a sum; may have x where it has its part
  int64_t bytes = 0;               // of x; of a sum, floats
  void* buffers[kMostPeers] = {};  // of all ranks, as this one reaches them
  PeerState* state = nullptr;
  int rank = 0, ranks = 2;  // of a canonical sum 2, 4, 8 or 16
  bool is_gather = false;
  bool canonical = true;                  // the tree; else ((x0 + x1) + x2) + ...
  bool two_shots = false;                 // of a canonical sum; the same on all ranks
  int64_t piece_bytes = kPeerPieceBytes;  // a multiple of 16, no more; the same on all ranks
  uint64_t longest_ns = 60'000'000'000;   // that a wait takes
};
// As a kernel of exact.h.
int StartPeerExchange(const PeerExchangeArgs& args, void* stream);

// A canonical sum, then add_rms_norm (fused.h), whose a or b is that sum: the y of the exchange. Same bits. In one shot
// it is one launch, which leaves the sum itself nowhere: y is then but what says which operand it is, and may be null.
// Else, or where both operands are y, it is those two launches, and y is memory.
//
//   exchange.y = norm.b = partial;   // norm.sum = norm.a + the ranks' sum of x, norm.y = rms_norm(norm.sum)
//
// norm.sum may be x, y, or the other operand; norm.y overlaps nothing that is read. All ranks have rows of one width.
struct PeerSumNormArgs {
  PeerExchangeArgs exchange;  // bytes: norm.rows * norm.width floats
  AddRmsNormArgs norm;
};
int StartPeerSumNorm(const PeerSumNormArgs& args, void* stream);

// Whether ranks reach each other's buffers at all, without a wait: each puts a greeting into every buffer, its own,
// too; then, all having done so, looks at what it has put there. Both to be compared with GreetingOf by the host:
// SeenGreeting in its own buffer is what it saw in that rank's, PutGreeting what that rank put into this one's.
constexpr uint64_t kGreeting = 0x6d72735f'70650000u;
constexpr uint64_t GreetingOf(int from, int to) {
  return kGreeting + (static_cast<uint64_t>(from) << 8) + static_cast<uint64_t>(to);
}
struct PeerGreetArgs {
  void* buffers[kMostPeers] = {};
  int rank = 0, ranks = 2;
  bool looks = false;  // else puts
};
int StartPeerGreet(const PeerGreetArgs& args, void* stream);
// Where they lie in a buffer: behind flags and numbers; as words, and by their bytes.
constexpr int64_t kPutGreetings = 2 * kMostPeers * kPeerBlocks + kPeerBlocks;
constexpr int64_t kSeenGreetings = kPutGreetings + kMostPeers;
constexpr int64_t PutGreetingAt(int from) { return (kPutGreetings + from) * int64_t{sizeof(uint64_t)}; }
constexpr int64_t SeenGreetingAt(int of) { return (kSeenGreetings + of) * int64_t{sizeof(uint64_t)}; }
static_assert(SeenGreetingAt(kMostPeers) <= kPeerHeaderBytes);

}  // namespace mrs::kernels::cuda
