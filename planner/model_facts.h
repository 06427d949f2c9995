// Reads a model folder into the facts of a plan: config, headers, tokenizer, and the options checked against them.
#pragma once

#include "planner/build.h"
#include "planner/plan_facts.h"

namespace mrs::planner {

struct ModelFacts {
  PlanFacts facts;
  Checkpoint checkpoint;
  std::vector<std::string> warnings;
};

Result<ModelFacts> ReadModelFacts(const BuildOptions& options);

}  // namespace mrs::planner
