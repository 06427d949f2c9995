#include "runtime/rank/exchange.h"

namespace mrs {
namespace {

ReduceAlgorithm AlgorithmOf(plan::CollectiveAlgorithm algorithm) {
  switch (algorithm) {
    case plan::CollectiveAlgorithm::halving_doubling:
      return ReduceAlgorithm::kHalvingDoubling;
    case plan::CollectiveAlgorithm::gather_add:
      return ReduceAlgorithm::kGatherAdd;
    case plan::CollectiveAlgorithm::rank_order:
      return ReduceAlgorithm::kRankOrder;
    case plan::CollectiveAlgorithm::none:
    case plan::CollectiveAlgorithm::doubling:
    case plan::CollectiveAlgorithm::gather:
      break;
  }
  return ReduceAlgorithm::kDoubling;
}

}  // namespace

Exchange ExchangeOf(const CollectiveLaunch& launch, int64_t rows) {
  return {.kind = launch.is_gather ? ExchangeKind::kAllGather : ExchangeKind::kAllReduce,
          .algorithm = launch.algorithm,
          .bytes = static_cast<uint64_t>(rows) * launch.row_bytes};
}

Exchange ExchangeOf(const TransferLaunch& launch, int64_t rows) {
  return {.kind = launch.is_send ? ExchangeKind::kSend : ExchangeKind::kRecv,
          .algorithm = plan::CollectiveAlgorithm::none,
          .bytes = static_cast<uint64_t>(rows) * launch.row_bytes};
}

uint64_t ResultBytes(const CollectiveLaunch& launch, int64_t rows, int group_size) {
  const uint64_t bytes = static_cast<uint64_t>(rows) * launch.row_bytes;
  return launch.is_gather ? bytes * static_cast<uint64_t>(group_size) : bytes;
}

Status RunCollective(Communicator& group, const CollectiveLaunch& launch, int64_t rows, const std::byte* x,
                     std::byte* y) {
  const size_t bytes = static_cast<size_t>(rows) * launch.row_bytes;
  if (launch.is_gather) {
    return group.AllGather({x, bytes}, {y, static_cast<size_t>(ResultBytes(launch, rows, group.size()))});
  }
  const size_t count = bytes / sizeof(float);
  return group.AllReduce({reinterpret_cast<const float*>(x), count}, {reinterpret_cast<float*>(y), count},
                         AlgorithmOf(launch.algorithm));
}

Status RunTransfer(Communicator& world, const TransferLaunch& launch, int64_t rows, std::byte* data) {
  const size_t bytes = static_cast<size_t>(rows) * launch.row_bytes;
  return launch.is_send ? world.Send(launch.peer, {data, bytes}) : world.Recv(launch.peer, {data, bytes});
}

}  // namespace mrs
