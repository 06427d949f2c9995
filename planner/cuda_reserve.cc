#include "planner/cuda_reserve.h"

#include "plans/cuda_graphs.h"

namespace mrs {
namespace {

// cuBLAS asks for 32 MiB on Hopper and Blackwell, 4 MiB before them; the larger one
// (https://docs.nvidia.com/cuda/cublas/, cublasSetWorkspace).
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
// Behind them: counts, by which a launch's blocks know which of them comes last (kernels/cuda/exact.h, WorkspaceOf).
constexpr int64_t kCountBytes = 4096;
// What one NCCL channel keeps for each peer that it receives from: 4 MiB for SIMPLE, and for LL and LL128 their lines
// (nccl/src/include/device.h and src/init.cc: DEFAULT_BUFFSIZE, DEFAULT_LL_BUFFSIZE, DEFAULT_LL128_BUFFSIZE).
constexpr int64_t kNcclSimple = int64_t{1} << 22;
constexpr int64_t kNcclLl = int64_t{8} * 512 * 8 * 16;
constexpr int64_t kNcclLl128 = int64_t{120} * 640 * 8 * 8;
constexpr int64_t kNcclChannels = 32;  // MAXCHANNELS, device.h
constexpr int64_t kNcclGroupBytes = kNcclChannels * (kNcclSimple + kNcclLl + kNcclLl128);
// Sends and receives between two ranks take SIMPLE buffers alone, on at most as many channels.
constexpr int64_t kNcclPeerBytes = kNcclChannels * kNcclSimple;

}  // namespace

CudaReserve CudaReserveOf(const CudaRank& rank) {
  CudaReserve reserve;
  reserve.workspace = kWorkspaceBytes + kCountBytes;
  const int64_t to_stages = (rank.first ? 0 : 1) + (rank.last ? 0 : 1);
  const int64_t cuts = rank.collectives == Collectives::kStaged        ? rank.exchanges
                       : rank.collectives == Collectives::kIpcInStages ? to_stages
                                                                       : 0;
  reserve.graphs = GraphCount(rank.max_seqs, rank.last) * GraphBytes(rank.steps, cuts);
  if (SumsByPeers(rank.collectives)) {
    reserve.communicators = PeerBytes(rank.collectives, rank.tp, rank.first, rank.last);
  }
  if (rank.collectives != Collectives::kNccl) return reserve;
  if (rank.tp > 1) reserve.communicators += kNcclGroupBytes;
  if (!rank.first) reserve.communicators += kNcclPeerBytes;
  if (!rank.last) reserve.communicators += kNcclPeerBytes;
  return reserve;
}

}  // namespace mrs
