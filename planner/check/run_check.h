// `mrs-plan check` without its command line: finds what there is, judges it, and gives a report for the writers.
//
//   RunCheck({.paths = {"deploy"}, ...})  ->  checked: a model, a plan, a ring of 2 files; diagnostics: ...
#pragma once

#include <string>
#include <vector>

#include "planner/check/check_plan.h"
#include "planner/check/diagnostic.h"

namespace mrs::check {

struct CheckOptions {
  std::vector<std::string> paths;
  PlanContext plans;
};

Report RunCheck(const CheckOptions& options);

// Which ring each file is of: files that were named, together; files met on a walk, by folder; where those of one
// folder whose ranks repeat are told apart by name without its last number ("a_0", "a_1" | "b_0", "b_1"), and folders
// that hold one each ("node-0/ring.json", "node-1/ring.json") belong together. Indexes into `files`.
struct RingSource {
  std::string path;
  std::string folder;  // "": named
  bool has_rank = false;
  uint32_t rank = 0;
};
std::vector<std::vector<size_t>> GroupRings(const std::vector<RingSource>& files);

}  // namespace mrs::check
