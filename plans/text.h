// A plan as text: for people in full, for people at a glance, and for programs.
//
//   mrs-plan inspect x.mrsplan          PlanToText: stable, one line a step, made to be read and diffed
//   mrs-plan inspect x.mrsplan --json   PlanToJson: every field of plan.fbs by its name
//   mrs-exec --plan x.mrsplan           PlanSummary: model, layout, memory, batch sizes, at start
//
// The plan must have been verified (reader.h); `name` is OpenedPlan::name(), the hex SHA-256.
#pragma once

#include <string>
#include <string_view>

#include "plans/plan_generated.h"

namespace mrs {

std::string PlanToText(const plan::Plan& plan, std::string_view name);

// One JSON object: "sha256", then the plan's fields. Enums are names, byte vectors hex strings, and indices stay
// numbers (a step's "name" is an index into "names").
std::string PlanToJson(const plan::Plan& plan, std::string_view name);

// The members of one of the plan's structs or tables: {"heads":4,"width":64,"eps":1e-05}.
std::string ObjectToJson(const void* object, const flatbuffers::TypeTable& type);

// About a dozen lines.
std::string PlanSummary(const plan::Plan& plan, std::string_view name);

// "1.5 GiB", "640 B": for people; four significant digits at most.
std::string HumanBytes(uint64_t bytes);
// "pair2, canonical sums, weights bf16, revision 1"; of fast numerics what they give up, too
std::string NumericsText(const plan::Numerics& numerics);

// "8.03B", "3.2M", "640".
std::string HumanCount(uint64_t count);

}  // namespace mrs
