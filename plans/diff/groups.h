// Which group a fact is of: one table, by the list and the field that it stands in.
//
//   GroupOf("steps", "attr.heads")  ->  kProgram       GroupOf("", "model.sampling.top_p")  ->  kSampling
#pragma once

#include <string_view>

#include "plans/diff/facts.h"

namespace mrs::diff {

FactGroup GroupOf(std::string_view list, std::string_view field);

}  // namespace mrs::diff
