// The limits around this process that stop a server: what ulimit, the cgroup and the container's mounts say.
//
//   ulimit -l 8192, docker run --pids-limit 100  ->  {memlock_bytes 8 MiB, pids_max 100, shm_total_bytes 64 MiB, ...}
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mrs::probe {

struct LimitFacts {
  bool known = false;  // /proc/self/limits could be read
  // Soft limits; none: unlimited.
  std::optional<uint64_t> memlock_bytes, open_files, processes, address_space_bytes, core_bytes;
  std::optional<uint64_t> pids_max;                         // the lowest of the cgroups around us; none: unlimited
  uint64_t pids_now = 0;                                    // in that cgroup
  std::string core_pattern;                                 // where a crash is written; "": not known
  std::optional<uint64_t> shm_total_bytes, shm_free_bytes;  // of /dev/shm; none: not there
  // Huge pages.
  std::string transparent;        // "always", "madvise", "never"; "": the kernel has none
  uint64_t huge_page_bytes = 0;   // 0: none
  uint64_t huge_pages_total = 0;  // set aside by hugetlbfs: nobody else can use them
  uint64_t huge_pages_free = 0;
};

// `root` is "" but for tests.
LimitFacts ReadLimits(const std::string& root = "");

}  // namespace mrs::probe
