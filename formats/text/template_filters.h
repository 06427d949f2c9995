// The filters of the template language ("x | trim"), by name.
#pragma once

#include <string>
#include <string_view>

#include "formats/text/template_access.h"
#include "plans/status.h"

namespace mrs::text {

bool IsKnownFilter(std::string_view name);
std::string KnownFilters();  // "abs, capitalize, ..."

// Only for known names.
Result<Value> ApplyFilter(Budget& budget, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace mrs::text
