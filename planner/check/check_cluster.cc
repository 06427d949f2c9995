#include "planner/check/check_cluster.h"

#include "formats/json.h"
#include "formats/json_positions.h"
#include "planner/cluster/cluster_file.h"
#include "planner/cluster/findings.h"

namespace mrs::check {
namespace {

constexpr size_t kMaxPlacedBytes = size_t{16} << 20;

std::string MessageOf(const cluster::Finding& finding) {
  const std::string cost =
      finding.cost_gigabytes > 0 ? fmt::format(" (costs {:.4g} GB/s)", finding.cost_gigabytes) : "";
  return fmt::format("{}: {}{}; {}", finding.place, finding.what, cost, finding.mend);
}

}  // namespace

std::vector<Diagnostic> CheckClusterFile(const std::string& path) {
  const Result<cluster::Cluster> read = cluster::ReadClusterFile(path);
  if (read) {
    std::vector<Diagnostic> found;
    for (const cluster::Finding& finding : cluster::FindingsOf(*read)) {
      found.push_back(Finding(finding.id, WholeOf(path), MessageOf(finding)));
    }
    return found;
  }
  const Result<std::string> text = ReadFile(path, kMaxPlacedBytes);
  PlacedMessage split = SplitPlace(read.message(), path, text ? std::string_view(*text) : "");
  const std::string_view id = split.message.starts_with("cannot be opened") ? "check.unreadable" : "cluster.file";
  return {Finding(id, {path, split.place, split.place}, std::move(split.message))};
}

std::vector<Diagnostic> CheckPlanOfCluster(const plan::Plan& plan, const std::string& path,
                                           const std::string& cluster_path) {
  const Result<cluster::Cluster> read = cluster::ReadClusterFile(cluster_path);
  if (!read) return {};
  const std::string wanted = cluster::Fingerprint(*read);
  std::string made_for;
  for (const uint8_t byte : *plan.cluster()->fingerprint()) made_for += fmt::format("{:02x}", byte);
  if (made_for == wanted) return {};
  Diagnostic other = Finding(
      "plan.other-cluster", WholeOf(path),
      fmt::format("was made for another cluster: its fingerprint is {}, that of {} {}; rebuild it with mrs-plan build "
                  "--cluster",
                  made_for, cluster_path, wanted));
  other.notes.push_back({WholeOf(cluster_path), "this cluster"});
  return {std::move(other)};
}

}  // namespace mrs::check
