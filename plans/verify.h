// Proves that a plan can be run: every number the runtime indexes, allocates, loops or divides by is checked here,
// once.
//
//   MRS_RETURN_IF_ERROR(VerifyPlan(plan));   // "stage 0 step 42 'l3.o_proj': ..."
//
// What it proves: bounds of every index, offset and count; that values are defined before use and never overwritten
// while someone may still read them, in every bucket and variant, whatever overlap the dependencies allow; that shapes
// and types fit the kernels; that every weight is filled exactly once and every checkpoint byte of a used tensor is
// read by some rank; that each rank's part of a value is its own and no partial sum is read but by an all-reduce; that
// all ranks of a group issue the same collectives in the same order; that it all fits in memory. That the program
// computes the model is the erasure checker's proof (planner/erasure.h), not this one's.
#pragma once

#include <string_view>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

// The certificate that a plan has by passing VerifyPlan.
inline constexpr std::string_view kVerifyName = "plans/verify";
inline constexpr std::string_view kVerifyStatement =
    "every index, shape, address and wait holds on every rank; no two live values share a byte; the ranks' parts of a "
    "value are its parts in rank order, and only an all-reduce reads a partial sum; all ranks issue the same "
    "collectives; it fits in memory";

// `plan` must have passed the structural verifier (OpenPlan and SerializePlan see to it). Work is bounded, whatever the
// plan says. Errors name the stage, the step's number and name, and the numbers; they do not name the file.
Status VerifyPlan(const plan::Plan& plan);

}  // namespace mrs
