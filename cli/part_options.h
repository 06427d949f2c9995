// mrs-plan inspect --rank R, --layer L, --tensor NAME: one part of a plan instead of all of it.
//
//   PartOptions part;  part.Register(line, *verb);  ...  if (part.any()) return part.Run(plan, json);
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/command_line.h"
#include "plans/reader.h"

namespace mrs::cli {

struct PartOptions {
  std::optional<uint32_t> rank, layer;
  std::string tensor;

  void Register(CommandLine& line, CLI::App& verb);
  bool any() const { return rank || layer || !tensor.empty(); }
  int Run(const OpenedPlan& plan, const std::string& path, bool json) const;
};

}  // namespace mrs::cli
