// The small files of a model folder that need not be there.
//
//   MRS_ASSIGN_OR_RETURN(const std::optional<Json> generation, ReadJsonIfThere(folder, "generation_config.json"));
#pragma once

#include <optional>
#include <string>

#include "formats/json.h"
#include "plans/status.h"

namespace mrs {

// A link to nothing is there, and an error: a download that was cut short must not look like a model without the file.
bool IsThere(const std::string& folder, const char* name);

Result<std::optional<std::string>> ReadIfThere(const std::string& folder, const char* name, size_t max_bytes);

// An object, with Python's numbers, as transformers reads these files.
Result<std::optional<Json>> ReadJsonIfThere(const std::string& folder, const char* name);

inline constexpr JsonLimits kModelJsonLimits = {.python_numbers = true};

}  // namespace mrs
