// `mrs-plan export --for lws|slurm|systemd|mistralrs PLAN -o DIR`: files that start a plan on its nodes.
#pragma once

#include <string>

#include "cli/command_line.h"
#include "planner/export/export.h"

namespace mrs::cli {

struct ExportVerb {
  std::string plan, target, out;
  deploy::ExportOptions options;
  bool no_rehearsal = false;

  CLI::App* Register(CommandLine& line);
  int Run();
};

}  // namespace mrs::cli
