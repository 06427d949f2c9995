#include "planner/model_name.h"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>

namespace mrs {

std::string NameOfFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(folder, error);  // "." has a name, too
  if (error) path = folder;
  path = path.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // what ends in '/'
  // The hub's cache: models--ORG--NAME/snapshots/COMMIT.
  constexpr std::string_view kRepository = "models--";
  const std::string repository = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() == "snapshots" && repository.starts_with(kRepository) &&
      repository.size() > kRepository.size()) {
    const std::string_view name = std::string_view(repository).substr(kRepository.size());
    const size_t dashes = name.find("--");
    return dashes == name.npos ? std::string(name)
                               : fmt::format("{}/{}", name.substr(0, dashes), name.substr(dashes + 2));
  }
  const std::string name = path.filename().string();
  return name.empty() ? "model" : name;
}

}  // namespace mrs
