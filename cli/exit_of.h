// What a command line that could not be parsed comes to: --help and --version are printed, all else is wrong usage.
//
//   catch (const CLI::ParseError& error) { return ExitOf(app, error); }   // 0, or 1 where help went nowhere, or 2
#pragma once

#include <CLI/CLI.hpp>
#include <sstream>

#include "host/output.h"
#include "host/process.h"

namespace mrs::cli {

inline int ExitOf(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream out, complaint;
  const bool help = app.exit(error, out, complaint) == 0;
  SayText(complaint.str());
  const Status printed = Print(out.str());
  if (!printed.ok()) return Fail(printed.error());
  return help ? 0 : 2;
}

}  // namespace mrs::cli
