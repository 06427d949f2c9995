// Is a cluster file one, and is a plan for it?
//
//   c.yaml:4:17: error: nodes[0].devices[0].memory: expected a size such as 80GiB, got "80GX" [cluster.file]
#pragma once

#include <string>
#include <vector>

#include "planner/check/diagnostic.h"
#include "plans/plan_generated.h"

namespace mrs::check {

std::vector<Diagnostic> CheckClusterFile(const std::string& path);

// Of a plan at `path` that is sound; a cluster file that is none is for CheckClusterFile to tell.
std::vector<Diagnostic> CheckPlanOfCluster(const plan::Plan& plan, const std::string& path,
                                           const std::string& cluster_path);

}  // namespace mrs::check
