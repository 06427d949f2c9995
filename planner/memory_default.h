// How much memory a plan may use where --memory does not say: 90 % of this host's, split over its ranks.
//
//   62 GiB host, container limit 16 GiB, 2 ranks  ->  HostMemoryBytes 17179869184, DefaultMemoryPerRank 7730941132
#pragma once

#include <cstdint>
#include <string>

#include "plans/status.h"

namespace mrs {

// The host's total memory, or the lowest cgroup limit (v1 or v2, own group and all above) where that is lower.
// The arguments are for tests: where /proc and /sys/fs/cgroup are.
Result<uint64_t> HostMemoryBytes(const std::string& proc = "/proc", const std::string& cgroup = "/sys/fs/cgroup");

// floor(0.9 x host_bytes / rank_count), in integers. rank_count > 0.
uint64_t DefaultMemoryPerRank(uint64_t host_bytes, uint64_t rank_count);

}  // namespace mrs
