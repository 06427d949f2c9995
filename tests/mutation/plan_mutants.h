// What a mutant does to a plan: one wrong meaning each, in a plan that is otherwise as good as any.
//
//   for (const PlanMutant& mutant : Mutants()) {
//     PlanEdit edit(plan, seed);
//     if (mutant.apply(edit)) Write(mutant.name, edit.Seal());   // false: there is nothing here that it could do
//   }
//
// A mutant that gives the same numbers (the operands of an add exchanged) is none and does not belong here.
#pragma once

#include <span>
#include <vector>

#include "tests/mutation/plan_edit.h"

namespace mrs::mutation {

struct PlanMutant {
  const char* name;  // also of its file
  const char* what;  // for people
  bool (*apply)(PlanEdit& edit);
};

std::span<const PlanMutant> ProgramMutants();  // what the steps compute, and of what
std::span<const PlanMutant> LayoutMutants();   // what passes between stages, over which group, and in which cache
std::span<const PlanMutant> BlockMutants();    // the switches of a layer: windows, caps, multipliers, norms, rotations
std::span<const PlanMutant> FusedMutants();    // of GPUs: operations that are one step with others
std::span<const PlanMutant> WeightMutants();   // which bytes of the checkpoint a weight holds
std::span<const PlanMutant> FactMutants();     // attributes and the model's facts

std::vector<PlanMutant> Mutants();  // all of them

}  // namespace mrs::mutation
