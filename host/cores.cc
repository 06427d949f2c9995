#include "host/cores.h"

#include <sched.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "host/cgroup.h"

namespace mrs {
namespace {

// Whole cores of so much time in such a period; none where there is no limit.
std::optional<uint64_t> Cores(std::optional<uint64_t> quota, std::optional<uint64_t> period) {
  if (!quota || !period || *period == 0) return std::nullopt;
  return *quota / *period;
}

}  // namespace

uint32_t CoreCount(uint32_t affinity, const std::string& root) {
  uint64_t cores = affinity;
  const CgroupFolders folders = FoldersOf("cpu", root);
  for (const std::string& folder : folders.v2) {  // "250000 100000", or "max 100000"
    const std::string text = ReadKernelFile(folder + "/cpu.max");
    const size_t space = text.find(' ');
    const std::optional<uint64_t> period =
        space == text.npos ? std::nullopt : LeadingNumber(std::string_view(text).substr(space));
    cores = std::min(cores, Cores(LeadingNumber(text), period).value_or(cores));
  }
  for (const std::string& folder : folders.v1) {  // -1: no limit
    const std::optional<uint64_t> quota = LeadingNumber(ReadKernelFile(folder + "/cpu.cfs_quota_us"));
    const std::optional<uint64_t> period = LeadingNumber(ReadKernelFile(folder + "/cpu.cfs_period_us"));
    cores = std::min(cores, Cores(quota, period).value_or(cores));
  }
  return static_cast<uint32_t>(std::max<uint64_t>(cores, 1));
}

// A set of 1024 is too small on some hosts; then the kernel refuses it.
uint32_t AffinityCount() {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {
    cpu_set_t* const set = CPU_ALLOC(static_cast<size_t>(cpus));
    if (set == nullptr) return 0;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return static_cast<uint32_t>(count);
  }
  return 0;
}

uint32_t CoreCount() { return CoreCount(AffinityCount(), ""); }

}  // namespace mrs
