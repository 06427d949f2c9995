// mrs-plan rules: what a plan must keep to, from the table that the messages come from.
//
//   mrs-plan rules          ->  "tp.heads (error)\n  holds    heads % tp = 0, in every layer\n ..."
//   mrs-plan rules --json   ->  [{"id": "tp.heads", "severity": "error", ...}, ...]
#pragma once

#include "cli/command_line.h"

namespace mrs::cli {

struct RulesCommand {
  bool json = false;

  CLI::App* Register(CommandLine& line);
  int Run();
};

}  // namespace mrs::cli
