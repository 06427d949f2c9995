#include "host/probe/cpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "host/cgroup.h"
#include "host/probe/sysfs.h"

namespace mrs::probe {
namespace {

// "vendor_id\t: GenuineIntel" -> "GenuineIntel".
std::string FieldOf(std::string_view cpuinfo, std::string_view name) {
  const std::optional<std::string_view> rest = LineAfter(cpuinfo, name);
  if (!rest) return "";
  const size_t begin = rest->find_first_not_of(" \t:");
  return begin == rest->npos ? "" : std::string(rest->substr(begin, rest->find_last_not_of(" \t\r") + 1 - begin));
}

// "node12" -> 12 for "node".
std::optional<int> NumberAfter(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::vector<NumaNode> ReadNodes(const std::string& root) {
  std::vector<NumaNode> nodes;
  const std::string folder = root + "/sys/devices/system/node";
  for (const std::string& name : Entries(folder)) {
    const std::optional<int> number = NumberAfter(name, "node");
    if (!number) continue;
    NumaNode node;
    node.node = *number;
    node.cpus = ReadLine(fmt::format("{}/{}/cpulist", folder, name));
    const std::string meminfo = ReadKernelFile(fmt::format("{}/{}/meminfo", folder, name));
    const std::optional<std::string_view> total = LineAfter(meminfo, fmt::format("Node {} MemTotal:", *number));
    const uint64_t kib = total ? LeadingNumber(*total).value_or(0) : 0;
    node.memory_bytes = kib <= UINT64_MAX / 1024 ? kib * 1024 : 0;
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(), [](const NumaNode& a, const NumaNode& b) { return a.node < b.node; });
  return nodes;
}

}  // namespace

uint32_t CountOfList(std::string_view list) {
  uint64_t count = 0;
  while (!list.empty()) {
    const std::string_view range = list.substr(0, list.find(','));
    uint32_t first = 0, last = 0;
    const char* const end = range.data() + range.size();
    auto parsed = std::from_chars(range.data(), end, first);
    if (parsed.ec != std::errc()) return 0;
    last = first;
    if (parsed.ptr != end && *parsed.ptr == '-') parsed = std::from_chars(parsed.ptr + 1, end, last);
    if (parsed.ec != std::errc() || parsed.ptr != end || last < first) return 0;
    count += uint64_t{last} - first + 1;
    if (count > UINT32_MAX) return 0;
    list.remove_prefix(std::min(range.size() + 1, list.size()));
  }
  return static_cast<uint32_t>(count);
}

CpuFacts ReadCpus(const std::string& root) {
  CpuFacts facts;
  const std::string cpuinfo = ReadKernelFile(root + "/proc/cpuinfo");
  facts.vendor = FieldOf(cpuinfo, "vendor_id");
  facts.model = FieldOf(cpuinfo, "model name");
  facts.family = NumberAfter(FieldOf(cpuinfo, "cpu family"), "");
  facts.model_number = NumberAfter(FieldOf(cpuinfo, "model\t"), "");  // not "model name"
  const std::string folder = root + "/sys/devices/system/cpu";
  facts.online = CountOfList(ReadLine(folder + "/online"));
  std::set<std::string> packages;
  for (const std::string& name : Entries(folder)) {
    if (!NumberAfter(name, "cpu")) continue;
    const std::string package = ReadLine(fmt::format("{}/{}/topology/physical_package_id", folder, name));
    if (!package.empty()) packages.insert(package);
  }
  facts.sockets = static_cast<uint32_t>(packages.size());
  facts.nodes = ReadNodes(root);
  return facts;
}

}  // namespace mrs::probe
