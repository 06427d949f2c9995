#include "planner/cluster/import_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/json.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/doctor_json.h"
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

// Whether a line begins with `word`, in any letters.
bool HasLine(std::string_view text, std::string_view word) {
  for (size_t at = 0; at < text.size();) {
    const std::string_view line = text.substr(at, word.size());
    if (std::equal(line.begin(), line.end(), word.begin(), word.end(),
                   [](char a, char b) { return (a | 0x20) == (b | 0x20); })) {
      return true;
    }
    const size_t end = text.find('\n', at);
    if (end == text.npos) break;
    at = end + 1;
  }
  return false;
}

// JSON that is no report of the doctor's and no cluster file.
Result<Cluster> ParseJsonCluster(std::string_view text, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const Json json,
                       ParseJson(text, where, {.max_bytes = kMaxDoctorBytes, .max_values = kMaxDoctorValues}));
  const auto has = [&](std::string_view key) { return FindValue(json, key) != nullptr; };
  if (has("nodes")) return ParseCluster(text, where);
  if (has("format")) return ParseDoctorJson(text, where);
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
  if (first.starts_with('<')) return ParseNcclXml(text, where, model);
  if (first.starts_with('{') || first.starts_with("[{")) return ParseJsonCluster(text, where);
  if (HasSmiMatrix(text)) return ParseSmiMatrix(text, where);
  if (HasLine(first, "SwitchName=") || HasLine(first, "NodeName=")) {
    return Refuse(
        "{}: is a file of Slurm's, which says what switch a node hangs from and not how its devices are "
        "joined; {}",
        where, kExpected);
  }
  if (text.find("ROCm System Management Interface") != text.npos) {
    return Refuse("{}: is a table of rocm-smi, which is not read yet; {}", where, kExpected);
  }
  if (HasLine(first, "Machine (") || HasLine(first, "Machine L#")) {
    return Refuse("{}: is a drawing of lstopo (hwloc), which is not read; {}", where, kExpected);
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
