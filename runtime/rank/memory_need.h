// Does what the plan needs fit into this host now? Asked before anything large is touched.
//
//   MRS_RETURN_IF_ERROR(CheckMemory(need, ReadHostMemory()));
//   // "rank 1 needs 412 MiB now (400 weights, 12 activations), but only 300 MiB of this host's memory are free ..."
#pragma once

#include <cstdint>
#include <string>

#include "host/memory.h"
#include "plans/status.h"

namespace mrs {

// What one rank puts into memory. KV is touched lazily, so it counts against the total, not against what is free.
struct MemoryNeed {
  uint32_t rank = 0;
  uint64_t weight_bytes = 0;
  uint64_t activation_bytes = 0;
  uint64_t kv_bytes = 0;
};

// `rank_count_here` ranks with the same need share the host's total; what is free is compared with this rank alone,
// since its neighbours are loading at the same time.
Status CheckMemory(const MemoryNeed& need, uint32_t rank_count_here, const HostMemory& host);

}  // namespace mrs
