// The filters of the template language ("x | trim"), by name.
#pragma once

#include <string>
#include <string_view>

#include "plans/status.h"
#include "runtime/text/template_access.h"

namespace mrs::text {

bool IsKnownFilter(std::string_view name);
std::string KnownFilters();  // "abs, capitalize, ..."

// Only for known names.
Result<Value> ApplyFilter(Budget& budget, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace mrs::text
