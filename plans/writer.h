// Writes a plan: the same PlanT gives the same bytes everywhere, and what does not verify is never written.
//
//   MRS_ASSIGN_OR_RETURN(const std::string bytes, SerializePlan(plan));
//   MRS_RETURN_IF_ERROR(WritePlanFile("x.mrsplan", bytes));
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

// What a plan must pass before it is written, beside plans/verify, and the certificate it has by that.
struct PlanCheck {
  std::string_view name;                         // "erasure"
  std::string_view statement;                    // what was proved, and no more
  std::function<Status(const plan::Plan&)> run;  // on the finished bytes
};

// The bytes of the whole file: the FlatBuffer with identifier MRSP, then 32 bytes of SHA-256. Sets nothing in the plan
// but its certificates, which are those of plans/verify and of `checks`, each of which has passed on these bytes:
// format_major and format_minor must be contract.h's. Required strings, vectors and tables may be left empty in `plan`,
// tables (model, cluster, numerics, model.sampling) may not be null.
Result<std::string> SerializePlan(plan::PlanT plan, std::span<const PlanCheck> checks = {});

// The same bytes with no check at all: for SerializePlan, and for tests that need a broken plan.
std::string PackPlan(const plan::PlanT& plan);

// Makes the file appear whole or not at all: writes a temporary file beside it, syncs, renames. On failure nothing is
// left behind and an older file stays as it was.
Status WritePlanFile(const std::string& path, std::string_view bytes);

}  // namespace mrs
