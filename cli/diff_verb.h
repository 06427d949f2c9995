// mrs-plan diff A B: exit code 0 where two plans are the same, 1 where they differ, 2 where one cannot be read.
//
//   mrs-plan diff a.mrsplan a.mrsplan          # says nothing, exit code 0
//   mrs-plan diff a.mrsplan b.mrsplan --all    # every change, one a line, exit code 1
//   mrs-plan diff /dev/null b.mrsplan          # no plan before, as git says it: what B is, exit code 1
#pragma once

#include <string>

#include "cli/command_line.h"

namespace mrs::cli {

struct DiffVerb {
  std::string path_a, path_b;
  bool json = false;
  bool all = false;

  CLI::App* Register(CommandLine& line);
  int Run();

 private:
  int AgainstNothing();
};

}  // namespace mrs::cli
