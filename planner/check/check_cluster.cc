#include "planner/check/check_cluster.h"

#include "formats/json.h"
#include "formats/json_positions.h"
#include "planner/cluster/cluster_file.h"
#include "plans/sha256.h"

namespace mrs::check {
namespace {

constexpr size_t kMaxPlacedBytes = size_t{16} << 20;

}  // namespace

std::vector<Diagnostic> CheckClusterFile(const std::string& path) {
  const Result<cluster::Cluster> read = cluster::ReadClusterFile(path);
  if (read) return {};
  const Result<std::string> text = ReadFile(path, kMaxPlacedBytes);
  PlacedMessage split = SplitPlace(read.message(), path, text ? std::string_view(*text) : "");
  return {Finding("cluster.file", {path, split.place, split.place}, std::move(split.message))};
}

std::vector<Diagnostic> CheckPlanOfCluster(const plan::Plan& plan, const std::string& path,
                                           const std::string& cluster_path) {
  const Result<cluster::Cluster> read = cluster::ReadClusterFile(cluster_path);
  if (!read) return {};
  const std::string wanted = cluster::Fingerprint(*read);
  const flatbuffers::Vector<uint8_t>& bytes = *plan.cluster()->fingerprint();
  std::string made_for;
  for (const uint8_t byte : bytes) made_for += fmt::format("{:02x}", byte);
  if (made_for == wanted) return {};
  Diagnostic other = Finding("plan.other-cluster", WholeOf(path),
                             fmt::format("was made for another cluster than {}: its fingerprint is {}, expected {}; "
                                         "rebuild it with mrs-plan build --cluster {}",
                                         cluster_path, made_for, wanted, cluster_path));
  other.notes.push_back({WholeOf(cluster_path), "this cluster"});
  return {std::move(other)};
}

}  // namespace mrs::check
