// A verified plan as one HTML page for people: drawings of cluster, memory, layers, schedule and weights, each with a
// table that says the same.
//
//   mrs-plan inspect x.mrsplan --html x.html
//
// The page needs nothing but itself: no script, no network (its Content-Security-Policy allows none), system fonts. It
// can be read at any width, printed, and used without a mouse. Every text from the plan is escaped, long ones are cut
// and rows are bounded (markup.h), and the page says where. The same plan gives the same bytes, which are also
// well-formed XML.
#pragma once

#include <string>
#include <string_view>

#include "plans/plan_generated.h"

namespace mrs {

// `plan` must have been verified (reader.h); `name` is OpenedPlan::name().
std::string PlanToHtml(const plan::Plan& plan, std::string_view name);

}  // namespace mrs
