// A thread a unit of sixteen bytes, where all lies so; puts them, waits with its block, then reads all ranks'. In two
// shots it reads all ranks' of a share, puts their sums, waits again, and reads all shares' sums. Where a norm follows,
// a block has whole rows: once it has the sums of one, it has all that its norm needs.
#include "kernels/cuda/peer_exchange.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/norm_row.h"
#include "kernels/cuda/peer_blocks.h"
#include "kernels/cuda/signals.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = kPeerThreads;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr uint64_t kGathers = uint64_t{1} << 31;
constexpr uint64_t kNorms = 1;  // of a sum, whose bytes are those of floats
// Of a block, in shared memory: of each rank whether it is there, then whether this one goes on; what follows is
// aligned.
constexpr int kFlags = kMostPeers + 4;

// Set by rank `from` in the buffer of another.
__device__ inline uint64_t* FlagOf(void* buffer, uint32_t number, int from) {
  return WordsOf(buffer) + (int(number & 1) * kMostPeers + from) * kPeerBlocks + blockIdx.x;
}
// The last piece's of this block.
__device__ inline uint64_t* NumberOf(void* buffer) {
  return WordsOf(buffer) + 2 * kMostPeers * kPeerBlocks + blockIdx.x;
}
template <typename Unit>
__device__ Unit* PieceOf(void* buffer, uint32_t number) {
  return reinterpret_cast<Unit*>(static_cast<unsigned char*>(buffer) + kPeerHeaderBytes +
                                 (int(number & 1) * kPeerBlocks + int(blockIdx.x)) * kPeerPieceBytes);
}

__device__ inline float Add(float a, float b) { return a + b; }
__device__ inline float4 Add(const float4& a, const float4& b) {
  float4 sum;
  sum.x = a.x + b.x;
  sum.y = a.y + b.y;
  sum.z = a.z + b.z;
  sum.w = a.w + b.w;
  return sum;
}

// What a block does with unit `i` of a piece, which is `at` of x, when all ranks have put it.
template <typename Of>
struct Gather {
  using Unit = Of;
  static __device__ void Take(const PeerExchangeArgs& a, uint32_t number, int64_t i, int64_t at) {
    const int64_t units = a.bytes / int64_t{sizeof(Unit)};
    Unit* const y = static_cast<Unit*>(a.y) + at;
    for (int rank = 0; rank < a.ranks; ++rank) y[rank * units] = PieceOf<Unit>(a.buffers[rank], number)[i];
  }
};
template <typename Of, int ranks>
struct SumTree {
  using Unit = Of;
  template <int count>
  static __device__ Unit Tree(const PeerExchangeArgs& a, int first, uint32_t number, int64_t i) {
    if constexpr (count == 1) {
      return PieceOf<Unit>(a.buffers[first], number)[i];
    } else {
      const Unit low = Tree<count / 2>(a, first, number, i);
      return Add(low, Tree<count / 2>(a, first + count / 2, number, i));
    }
  }
  static __device__ void Take(const PeerExchangeArgs& a, uint32_t number, int64_t i, int64_t at) {
    static_cast<Unit*>(a.y)[at] = Tree<ranks>(a, 0, number, i);
  }
};
struct SumInOrder {
  using Unit = float;
  static __device__ void Take(const PeerExchangeArgs& a, uint32_t number, int64_t i, int64_t at) {
    float sum = PieceOf<float>(a.buffers[0], number)[i];
    for (int rank = 1; rank < a.ranks; ++rank) sum = sum + PieceOf<float>(a.buffers[rank], number)[i];
    static_cast<float*>(a.y)[at] = sum;
  }
};

// What this block has put as `number` is there, and so is what all others have. False: one will not, or this rank has
// nothing to tell (LookForStop), and the state has why.
__device__ inline bool Meet(const PeerExchangeArgs& a, uint32_t number, int* is_there, bool norms = false) {
  const int t = int(threadIdx.x);
  const uint64_t kind = a.is_gather ? kGathers : norms ? kNorms : 0;
  const uint64_t word = uint64_t{number} << 32 | uint64_t(a.bytes) | kind;
  __syncthreads();
  if (is_there[kMostPeers] == 0) return false;
  if (t < a.ranks) {
    StoreRelease(FlagOf(a.buffers[t], number, a.rank), word);
    is_there[t] = Await(a.state, a.longest_ns, t, FlagOf(a.buffers[a.rank], number, t), word) ? 1 : 0;
  }
  __syncthreads();
  for (int rank = 0; rank < a.ranks; ++rank) {
    if (is_there[rank] == 0) return false;
  }
  return true;
}

