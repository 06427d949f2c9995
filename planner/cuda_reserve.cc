#include "planner/cuda_reserve.h"

#include "plans/cuda_graphs.h"
#include "plans/nccl_memory.h"

namespace mrs {
namespace {

// cuBLAS asks for 32 MiB on Hopper and Blackwell, 4 MiB before them; the larger one
// (https://docs.nvidia.com/cuda/cublas/, cublasSetWorkspace).
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;
// Behind them: counts, by which a launch's blocks know which of them comes last (kernels/cuda/exact.h, WorkspaceOf).
constexpr int64_t kCountBytes = 4096;

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
  if (rank.collectives == Collectives::kNccl) {
    reserve.communicators = NcclBytes({.tp = rank.tp, .first = rank.first, .last = rank.last});
  }
  return reserve;
}

}  // namespace mrs
