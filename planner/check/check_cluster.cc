#include "planner/check/check_cluster.h"

#include "formats/json.h"
#include "formats/json_positions.h"
#include "planner/cluster/cluster_file.h"

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

}  // namespace mrs::check
