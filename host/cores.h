// How many threads can run at once: the lower of the cores that this process may use and of its cgroups' CPU time.
//
//   64 cores, of which taskset leaves 8, in a container with --cpus 2.5  ->  2
#pragma once

#include <cstdint>
#include <string>

namespace mrs {

// At least 1. A share of a core counts as none: a thread beyond the quota is stopped in the middle of a step, and all
// wait for it.
uint32_t CoreCount();

// Of the affinity alone; 0 where the kernel does not say.
uint32_t AffinityCount();

// For tests: as if the process's affinity had `affinity` cores, and with other trees of /proc and /sys.
uint32_t CoreCount(uint32_t affinity, const std::string& root);

}  // namespace mrs