template <typename Work>
__global__ void __launch_bounds__(kThreads, kPeerBlocksAMultiprocessor) PeerExchange(PeerExchangeArgs a) {
  using Unit = typename Work::Unit;
  constexpr int64_t kUnit = sizeof(Unit);
  MRS_SHARED(shared);
  int* const is_there = reinterpret_cast<int*>(shared);  // [kFlags]
  const Share share = ShareOf(a.bytes);
  if (share.begin >= share.end) return;
  const int t = int(threadIdx.x);
  LookForStop(a.state, is_there + kMostPeers);  // while others put the first piece
  auto number = uint32_t(*NumberOf(a.buffers[a.rank]));
  for (int64_t at = share.begin; at < share.end; at += a.piece_bytes) {
    ++number;
    const int64_t first = at / kUnit, left = (share.end - at) / kUnit, most = a.piece_bytes / kUnit;
    const int64_t count = left < most ? left : most;
    const Unit* const x = static_cast<const Unit*>(a.x) + first;
    Unit* const own = PieceOf<Unit>(a.buffers[a.rank], number);
    for (int64_t i = t; i < count; i += kThreads) own[i] = x[i];
    if (!Meet(a, number, is_there)) return;
    for (int64_t i = t; i < count; i += kThreads) Work::Take(a, number, i, first + i);
  }
  if (t == 0) *NumberOf(a.buffers[a.rank]) = number;
}

// In two shots. Of a piece the rank-th run of `width` units is a rank's to sum: of bytes, too, as one rank may have
// larger units than another.
template <typename Unit, int ranks>
__global__ void __launch_bounds__(kThreads, kPeerBlocksAMultiprocessor) PeerSumInTwo(PeerExchangeArgs a) {
  constexpr int64_t kUnit = sizeof(Unit);
  MRS_SHARED(shared);
  int* const is_there = reinterpret_cast<int*>(shared);  // [kFlags]
  const Share share = ShareOf(a.bytes);
  if (share.begin >= share.end) return;
  const int t = int(threadIdx.x);
  LookForStop(a.state, is_there + kMostPeers);  // while others put the first piece
  auto number = uint32_t(*NumberOf(a.buffers[a.rank]));
  for (int64_t at = share.begin; at < share.end; at += a.piece_bytes) {
    ++number;
    const int64_t first = at / kUnit, left = (share.end - at) / kUnit, most = a.piece_bytes / kUnit;
    const int64_t count = left < most ? left : most;
    const int64_t width = ((count * kUnit + ranks - 1) / ranks + 15) / 16 * 16 / kUnit;
    const Unit* const x = static_cast<const Unit*>(a.x) + first;
    Unit* const own = PieceOf<Unit>(a.buffers[a.rank], number);
    for (int64_t i = t; i < count; i += kThreads) own[i] = x[i];
    if (!Meet(a, number, is_there)) return;
    Unit* const sums = PieceOf<Unit>(a.buffers[a.rank], number + 1);
    const int64_t from = width * a.rank, to = from + width < count ? from + width : count;
    for (int64_t i = from + t; i < to; i += kThreads) {
      sums[i] = SumTree<Unit, ranks>::template Tree<ranks>(a, 0, number, i);
    }
    ++number;
    if (!Meet(a, number, is_there)) return;
    Unit* const y = static_cast<Unit*>(a.y) + first;
    for (int rank = 0; rank < ranks; ++rank) {
      const Unit* const of_rank = PieceOf<Unit>(a.buffers[rank], number);
      const int64_t end = width * (rank + 1) < count ? width * (rank + 1) : count;
      for (int64_t i = width * rank + t; i < end; i += kThreads) y[i] = of_rank[i];
    }
  }
  if (t == 0) *NumberOf(a.buffers[a.rank]) = number;
}

