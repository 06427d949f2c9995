#include "host/cgroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace mrs {
namespace {

std::string_view TakeLine(std::string_view* text) {
  const std::string_view line = text->substr(0, text->find('\n'));
  text->remove_prefix(std::min(line.size() + 1, text->size()));
  return line;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::string_view word = line.substr(0, line.find(' '));
    if (!word.empty()) words.push_back(word);
    line.remove_prefix(std::min(word.size() + 1, line.size()));
  }
  return words;
}

// Is `word` one of a list like "rw,cpu,cpuacct"?
bool Lists(std::string_view list, std::string_view word) {
  return fmt::format(",{},", list).find(fmt::format(",{},", word)) != std::string::npos;
}

// This process's path in a hierarchy: "0::/a/b" for v2, "9:cpu,cpuacct:/a/b" for v1.
std::optional<std::string_view> GroupPath(std::string_view groups, std::string_view controller, bool v1) {
  while (!groups.empty()) {
    const std::string_view line = TakeLine(&groups);
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (v1 ? Lists(controllers, controller) : controllers.empty()) return line.substr(second + 1);
  }
  return std::nullopt;
}

struct Mount {
  std::string point;
  std::string group;  // what of the hierarchy is mounted there: "/" or, in some containers, their own group
};

// "31 23 0:27 /docker/1 /sys/fs/cgroup/cpu ro,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
std::optional<Mount> MountOf(std::string_view mounts, std::string_view controller, bool v1) {
  while (!mounts.empty()) {
    const std::vector<std::string_view> words = Words(TakeLine(&mounts));
    const auto dash = std::ranges::find(words, "-");
    if (words.size() < 5 || words.end() - dash < 4) continue;
    const bool match = v1 ? dash[1] == "cgroup" && Lists(dash[3], controller) : dash[1] == "cgroup2";
    if (match) return Mount{std::string(words[4]), std::string(words[3])};
  }
  return std::nullopt;
}

// From the group up to what is mounted.
std::vector<std::string> Upwards(const std::string& point, std::string_view group) {
  std::vector<std::string> folders;
  if (group.find("..") != group.npos) group = "";
  for (;;) {
    while (!group.empty() && group.back() == '/') group.remove_suffix(1);
    folders.push_back(fmt::format("{}{}", point, group));
    if (group.empty()) return folders;
    const size_t slash = group.rfind('/');
    group = group.substr(0, slash == group.npos ? 0 : slash);
  }
}

}  // namespace

std::string ReadKernelFile(const std::string& path) {
  constexpr std::streamsize kMaxBytes = 64 << 10;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxBytes, '\0');
  file.read(text.data(), kMaxBytes);
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::optional<uint64_t> LeadingNumber(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<std::string_view> LineAfter(std::string_view text, std::string_view prefix) {
  while (!text.empty()) {
    const std::string_view line = TakeLine(&text);
    if (line.substr(0, prefix.size()) == prefix) return line.substr(prefix.size());
  }
  return std::nullopt;
}

CgroupFolders FoldersOf(std::string_view controller, const std::string& root) {
  const std::string groups = ReadKernelFile(root + "/proc/self/cgroup");
  const std::string mounts = ReadKernelFile(root + "/proc/self/mountinfo");
  const auto folders = [&](bool v1, const std::string& usual) {
    const std::optional<std::string_view> group = GroupPath(groups, controller, v1);
    if (!group.has_value()) return std::vector<std::string>();
    const Mount mount = MountOf(mounts, controller, v1).value_or(Mount{usual, "/"});
    std::string_view below = *group;
    if (mount.group != "/" && below.starts_with(mount.group)) below.remove_prefix(mount.group.size());
    return Upwards(root + mount.point, below);
  };
  return {.v2 = folders(false, "/sys/fs/cgroup"), .v1 = folders(true, fmt::format("/sys/fs/cgroup/{}", controller))};
}

}  // namespace mrs
