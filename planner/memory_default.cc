#include "planner/memory_default.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace mrs {
namespace {

// Kernel files state no size, so they are read up to a bound; "" where there is no such file.
std::string ReadKernelFile(const std::string& path) {
  constexpr std::streamsize kMaxBytes = 64 << 10;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxBytes, '\0');
  file.read(text.data(), kMaxBytes);
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

// The decimal number that the text begins with, spaces aside; "max" and anything else is none.
std::optional<uint64_t> Number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// The rest of the first line that begins with `prefix`.
std::optional<std::string_view> LineAfter(std::string_view text, std::string_view prefix) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.substr(0, prefix.size()) == prefix) return line.substr(prefix.size());
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

// The path of this process in the memory hierarchy: "0::/a/b" for v2, "9:cpu,memory:/a/b" for v1.
std::optional<std::string_view> GroupPath(std::string_view text, bool v1) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const bool match = v1 ? controllers.find(",memory,") != controllers.npos : controllers == ",,";
    if (match) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The lowest limit from the group up to the root. A path with ".." lies outside this namespace: only the root is read.
uint64_t LowestLimit(const std::string& root, std::string_view group, const char* file, uint64_t limit) {
  if (group.find("..") != group.npos) group = "";
  while (true) {
    while (!group.empty() && group.back() == '/') group.remove_suffix(1);
    limit = std::min(limit, Number(ReadKernelFile(fmt::format("{}{}/{}", root, group, file))).value_or(limit));
    if (group.empty()) return limit;
    const size_t slash = group.rfind('/');
    group = group.substr(0, slash == group.npos ? 0 : slash);
  }
}

}  // namespace

Result<uint64_t> HostMemoryBytes(const std::string& proc, const std::string& cgroup) {
  const std::string meminfo = ReadKernelFile(proc + "/meminfo");
  const std::optional<std::string_view> line = LineAfter(meminfo, "MemTotal:");
  const std::optional<uint64_t> kib = line ? Number(*line) : std::nullopt;
  if (!kib || *kib == 0 || *kib > (UINT64_MAX >> 10)) {
    return Refuse("{}/meminfo: no MemTotal to read this host's memory from; give it with --memory BYTES", proc);
  }
  uint64_t bytes = *kib * 1024;
  const std::string groups = ReadKernelFile(proc + "/self/cgroup");
  if (const auto path = GroupPath(groups, false)) bytes = LowestLimit(cgroup, *path, "memory.max", bytes);
  if (const auto path = GroupPath(groups, true)) {
    bytes = LowestLimit(cgroup + "/memory", *path, "memory.limit_in_bytes", bytes);
  }
  return bytes;
}

uint64_t DefaultMemoryPerRank(uint64_t host_bytes, uint64_t rank_count) {
  MRS_CHECK(rank_count > 0);
  // 9/10 without overflow: of the whole tens, then of the rest.
  return (host_bytes / 10 * 9 + host_bytes % 10 * 9 / 10) / rank_count;
}

}  // namespace mrs