// In one shot, with what follows the sum: norm.a is the other operand of `norm.sum`. A block has rows blockIdx.x,
// blockIdx.x + kPeerBlocks, ...; a piece as many of them as it holds, or a part of one. Sums wait for their norm in
// norm.sum, as a row may be of many pieces.
template <typename Unit, int ranks>
__global__ void __launch_bounds__(kThreads, kPeerBlocksAMultiprocessor)
    PeerSumNorm(PeerExchangeArgs a, AddRmsNormArgs norm) {
  constexpr int64_t kUnit = sizeof(Unit);
  // As many as a row of 4096 has of a thread; of more ranks each unit is many loads, and registers are few.
  constexpr int kAhead = 4, kSumsAhead = ranks == 2 ? kAhead : ranks == kMostPeers ? 1 : 2;
  MRS_SHARED(shared);
  int* const is_there = reinterpret_cast<int*>(shared);  // [kFlags]
  float* const tile = reinterpret_cast<float*>(shared) + kFlags;
  if (blockIdx.x >= norm.rows) return;
  const int64_t width = norm.width * int64_t{sizeof(float)} / kUnit, most = a.piece_bytes / kUnit;
  const int64_t rows_a_piece = width < most ? most / width : 1;
  const Unit* const x = static_cast<const Unit*>(a.x);
  const Unit* const other = reinterpret_cast<const Unit*>(norm.a);
  Unit* const sum = reinterpret_cast<Unit*>(norm.sum);
  LookForStop(a.state, is_there + kMostPeers);  // while others put the first piece
  auto number = uint32_t(*NumberOf(a.buffers[a.rank]));
  for (int64_t first = blockIdx.x; first < norm.rows; first += rows_a_piece * kPeerBlocks) {
    const int64_t past = first + rows_a_piece * kPeerBlocks, end = past < norm.rows ? past : norm.rows;
    for (int64_t part = 0; part < width; part += most) {
      ++number;
      const int count = int(width - part < most ? width - part : most);
      Unit* own = PieceOf<Unit>(a.buffers[a.rank], number);
      for (int64_t row = first; row < end; row += kPeerBlocks, own += count) {
        const Unit* const from = x + row * width + part;
        GetAndPut<kAhead, Unit>(
            count, [=](int i) { return from[i]; }, [=](int i, const Unit& unit) { own[i] = unit; });
      }
      if (!Meet(a, number, is_there, /*norms=*/true)) return;
      int in_piece = 0;
      for (int64_t row = first; row < end; row += kPeerBlocks, in_piece += count) {
        const int64_t begin = row * width + part;
        const auto add = [&](int i) {
          return Add(SumTree<Unit, ranks>::template Tree<ranks>(a, 0, number, in_piece + i), other[begin + i]);
        };
        GetAndPut<kSumsAhead, Unit>(count, add, [=](int i, const Unit& unit) { sum[begin + i] = unit; });
      }
    }
    __syncthreads();
    for (int64_t row = first; row < end; row += kPeerBlocks) {
      RmsNormRow(norm.sum, norm.w, norm.y, norm.out, row * norm.width, norm.width, norm.eps, tile);
    }
  }
  if (threadIdx.x == 0) *NumberOf(a.buffers[a.rank]) = number;
}

__global__ void __launch_bounds__(32) PeerGreet(PeerGreetArgs a) {
  AwaitPrevious();
  const int t = int(threadIdx.x);
  if (t >= a.ranks) return;
  uint64_t* const put = WordsOf(a.buffers[t]) + kPutGreetings + a.rank;
  if (!a.looks) {
    StoreRelease(put, kGreeting + (uint64_t(a.rank) << 8) + uint64_t(t));
  } else {
    WordsOf(a.buffers[a.rank])[kSeenGreetings + t] = LoadAcquire(put);
  }
}

int Start(void (*kernel)(PeerExchangeArgs), const PeerExchangeArgs& args, void* stream) {
  LaunchShape shape = {dim3{kPeerBlocks}, dim3{kThreads}, kFlags * sizeof(int)};
  shape.is_cooperative = true;
  return Launch(kernel, shape, stream, args);
}

bool IsAligned(const void* memory, uint64_t to) { return reinterpret_cast<uintptr_t>(memory) % to == 0; }
bool IsAligned(const PeerExchangeArgs& args, uint64_t to) {
  return IsAligned(args.x, to) && IsAligned(args.y, to) && uint64_t(args.bytes) % to == 0;
}

bool IsPossible(const PeerExchangeArgs& args) {
  return args.bytes >= 0 && args.bytes <= kMostExchangedBytes && args.ranks >= 2 && args.ranks <= kMostPeers &&
         args.rank >= 0 && args.rank < args.ranks && args.piece_bytes >= 16 && args.piece_bytes <= kPeerPieceBytes &&
         args.piece_bytes % 16 == 0 && !(args.two_shots && (args.is_gather || !args.canonical));
}

template <int ranks>
int StartTree(const PeerExchangeArgs& args, void* stream) {
  if (args.two_shots) {
    return Start(IsAligned(args, 16) ? PeerSumInTwo<float4, ranks> : PeerSumInTwo<float, ranks>, args, stream);
  }
  return Start(IsAligned(args, 16) ? PeerExchange<SumTree<float4, ranks>> : PeerExchange<SumTree<float, ranks>>, args,
               stream);
}

