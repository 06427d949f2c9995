// Does the plan compute the model? A replay of the plan's bytes with the layout erased, held against the unsharded
// graph.
//
//   MRS_ASSIGN_OR_RETURN(UnshardedModel model, ReadUnsharded(*graph));
//   MRS_RETURN_IF_ERROR(CheckErasure(model, plan));
//   // "erasure: stage 0 step 14 'l0.silu_mul': reads 'l0.up_proj', expected 'l0.gate_proj' as 'l0.silu_mul' does"
//
// Both programs are written as terms (terms.h): the plan stage by stage and step by step, its collectives left out,
// what is received the term that was sent, what is fused taken apart, each weight named by tensor, file, offset, rows,
// shape, type and canonical chunks, each cache by its class's window and its place among the caches, every attribute in
// its term. The plan is the model's where the terms of both outputs are the graph's (graph_terms.h), and so are all
// facts; one whose sums over ranks are not canonical is no model's. Nothing here is shared with the passes, their rule
// table or the emitter; what a step means is stated here once more. Which operand is which, verifier and backends read
// alike (plans/step_view.h): a step that they mistake, all mistake.
//
// What erasure leaves open, plans/verify judges on the same bytes: that a rank's slices are its own (start 0, a step of
// one size, so that the local width alone says which part of a value a rank holds), that only an all-reduce reads a
// partial sum, and that names (buffers) are memory. Not judged by either: that the graph is the model (golden tests
// against transformers) and that a kernel computes its contract (kernel tests).
#pragma once

#include <string_view>

#include "planner/graph_terms.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

// The certificate that a plan has by passing CheckErasure.
inline constexpr std::string_view kErasureName = "erasure";
inline constexpr std::string_view kErasureStatement =
    "with the layout erased, both outputs and all facts are those of the unsharded graph, term by term; not proved: "
    "that the graph is the model, that a kernel computes its contract";

// `plan` must have passed plans/verify. Adds the plan's terms to the model's; linear in the plan. Errors begin with
// "erasure: " and name the step and what differs.
Status CheckErasure(UnshardedModel& model, const plan::Plan& plan);

}  // namespace mrs::planner
