// Any bytes: a cluster, which its own text gives back and whose paths can be told, or a refusal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/paths.h"
#include "planner/cluster/smi_matrix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto cluster =
      mrs::cluster::ParseSmiMatrix(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!cluster.ok()) return 0;
  for (const mrs::cluster::Node& node : cluster->nodes) (void)mrs::cluster::PathsOf(node);
  const auto again = mrs::cluster::ParseCluster(mrs::cluster::CanonicalText(*cluster), "canonical");
  if (!again.ok() || *again != *cluster) std::abort();
  return 0;
}
