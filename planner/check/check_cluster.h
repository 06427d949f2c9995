// Is a cluster file one?
//
//   c.yaml:4:17: error: nodes[0].devices[0].memory: expected a size such as 80GiB, got "80GX" [cluster.file]
#pragma once

#include <string>
#include <vector>

#include "planner/check/diagnostic.h"

namespace mrs::check {

std::vector<Diagnostic> CheckClusterFile(const std::string& path);

}  // namespace mrs::check
