// The processors of this host as the kernel tells of them, and its NUMA nodes.
//
//   {"AuthenticAMD", "AMD EPYC 9654", 2 sockets, 192 online, 96 in our affinity; node 0: "0-95", 384 GiB, ...}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mrs::probe {

struct NumaNode {
  int node = 0;
  std::string cpus;           // as the kernel writes a list: "0-95,192-287"; "": memory alone
  uint64_t memory_bytes = 0;  // 0: not known
};

struct CpuFacts {
  std::string vendor;                                 // "GenuineIntel"; "": not known, as all strings here
  std::string model;                                  // "AMD EPYC 9654 96-Core Processor"
  std::optional<int> family = {}, model_number = {};  // of x86: 6 and 143 of a Sapphire Rapids
  uint32_t sockets = 0;                               // 0: not known
  uint32_t online = 0;                                // logical CPUs that are online; 0: not known
  std::vector<NumaNode> nodes;                        // by number; empty: a kernel without NUMA
};

// `root` is "" but for tests.
CpuFacts ReadCpus(const std::string& root = "");

// How many numbers a list of the kernel has: "0-3,8" has 5. 0 where it is none.
uint32_t CountOfList(std::string_view list);

}  // namespace mrs::probe
