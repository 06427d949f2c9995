// Says a plan of its model what the unsharded graph says? One half of the erasure check (erasure.h): the facts.
//
//   MRS_RETURN_IF_ERROR(CheckSameFacts(module->getAttrDictionary(), plan));
//   // "erasure: fact 'mrs.model.eos' is "2", expected "2, 7""
//
// It reads attributes and the plan's fields by name, and shares nothing with what writes either.
#pragma once

#include "mlir/IR/BuiltinAttributes.h"
#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::planner {

// `facts`: the attributes of the unsharded module. One that is compared with nothing here is refused, so that a new
// fact cannot be forgotten; those of the layout and the host are left out by name. `plan` has passed plans/verify and
// has one rope.
Status CheckSameFacts(mlir::DictionaryAttr facts, const plan::Plan& plan);

}  // namespace mrs::planner
