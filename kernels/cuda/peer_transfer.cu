// A thread a unit of sixteen bytes, where all lies so. One thread of a block waits for the other rank, and tells it.
#include "kernels/cuda/peer_transfer.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/peer_blocks.h"
#include "kernels/cuda/signals.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kAhead = 4;         // loads on their way, as many as a piece has of a thread in a row of 4096 floats

__device__ inline uint64_t* FlagOf(void* buffer, int place) {
  return WordsOf(buffer) + place * kPeerBlocks + blockIdx.x;
}
// How many pieces this block has had.
__device__ inline uint64_t* CountOf(void* buffer) { return WordsOf(buffer) + kPeerPlaces * kPeerBlocks + blockIdx.x; }
template <typename Unit>
__device__ Unit* PieceOf(void* buffer, int place) {
  return reinterpret_cast<Unit*>(static_cast<unsigned char*>(buffer) + kPeerHeaderBytes +
                                 (place * kPeerBlocks + int(blockIdx.x)) * kPeerPieceBytes);
}

template <typename Unit>
__device__ inline void Copy(Unit* to, const Unit* from, int count) {
  GetAndPut<kAhead, Unit>(
      count, [=](int i) { return from[i]; }, [=](int i, const Unit& unit) { to[i] = unit; });
}

// A block's: until its flag is `word`. False: it will not be, and the state has why.
__device__ inline bool MeetsWord(const PeerTransferArgs& a, int place, uint64_t word, int* is_there) {
  if (threadIdx.x == 0) {
    *is_there = Await(a.state, a.longest_ns, a.peer_number, FlagOf(a.own, place), word) ? 1 : 0;
  }
  __syncthreads();
  return *is_there != 0;
}

// What is this block's, piece by piece, in the places that it has in turn: `awaits` that a place may be used that has
// been `times` before, `copies` so many units from the first on, and `tells` how often the place has been used now.
template <typename Unit, typename Awaits, typename Copies, typename Tells>
__device__ inline void EachPiece(const PeerTransferArgs& a, Awaits awaits, Copies copies, Tells tells) {
  constexpr int64_t kUnit = sizeof(Unit);
  const Share share = ShareOf(a.bytes);
  if (share.begin >= share.end) return;
  uint64_t count = *CountOf(a.own);
  for (int64_t at = share.begin; at < share.end; at += a.piece_bytes) {
    const int place = int(count % kPeerPlaces);
    const auto times = uint32_t(count / kPeerPlaces);
    const int64_t left = (share.end - at) / kUnit, most = a.piece_bytes / kUnit;
    if (!awaits(place, times)) return;
    copies(place, at / kUnit, int(left < most ? left : most));
    __syncthreads();
    if (threadIdx.x == 0) tells(place, times + 1);
    ++count;
  }
  if (threadIdx.x == 0) *CountOf(a.own) = count;
}

// What a wait before it has given up is not handed on, whether or not there is a place for it, and the state says so:
// of a rank that only sends nothing else does.
template <typename Unit>
__global__ void __launch_bounds__(kPeerThreads, kPeerBlocksAMultiprocessor) PeerSend(PeerTransferArgs a) {
  MRS_SHARED(shared);
  int* const is_there = reinterpret_cast<int*>(shared);
  if (const Share share = ShareOf(a.bytes); share.begin >= share.end) return;
  LookForStop(a.state, is_there);
  __syncthreads();
  if (*is_there == 0) return;
  __syncthreads();
  const Unit* const x = static_cast<const Unit*>(a.data);
  EachPiece<Unit>(
      a, [&](int place, uint32_t emptied) { return MeetsWord(a, place, uint64_t{emptied} << 32, is_there); },
      [&](int place, int64_t first, int count) { Copy(PieceOf<Unit>(a.peer, place), x + first, count); },
      [&](int place, uint32_t filled) {
        StoreRelease(FlagOf(a.peer, place), uint64_t{filled} << 32 | uint64_t(a.bytes));
      });
}

template <typename Unit>
__global__ void __launch_bounds__(kPeerThreads, kPeerBlocksAMultiprocessor) PeerReceive(PeerTransferArgs a) {
  MRS_SHARED(shared);
  int* const is_there = reinterpret_cast<int*>(shared);
  Unit* const y = static_cast<Unit*>(a.data);
  EachPiece<Unit>(
      a,
      [&](int place, uint32_t filled) {
        return MeetsWord(a, place, uint64_t{filled + 1} << 32 | uint64_t(a.bytes), is_there);
      },
      [&](int place, int64_t first, int count) { Copy(y + first, PieceOf<Unit>(a.own, place), count); },
      [&](int place, uint32_t emptied) { StoreRelease(FlagOf(a.peer, place), uint64_t{emptied} << 32); });
}

template <typename Unit>
int Start(const PeerTransferArgs& args, void* stream) {
  LaunchShape shape = {dim3{kPeerBlocks}, dim3{kPeerThreads}, sizeof(int)};
  shape.is_cooperative = true;
  return Launch(args.is_send ? PeerSend<Unit> : PeerReceive<Unit>, shape, stream, args);
}

bool IsAligned(const PeerTransferArgs& args, uint64_t to) {
  return reinterpret_cast<uintptr_t>(args.data) % to == 0 && uint64_t(args.bytes) % to == 0;
}

const Module kModule(PeerSend<uint4>);

}  // namespace

int StartPeerTransfer(const PeerTransferArgs& args, void* stream) {
  if (args.bytes == 0) return 0;
  const bool is_possible = args.bytes > 0 && args.bytes <= kMostExchangedBytes && args.peer_number >= 0 &&
                           args.peer_number < PeerFailure::kNobody && args.piece_bytes >= 16 &&
                           args.piece_bytes <= kPeerPieceBytes && args.piece_bytes % 16 == 0 &&
                           IsAligned(args, sizeof(bf16));
  if (!is_possible) return kInvalidValue;
  if (IsAligned(args, 16)) return Start<uint4>(args, stream);
  return IsAligned(args, 4) ? Start<uint32_t>(args, stream) : Start<uint16_t>(args, stream);
}

}  // namespace mrs::kernels::cuda
