#include "planner/cluster/import_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "formats/json.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/doctor_json.h"
#include "planner/cluster/foreign_text.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/nccl_xml.h"
#include "planner/cluster/smi_matrix.h"

namespace mrs::cluster {
namespace {

constexpr std::string_view kExpected =
    "expected NCCL's topology XML, nvidia-smi topo -m, mrs-exec doctor --json or a cluster file";

std::string_view FirstBytes(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

// XML as it stands in an issue or a log, between prompts and fences: blanks in their place, so that lines and columns
// stay.
std::string WithoutText(std::string_view text, size_t begin, size_t end) {
  std::string out(text);
  for (size_t at = 0; at < out.size(); ++at) {
    if ((at < begin || at >= end) && out[at] != '\n') out[at] = ' ';
  }
  return out;
}

// A cluster file by its look: one of its keys begins a line.
bool LooksLikeCluster(std::string_view text) {
  return std::ranges::any_of(std::initializer_list<std::string_view>{"nodes:", "version:"}, [&](std::string_view key) {
    const size_t at = text.find(key);
    return text.starts_with(key) || (at != text.npos && text[at - 1] == '\n');
  });
}

// "[{" with whatever blanks.
bool JsonList(std::string_view first) { return first.starts_with('[') && FirstBytes(first.substr(1)).starts_with('{'); }

// JSON that is no report of the doctor's and no cluster file.
Result<Cluster> ParseJsonCluster(std::string_view text, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const Json json,
                       ParseJson(text, where, {.max_bytes = kMaxDoctorBytes, .max_values = kMaxDoctorValues}));
  const auto has = [&](std::string_view key) { return FindValue(json, key) != nullptr; };
  if (has("nodes")) return ParseCluster(text, where);
  if (has("format")) return ParseDoctorJson(text, where);
  if (const auto foreign = ForeignText(text)) return Refuse("{}: {}", where, *foreign);
  if (has("gpus_per_node") || has("node_betas_list") || has("node_invbws_list")) {
    return Refuse(
        "{}: is a topology of TACCL, which has times and rates of an abstract node and no devices or links; {}", where,
        kExpected);
  }
  if (has("chunkfactor") || has("inplace") || has("protocol") || has("gpus")) {
    return Refuse("{}: is JSON of another program (an algorithm of MSCCL's?); {}", where, kExpected);
  }
  return Refuse("{}: is JSON without 'format' or 'nodes'; {}", where, kExpected);
}

Result<Cluster> Parse(std::string_view text, std::string_view where, const DeviceModel* model) {
  const std::string_view first = FirstBytes(text);
  if (first.empty()) return Refuse("{}: is empty; {}", where, kExpected);
  // A matrix may stand in a web page.
  const bool topology = text.find("<system") != text.npos || text.find("<cpu") != text.npos;
  if (first.starts_with('<') && (topology || !HasSmiMatrix(text))) return ParseNcclXml(text, where, model);
  if (const size_t begin = text.find("<system"); begin != text.npos && text.find("</system>", begin) != text.npos) {
    return ParseNcclXml(WithoutText(text, begin, text.rfind("</system>") + 9), where, model);
  }
  if (first.starts_with('{') || JsonList(first)) return ParseJsonCluster(text, where);
  if (HasSmiMatrix(text)) {
    auto matrix = ParseSmiMatrix(text, where);
    // Others draw their tables alike.
    const auto other = matrix ? std::nullopt : ForeignText(text);
    return other ? Result<Cluster>(Refuse("{}: {}", where, *other)) : std::move(matrix);
  }
  if (LooksLikeCluster(first)) return ParseCluster(text, where);
  if (const auto foreign = ForeignText(text)) return Refuse("{}: {}", where, *foreign);
  if (const size_t at = text.find("GPU0GPU1"); at != text.npos) {
    return Refuse(
        "{}: line {}: looks like what nvidia-smi topo -m prints, but the blanks between its words were lost; copy it "
        "with its tabs: nvidia-smi topo -m > matrix.txt",
        where, 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n'));
  }
  return ParseCluster(text, where);
}

}  // namespace

Result<Cluster> ImportCluster(std::string_view text, std::string_view where, const DeviceModel* model) {
  MRS_ASSIGN_OR_RETURN(Cluster cluster, Parse(text, where, model));
  for (Node& node : cluster.nodes) {
    for (Device& device : node.devices) {
      if (model == nullptr || !device.model.empty() || device.kind == DeviceKind::kCpu) continue;
      device.kind = model->kind;
      device.model = model->name;
      if (device.memory_bytes == 0) device.memory_bytes = model->memory_bytes;
      node.completed.push_back(fmt::format("device {}: model as asked for, memory", device.ordinal));
    }
  }
  return cluster;
}

Result<Cluster> ImportClusterFile(const std::string& path, const DeviceModel* model) {
  MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return ImportCluster(text, path, model);
}

}  // namespace mrs::cluster
