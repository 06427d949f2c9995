// The tests of the template language ("x is defined", "x is divisibleby 3"), by name.
#pragma once

#include <string>
#include <string_view>

#include "formats/text/template_access.h"
#include "plans/status.h"

namespace mrs::text {

bool IsKnownTest(std::string_view name);
std::string KnownTests();  // "boolean, callable, ..."

// Only for known names.
Result<bool> ApplyTest(Budget& budget, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace mrs::text
