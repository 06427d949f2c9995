// The unsharded graph, written as terms: what a plan must compute.
//
//   MRS_ASSIGN_OR_RETURN(UnshardedModel model, ReadUnsharded(*graph));
//   model.terms[model.candidates].op   ->   "top_candidates"
//   model.names.at(term)               ->   "l0.silu_mul", the operation that computes it
//
// What an operation of the dialect means is stated here once, by what of it goes into its term (terms.h); one that is
// not stated here is refused, and so is a source of a weight that says more than is known here. The rules of canonical
// chunks and of KV classes are stated here once more, too: nothing is shared with the passes, their rule table or the
// families.
#pragma once

#include <string>
#include <unordered_map>

#include "mlir/IR/BuiltinOps.h"
#include "planner/terms.h"
#include "plans/status.h"

namespace mrs::planner {

// The unsharded graph as terms. Outlives its module; the context must outlive it.
struct UnshardedModel {
  Terms terms;
  TermId candidates = 0;
  TermId all_logits = 0;
  std::unordered_map<TermId, std::string> names;  // of the operation that computes a term
  mlir::DictionaryAttr facts;                     // the module's attributes
};

// Refuses a module that is no unsharded graph: with slices, partial sums or collectives, an operation or a fact that is
// not known here.
Result<UnshardedModel> ReadUnsharded(mlir::ModuleOp module);

}  // namespace mrs::planner
