// The tests of the template language ("x is defined", "x is divisibleby 3"), by name.
#pragma once

#include <string>
#include <string_view>

#include "plans/status.h"
#include "runtime/text/template_access.h"

namespace mrs::text {

bool IsKnownTest(std::string_view name);
std::string KnownTests();  // "boolean, callable, ..."

// Only for known names.
Result<bool> ApplyTest(Budget& budget, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace mrs::text
