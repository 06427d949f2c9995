// How much memory a plan may use where --memory does not say: 90 % of this host's, split over its ranks.
//
//   62 GiB host, container limit 16 GiB, 2 ranks  ->  HostMemoryBytes 17179869184, DefaultMemoryPerRank 7730941132
#pragma once

#include <cstdint>
#include <string>

#include "plans/status.h"

namespace mrs {

// The total of host/memory.h, which the runtime holds a plan against, too. `root` is for tests: where /proc and /sys
// are.
Result<uint64_t> HostMemoryBytes(const std::string& root = "");

// floor(0.9 x host_bytes / rank_count), in integers. rank_count > 0.
uint64_t DefaultMemoryPerRank(uint64_t host_bytes, uint64_t rank_count);

}  // namespace mrs
