#include "runtime/host_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>

namespace mrs {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

// The number at the start of `text`; `absent` where there is none ("max", an empty file).
uint64_t Number(std::string_view text, uint64_t absent) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end != text.data() ? value : absent;
}

// The number after `key` at the start of a line.
uint64_t Field(const std::string& text, std::string_view key, uint64_t absent) {
  for (size_t line = 0; line < text.size();) {
    const std::string_view rest = std::string_view(text).substr(line);
    if (rest.substr(0, key.size()) == key) return Number(rest.substr(key.size()), absent);
    const size_t newline = rest.find('\n');
    if (newline == std::string_view::npos) break;
    line += newline + 1;
  }
  return absent;
}

// This process's path below a cgroup hierarchy: "0::/a/b" in version 2, "5:memory:/a/b" in version 1.
std::string CgroupPath(const std::string& cgroups, std::string_view tag) {
  const size_t at = cgroups.find(tag);
  if (at == std::string::npos) return "";
  const size_t begin = at + tag.size();
  std::string path = cgroups.substr(begin, cgroups.find('\n', begin) - begin);
  return path == "/" ? "" : path;
}

// Narrows `memory` to one cgroup. Inactive file pages are given up before anything fails, so they count as free.
void ApplyLimit(const std::string& folder, const char* limit_file, const char* usage_file, const char* inactive,
                HostMemory* memory) {
  const uint64_t limit = Number(ReadFile(folder + limit_file), kUnlimited);
  if (limit >= memory->total_bytes) return;
  const uint64_t usage = Number(ReadFile(folder + usage_file), 0);
  const uint64_t cache = Field(ReadFile(folder + "/memory.stat"), inactive, 0);
  const uint64_t held = usage - std::min(usage, cache);
  memory->total_bytes = limit;
  memory->free_bytes = std::min(memory->free_bytes, limit - std::min(limit, held));
}

std::string MiB(uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace

HostMemory ReadHostMemory(const std::string& root) {
  HostMemory memory{kUnlimited, kUnlimited};
  const std::string meminfo = ReadFile(root + "/proc/meminfo");
  const uint64_t total_kib = Field(meminfo, "MemTotal:", 0);
  const uint64_t free_kib = Field(meminfo, "MemAvailable:", 0);
  if (total_kib != 0) memory.total_bytes = total_kib * 1024;
  if (free_kib != 0) memory.free_bytes = free_kib * 1024;

  const std::string cgroups = ReadFile(root + "/proc/self/cgroup");
  const std::string base = root + "/sys/fs/cgroup";
  // A limit may sit on any folder from ours up to the root (a container sees its own as the root).
  for (std::string path = CgroupPath(cgroups, "0::");; path.resize(path.rfind('/'))) {
    ApplyLimit(base + path, "/memory.max", "/memory.current", "inactive_file ", &memory);
    if (path.find('/') == std::string::npos) break;
  }
  for (std::string path = CgroupPath(cgroups, ":memory:");; path.resize(path.rfind('/'))) {
    ApplyLimit(base + "/memory" + path, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file ",
               &memory);
    if (path.find('/') == std::string::npos) break;
  }
  return memory;
}

Status CheckMemory(const MemoryNeed& need, uint32_t rank_count_here, const HostMemory& host) {
  // Byte counts of a verified plan are below 2^62; double is exact enough for a comparison of totals.
  const uint64_t now = need.weight_bytes + need.activation_bytes;
  if (now > host.free_bytes) {
    return Refuse(
        "rank {} needs {} now ({} weights, {} activations), but only {} of this host's memory are free; free some, or "
        "rebuild the plan with more ranks",
        need.rank, MiB(now), MiB(need.weight_bytes), MiB(need.activation_bytes), MiB(host.free_bytes));
  }
  const double all = static_cast<double>(rank_count_here) * static_cast<double>(now + need.kv_bytes);
  if (all > static_cast<double>(host.total_bytes)) {
    return Refuse(
        "{} rank(s) here need {} each ({} weights, {} activations, up to {} KV), but this host has {} in all; rebuild "
        "the "
        "plan for it with mrs-plan build --memory BYTES",
        rank_count_here, MiB(now + need.kv_bytes), MiB(need.weight_bytes), MiB(need.activation_bytes),
        MiB(need.kv_bytes), MiB(host.total_bytes));
  }
  return Status();
}

}  // namespace mrs