// Of the one launch; `norm.a` is what the sum is added to. Ranks may have unlike units: pieces are of bytes.
template <int ranks>
int StartSumNorm(const PeerExchangeArgs& args, const AddRmsNormArgs& norm, void* stream) {
  LaunchShape shape = {dim3{kPeerBlocks}, dim3{kThreads}, kFlags * sizeof(int) + NormTileBytes(kThreads)};
  shape.is_cooperative = true;
  const auto all_are_aligned = [&](uint64_t to) {
    return IsAligned(args.x, to) && IsAligned(norm.a, to) && IsAligned(norm.sum, to) &&
           uint64_t(norm.width) * sizeof(float) % to == 0;
  };
  if (!all_are_aligned(sizeof(float))) return kInvalidValue;
  return Launch(all_are_aligned(16) ? PeerSumNorm<float4, ranks> : PeerSumNorm<float, ranks>, shape, stream, args,
                norm);
}

const Module kModule(PeerGreet);

}  // namespace

PeerFailure FailureOf(const PeerState& state) {
  PeerFailure failure;
  failure.kind = static_cast<PeerFailure::Kind>(state.failure >> 56);
  failure.rank = int(state.failure >> 48 & 0xff);
  failure.gathers = (state.failure & kGathers) != 0;
  failure.norms = !failure.gathers && (state.failure & kNorms) != 0;
  failure.bytes = int64_t(state.failure & (kGathers - 1)) - (failure.norms ? int64_t{kNorms} : 0);
  return failure;
}

int StartPeerExchange(const PeerExchangeArgs& args, void* stream) {
  if (args.bytes == 0) return 0;
  if (!IsPossible(args)) return kInvalidValue;
  if (args.is_gather) {
    if (IsAligned(args, 16)) return Start(PeerExchange<Gather<uint4>>, args, stream);
    return IsAligned(args, 4) ? Start(PeerExchange<Gather<uint32_t>>, args, stream)
                              : Start(PeerExchange<Gather<uint8_t>>, args, stream);
  }
  if (!IsAligned(args, sizeof(float))) return kInvalidValue;
  if (!args.canonical) return Start(PeerExchange<SumInOrder>, args, stream);
  switch (args.ranks) {
    case 2:
      return StartTree<2>(args, stream);
    case 4:
      return StartTree<4>(args, stream);
    case 8:
      return StartTree<8>(args, stream);
    case kMostPeers:
      return StartTree<kMostPeers>(args, stream);
    default:
      return kInvalidValue;
  }
}

int StartPeerSumNorm(const PeerSumNormArgs& args, void* stream) {
  const PeerExchangeArgs& exchange = args.exchange;
  AddRmsNormArgs norm = args.norm;
  const bool is_a = norm.a == exchange.y, is_b = norm.b == exchange.y;
  if (exchange.is_gather || !(is_a || is_b) || norm.rows < 0 || norm.width < 0 ||
      exchange.bytes != norm.rows * norm.width * int64_t{sizeof(float)} || !IsPossible(exchange)) {
    return kInvalidValue;
  }
  if (exchange.bytes == 0) return 0;
  // By what all ranks have alike, as they must take the same way.
  if (exchange.canonical && !exchange.two_shots && is_a != is_b) {
    if (is_a) norm.a = norm.b;
    norm.b = nullptr;
    PeerExchangeArgs of_x = exchange;
    of_x.y = nullptr;
    switch (exchange.ranks) {
      case 2:
        return StartSumNorm<2>(of_x, norm, stream);
      case 4:
        return StartSumNorm<4>(of_x, norm, stream);
      case 8:
        return StartSumNorm<8>(of_x, norm, stream);
      case kMostPeers:
        return StartSumNorm<kMostPeers>(of_x, norm, stream);
      default:
        return kInvalidValue;
    }
  }
  if (exchange.y == nullptr) return kInvalidValue;
  const int error = StartPeerExchange(exchange, stream);
  return error != 0 ? error : Start(norm, stream);
}

int StartPeerGreet(const PeerGreetArgs& args, void* stream) {
  if (args.ranks < 2 || args.ranks > kMostPeers || args.rank < 0 || args.rank >= args.ranks) return kInvalidValue;
  return Launch(PeerGreet, {dim3{1}, dim3{32}}, stream, args);
}

}  // namespace mrs::kernels::cuda
