// Where the nodes of a plan listen: the head is met at the cluster port, and rank r at the r-th port behind it,
// whichever node it is on.
//
//   29500, a plan of 4 ranks   ->   the head: 29500; ranks 0 to 3: 29501 to 29504, which a firewall lets through
#pragma once

#include <cstdint>

#include "plans/status.h"

namespace mrs {

inline constexpr uint16_t kClusterPort = 29500;  // unless somebody says another

constexpr uint32_t RankPort(uint16_t cluster_port, uint32_t rank) { return uint32_t{cluster_port} + 1 + rank; }

// Every rank of the plan has a port.
inline Status CheckClusterPort(uint16_t cluster_port, uint32_t rank_count) {
  constexpr uint32_t kLast = 65535;
  const uint32_t last = RankPort(cluster_port, rank_count) - 1;
  if (last <= kLast) return Status();
  if (rank_count >= kLast)
    return Refuse("a plan of {} ranks: each listens at a port, and there are {}", rank_count, kLast);
  return Refuse("--cluster-port {}: rank {} would listen on {}, and ports end at {}; take one of at most {}",
                cluster_port, rank_count - 1, last, kLast, kLast - rank_count);
}

}  // namespace mrs
