// The lines of each host in what tools write that run a command on many: a prefix tells of whom a line is.
//
//   node1: \tGPU0\tGPU1           node1
//   node2: \tGPU0\tGPU1    ->       GPU0 GPU1
//   node1: GPU0\t X \tNV4          GPU0 X NV4
//   ...                          node2 ...
//
// A prefix is up to three words before the names of a table's first line, and the same before its rows: "node1:" (pdsh,
// clush, srun -l), "[pod/gpu-0/main]" (kubectl), "node1  |" (docker compose). Lines of several hosts may be mixed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs::cluster {

struct SmiHostLine {
  std::string_view text;  // behind the prefix
  size_t line = 0, column = 0;
};

struct SmiHost {
  std::string name;  // the prefix without what tools put around it: "node1" of "node1:"
  std::vector<SmiHostLine> lines;
};

// In the order of their first tables; none where no table has a prefix. Refuses lines whose prefixes differ from their
// table's, such as times.
Result<std::vector<SmiHost>> HostsOf(std::string_view text, std::string_view where);

// Whether something stands before a table's first line.
bool HasPrefixedTable(std::string_view text);

}  // namespace mrs::cluster
