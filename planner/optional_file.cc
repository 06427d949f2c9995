#include "planner/optional_file.h"

#include "formats/input_file.h"
#include "formats/model_json.h"

namespace mrs {

bool IsThere(const std::string& folder, const char* name) { return IsNamed(fmt::format("{}/{}", folder, name)); }

Result<std::optional<std::string>> ReadIfThere(const std::string& folder, const char* name, size_t max_bytes) {
  if (!IsThere(folder, name)) return std::optional<std::string>();
  MRS_ASSIGN_OR_RETURN(std::string text, ReadFile(fmt::format("{}/{}", folder, name), max_bytes));
  return std::optional<std::string>(std::move(text));
}

Result<std::optional<Json>> ReadJsonIfThere(const std::string& folder, const char* name) {
  MRS_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadIfThere(folder, name, kModelJsonLimits.max_bytes));
  if (!text) return std::optional<Json>();
  MRS_ASSIGN_OR_RETURN(Json json, ParseModelJson(*text, name, kModelJsonLimits));
  if (!json.is_object()) return Refuse("{}: expected an object, got {}", name, DescribeJson(json));
  return std::optional<Json>(std::move(json));
}

}  // namespace mrs
