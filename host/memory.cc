#include "host/memory.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "host/cgroup.h"

namespace mrs {
namespace {

// Of a line of /proc/meminfo, in KiB.
uint64_t KibiBytes(std::string_view text, std::string_view name) {
  const std::optional<std::string_view> line = LineAfter(text, name);
  const std::optional<uint64_t> kib = line ? LeadingNumber(*line) : std::nullopt;
  return kib && *kib != 0 && *kib <= UINT64_MAX / 1024 ? *kib * 1024 : UINT64_MAX;
}

struct Files {
  const char* limit;
  const char* usage;
  const char* inactive;  // in memory.stat
};

// Narrows `memory` to one group. Inactive file pages are given up before anything fails, so they count as free.
void Narrow(const std::string& folder, const Files& files, HostMemory* memory) {
  const std::optional<uint64_t> limit = LeadingNumber(ReadKernelFile(folder + files.limit));
  if (!limit) return;
  const uint64_t usage = LeadingNumber(ReadKernelFile(folder + files.usage)).value_or(0);
  const std::string stat = ReadKernelFile(folder + "/memory.stat");
  const std::optional<std::string_view> line = LineAfter(stat, files.inactive);
  const uint64_t cache = line ? LeadingNumber(*line).value_or(0) : 0;
  const uint64_t held = usage - std::min(usage, cache);
  memory->total_bytes = std::min(memory->total_bytes, *limit);
  memory->free_bytes = std::min(memory->free_bytes, *limit - std::min(*limit, held));
}

}  // namespace

uint64_t MachineMemoryBytes(const std::string& root) {
  return KibiBytes(ReadKernelFile(root + "/proc/meminfo"), "MemTotal:");
}

HostMemory ReadHostMemory(const std::string& root) {
  const std::string meminfo = ReadKernelFile(root + "/proc/meminfo");
  HostMemory memory{.total_bytes = KibiBytes(meminfo, "MemTotal:"), .free_bytes = KibiBytes(meminfo, "MemAvailable:")};
  const CgroupFolders folders = FoldersOf("memory", root);
  for (const std::string& folder : folders.v2) {
    Narrow(folder, {"/memory.max", "/memory.current", "inactive_file "}, &memory);
  }
  for (const std::string& folder : folders.v1) {
    Narrow(folder, {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file "}, &memory);
  }
  return memory;
}

}  // namespace mrs
