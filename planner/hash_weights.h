// The one place where mrs-plan reads weights, and only where it is asked to: a digest of every slice that a rank will
// read, so that ranks can tell that they read what the plan was made from.
//
//   DigestsOfWeights(plan, {.model_dir = "/models/8b"})   ->   16 bytes a slice, one string a stage
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

struct HashOptions {
  std::string model_dir;
  plan::DigestKind kind = plan::DigestKind::xxh3_128;
  // Of all that is read; called by one thread at a time, about a thousand times.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress = {};
};

// "xxh3", "sha256".
Result<plan::DigestKind> ParseDigestKind(std::string_view name);

// Digests of each stage, as weight_digests.h orders them, on all cores. The plan is one that VerifyPlan accepts.
// Refuses files that are not the plan's, that are cut short, or that change while they are read.
Result<std::vector<std::string>> DigestsOfWeights(const plan::Plan& plan, const HashOptions& options);

// Refuses a plan with other digests than its files have, by the first tensor and slice, and one that has none.
Status CheckDigestsOfWeights(const plan::Plan& plan, const HashOptions& options);

}  // namespace mrs::planner
