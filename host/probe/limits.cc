#include "host/probe/limits.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include "host/cgroup.h"
#include "host/probe/sysfs.h"

namespace mrs::probe {
namespace {

// "Max locked memory         8388608              unlimited            bytes": the first column.
std::optional<uint64_t> SoftLimit(std::string_view limits, std::string_view name) {
  const std::optional<std::string_view> line = LineAfter(limits, name);
  return line ? LeadingNumber(*line) : std::nullopt;
}

void ReadPids(const std::string& root, LimitFacts* facts) {
  const CgroupFolders folders = FoldersOf("pids", root);
  for (const std::vector<std::string>* hierarchy : {&folders.v2, &folders.v1}) {
    for (const std::string& folder : *hierarchy) {
      const std::optional<uint64_t> most = LeadingNumber(ReadKernelFile(folder + "/pids.max"));
      if (!most || (facts->pids_max && *facts->pids_max <= *most)) continue;
      facts->pids_max = most;
      facts->pids_now = LeadingNumber(ReadKernelFile(folder + "/pids.current")).value_or(0);
    }
  }
}

// "always [madvise] never" -> "madvise".
std::string Chosen(const std::string& text) {
  const size_t open = text.find('['), close = text.find(']');
  return open == text.npos || close == text.npos || close < open ? "" : text.substr(open + 1, close - open - 1);
}

void ReadHugePages(const std::string& root, LimitFacts* facts) {
  facts->transparent = Chosen(ReadLine(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  const std::string meminfo = ReadKernelFile(root + "/proc/meminfo");
  const auto number = [&meminfo](std::string_view name) {
    const std::optional<std::string_view> line = LineAfter(meminfo, name);
    return line ? LeadingNumber(*line).value_or(0) : 0;
  };
  const uint64_t kib = number("Hugepagesize:");
  facts->huge_page_bytes = kib <= UINT64_MAX / 1024 ? kib * 1024 : 0;
  facts->huge_pages_total = number("HugePages_Total:");
  facts->huge_pages_free = number("HugePages_Free:");
}

}  // namespace

LimitFacts ReadLimits(const std::string& root) {
  LimitFacts facts;
  const std::string limits = ReadKernelFile(root + "/proc/self/limits");
  facts.known = !limits.empty();
  facts.memlock_bytes = SoftLimit(limits, "Max locked memory");
  facts.open_files = SoftLimit(limits, "Max open files");
  facts.processes = SoftLimit(limits, "Max processes");
  facts.address_space_bytes = SoftLimit(limits, "Max address space");
  facts.core_bytes = SoftLimit(limits, "Max core file size");
  facts.core_pattern = ReadLine(root + "/proc/sys/kernel/core_pattern");
  ReadPids(root, &facts);
  ReadHugePages(root, &facts);
  struct statvfs shm {};
  const std::string path = root + "/dev/shm";
  uint64_t total = 0, free = 0;
  if (statvfs(path.c_str(), &shm) == 0 && !__builtin_mul_overflow(shm.f_blocks, shm.f_frsize, &total) &&
      !__builtin_mul_overflow(shm.f_bavail, shm.f_frsize, &free)) {
    facts.shm_total_bytes = total;
    facts.shm_free_bytes = free;
  }
  return facts;
}

}  // namespace mrs::probe
