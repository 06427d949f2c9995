// The host's memory, or the cgroups' around this process where that is less: what a plan is made for and what it is
// loaded into are one number.
//
//   62 GiB host, container limit 16 GiB of which 3 are used  ->  {total 16 GiB, free 13 GiB}
#pragma once

#include <cstdint>
#include <string>

namespace mrs {

struct HostMemory {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // what can be had without swapping: page cache counts as free
};

// `root` is "" but for tests. What cannot be read does not limit: UINT64_MAX.
HostMemory ReadHostMemory(const std::string& root = "");

// The machine's alone, whatever the cgroups say; UINT64_MAX where that cannot be read.
uint64_t MachineMemoryBytes(const std::string& root = "");

}  // namespace mrs
