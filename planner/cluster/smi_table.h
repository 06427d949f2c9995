// The words of `nvidia-smi topo -m` in their rows and columns, as they stand there: smi_matrix.h makes a node of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs::cluster {

struct SmiCell {
  std::string word;  // "X", "NV12", "PIX", "PXB", "PHB", "NODE", "SYS"; "": that row is not there
  size_t line = 0, column = 0;
};

struct SmiTable {
  std::string host;                // what each of its lines begins with, "node1"; "": nothing
  std::vector<std::string> names;  // of the columns: GPUs, then nics; a legend's name in place of "NIC0"
  size_t gpu_count = 0;
  std::vector<int> gpu_numbers;             // the 3 of GPU3
  std::vector<std::vector<SmiCell>> cells;  // [row][column]
  std::vector<std::string> cpus, numa;      // of each row: "0-23", "0"; "": not said, or N/A
  bool own_numa = false;                    // a GPU is a NUMA node of its own ("GPU NUMA ID")
};

// All tables of any text, at least one.
Result<std::vector<SmiTable>> ReadSmiTables(std::string_view text, std::string_view where);

bool HasSmiTable(std::string_view text);

}  // namespace mrs::cluster
