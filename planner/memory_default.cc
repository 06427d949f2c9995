#include "planner/memory_default.h"

#include "host/memory.h"

namespace mrs {

Result<uint64_t> HostMemoryBytes(const std::string& root) {
  const uint64_t bytes = ReadHostMemory(root).total_bytes;
  if (bytes != UINT64_MAX) return bytes;
  return Refuse("{}/proc/meminfo: no MemTotal to read this host's memory from; give it with --memory BYTES", root);
}

uint64_t DefaultMemoryPerRank(uint64_t host_bytes, uint64_t rank_count) {
  MRS_CHECK(rank_count > 0);
  // 9/10 without overflow: of the whole tens, then of the rest.
  return (host_bytes / 10 * 9 + host_bytes % 10 * 9 / 10) / rank_count;
}

}  // namespace mrs
