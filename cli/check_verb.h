// `mrs-plan check PATH...`: model folders, plans, cluster and RING_CONFIG files, and folders of them, judged without a
// GPU.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"

namespace mrs::cli {

struct CheckCommand {
  std::vector<std::string> paths;
  std::string format = "text", fail_on = "warning", model_dir, cluster;
  bool verbose = false;

  CLI::App* Register(CommandLine& line);
  int Run();  // 0: clean, 1: findings, 2: something could not be read
};

}  // namespace mrs::cli
