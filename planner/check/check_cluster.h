// Is a cluster file one?
//
//   c.yaml:4:17: error: nodes[0].devices[0].memory: expected a size such as 80GiB, got "80GX" [cluster.file]
#pragma once

#include <string>
#include <vector>

#include "planner/check/diagnostic.h"
#include "plans/plan_generated.h"

namespace mrs::check {

std::vector<Diagnostic> CheckClusterFile(const std::string& path);

// Is a sound plan for that cluster? Their fingerprints say so. A cluster file that is none is told of by
// CheckClusterFile.
std::vector<Diagnostic> CheckPlanOfCluster(const plan::Plan& plan, const std::string& path,
                                           const std::string& cluster_path);

}  // namespace mrs::check
