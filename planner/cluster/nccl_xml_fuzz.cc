// Any bytes: a refusal, or a cluster that its own file format reads to an equal one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/nccl_xml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mrs::Result<mrs::cluster::Cluster> cluster = mrs::cluster::ParseNcclXml(text, "fuzz");
  if (!cluster.ok()) return 0;
  const mrs::Result<mrs::cluster::Cluster> again =
      mrs::cluster::ParseCluster(mrs::cluster::CanonicalText(*cluster), "again");
  if (!again.ok() || !(*again == *cluster)) std::abort();
  return 0;
}
