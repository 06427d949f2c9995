// What carries what GPUs of a plan tell each other.
//
//   CollectivesOf(plan)   ->   Collectives::kNccl, of a plan built with --collectives nccl
//
//   staged  pinned memory of their hosts, and what carries what CPU ranks tell each other; graphs are cut there
//   nccl    NCCL, inside of graphs
//   ipc     each other's memory (CUDA IPC), inside of graphs, of ranks of one host
//   ipc-in-stages
//           likewise what the ranks of a stage sum and gather; what stages hand on is staged, and cuts graphs, as not
//           all that hand on reach each other's memory. The planner says so where ipc was asked for
#pragma once

#include <cstdint>
#include <string_view>

namespace mrs {

namespace plan {
struct Plan;
}

enum class Collectives : uint8_t { kStaged, kNccl, kIpc, kIpcInStages };

constexpr std::string_view CollectivesName(Collectives collectives) {
  switch (collectives) {
    case Collectives::kStaged:
      break;
    case Collectives::kNccl:
      return "nccl";
    case Collectives::kIpc:
      return "ipc";
    case Collectives::kIpcInStages:
      return "ipc-in-stages";
  }
  return "staged";
}
// "": staged.
constexpr Collectives CollectivesNamed(std::string_view name) {
  if (name == "nccl") return Collectives::kNccl;
  if (name == "ipc-in-stages") return Collectives::kIpcInStages;
  return name == "ipc" ? Collectives::kIpc : Collectives::kStaged;
}

// Whether ranks of a stage sum and gather by each other's memory.
constexpr bool SumsByPeers(Collectives collectives) {
  return collectives == Collectives::kIpc || collectives == Collectives::kIpcInStages;
}
// Whether stages hand on so.
constexpr bool HandsOnByPeers(Collectives collectives) { return collectives == Collectives::kIpc; }

// By its option and by what it counts for them: a plan of before may have no option.
Collectives CollectivesOf(const plan::Plan& plan);

// A rank's buffers of `ipc`: which the others of its group read (kernels/cuda/peer_exchange.h), where a rank of the
// stage before puts what it hands on, and where one of the stage after says that it has taken it (peer_transfer.h).
constexpr int64_t kPeerExchangeBytes = int64_t{6} << 20;
constexpr int64_t kPeerInboxBytes = int64_t{6} << 20;
constexpr int64_t kPeerOutboxBytes = int64_t{2} << 20;
constexpr int64_t kMostPeerRanks = 16;  // of a group

// Of a rank of a group of `tp`, in the first or last of the stages, or both; of ipc or ipc-in-stages.
constexpr int64_t PeerBytes(Collectives collectives, int64_t tp, bool first, bool last) {
  int64_t bytes = tp > 1 ? kPeerExchangeBytes : 0;
  if (HandsOnByPeers(collectives) && !first) bytes += kPeerInboxBytes;
  if (HandsOnByPeers(collectives) && !last) bytes += kPeerOutboxBytes;
  return bytes;
}

}  // namespace mrs
