#include "cli/nccl_settings.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string_view>

#include "formats/input_file.h"

namespace mrs::cli {
namespace {

constexpr uint64_t kMostBytes = uint64_t{64} << 10;  // of a file
constexpr std::string_view kPrefix = "NCCL_";

bool IsSet(const NcclSettings& settings, std::string_view name) {
  return std::any_of(settings.settings.begin(), settings.settings.end(),
                     [&](const NcclSetting& one) { return one.name == name; });
}

// Of what is not among `set`, the first of each name.
void Add(std::string_view text, const std::string& from, std::set<std::string> set, NcclSettings* to) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    line = line.substr(0, line.find('\0'));  // as C has it
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || !line.starts_with(kPrefix)) continue;
    const std::string name(line.substr(0, equals));
    if (set.insert(name).second) to->settings.push_back({name, std::string(line.substr(equals + 1)), from});
  }
}

// `must`: somebody has named it.
void AddFile(const NcclFile& file, bool must, const std::set<std::string>& set, NcclSettings* to) {
  if (!must && !IsNamed(file.path)) return;
  const auto text = [&]() -> Result<std::string> {
    MRS_ASSIGN_OR_RETURN(const InputFile opened, InputFile::Open(file.path));
    std::string start(std::min(opened.bytes(), kMostBytes), '\0');
    MRS_RETURN_IF_ERROR(opened.ReadAt(0, start.data(), start.size()));
    if (opened.bytes() > kMostBytes) {
      to->unread.push_back(fmt::format("{}: what is past its first {} bytes", file.path, kMostBytes));
      start.resize(start.rfind('\n') == std::string::npos ? 0 : start.rfind('\n'));
    }
    return start;
  }();
  if (!text.ok()) {
    to->unread.push_back(text.message());
    return;
  }
  Add(*text, file.when.empty() ? file.path : fmt::format("{}, {}", file.path, file.when), set, to);
}

std::set<std::string> NamesOf(const NcclSettings& settings) {
  std::set<std::string> names;
  for (const NcclSetting& one : settings.settings) names.insert(one.name);
  return names;
}

std::string HomeOfUser() {
  char text[16384];
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(getuid(), &entry, text, sizeof(text), &found) != 0 || found == nullptr) return "";
  return found->pw_dir;
}

}  // namespace

NcclFiles FindNcclFiles() {
  const char* const variable = std::getenv("HOME");
  const std::string of_variable = variable == nullptr ? "" : variable, of_user = HomeOfUser();
  NcclFiles files;
  if (of_variable == of_user) {
    if (!of_user.empty()) files.of_home.push_back({of_user + "/.nccl.conf", ""});
    return files;
  }
  if (!of_variable.empty()) files.of_home.push_back({of_variable + "/.nccl.conf", "from NCCL 2.30 on"});
  if (!of_user.empty()) files.of_home.push_back({of_user + "/.nccl.conf", "before NCCL 2.30"});
  return files;
}

NcclSettings ReadNcclSettings(const char* const* environment, const NcclFiles& files) {
  NcclSettings found;
  std::string named;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const size_t equals = entry.find('=');
    if (!entry.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string name(entry.substr(0, equals)), value(entry.substr(equals + 1));
    if (IsSet(found, name)) continue;
    found.settings.push_back({name, value, ""});
    if (name == "NCCL_CONF_FILE") named = value;
  }
  std::set<std::string> set = NamesOf(found);
  if (!named.empty()) {
    AddFile({named, ""}, /*must=*/true, set, &found);
  } else {
    for (const NcclFile& file : files.of_home) AddFile(file, /*must=*/false, set, &found);
  }
  // What only one version has read leaves the host's to the other.
  if (!named.empty() || files.of_home.size() == 1) set = NamesOf(found);
  AddFile({files.of_host, ""}, /*must=*/false, set, &found);
  std::stable_sort(found.settings.begin(), found.settings.end(),
                   [](const NcclSetting& a, const NcclSetting& b) { return a.name < b.name; });
  return found;
}

const NcclSetting* BlockingSetting(const NcclSettings& settings) {
  for (const NcclSetting& one : settings.settings) {
    if (one.name == "NCCL_COMM_BLOCKING" && std::strtoll(one.value.c_str(), nullptr, 0) == 1) return &one;
  }
  return nullptr;
}

}  // namespace mrs::cli
