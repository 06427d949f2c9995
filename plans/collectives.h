// What carries what GPUs of a plan tell each other.
//
//   CollectivesOf(plan)   ->   Collectives::kNccl, of a plan built with --collectives nccl
//
//   staged  pinned memory of their hosts, and what carries what CPU ranks tell each other; graphs are cut there
//   nccl    NCCL, inside of graphs
//   ipc     each other's memory (CUDA IPC), inside of graphs: sums and gatherings of ranks of one host. What stages hand
//           on is staged
#pragma once

#include <cstdint>
#include <string_view>

namespace mrs {

namespace plan {
struct Plan;
}

enum class Collectives : uint8_t { kStaged, kNccl, kIpc };

constexpr std::string_view CollectivesName(Collectives collectives) {
  switch (collectives) {
    case Collectives::kStaged:
      break;
    case Collectives::kNccl:
      return "nccl";
    case Collectives::kIpc:
      return "ipc";
  }
  return "staged";
}
// "": staged.
constexpr Collectives CollectivesNamed(std::string_view name) {
  if (name == "nccl") return Collectives::kNccl;
  return name == "ipc" ? Collectives::kIpc : Collectives::kStaged;
}

// By its option and by what it counts for them: a plan of before may have no option.
Collectives CollectivesOf(const plan::Plan& plan);

// A rank's buffer of `ipc`, which the others of its group read (kernels/cuda/peer_exchange.h); one a group.
constexpr int64_t kPeerExchangeBytes = int64_t{6} << 20;
constexpr int64_t kMostPeerRanks = 16;  // of a group

}  // namespace mrs
