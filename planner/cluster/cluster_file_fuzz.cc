// Any text as a cluster file: read within the limits or refused on one line; what is read has a canonical text that
// reads back to the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "planner/cluster/cluster_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const mrs::Result<mrs::cluster::Cluster> cluster = mrs::cluster::ParseCluster(text, "fuzz");
  if (!cluster) {
    if (cluster.message().find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const std::string canonical = mrs::cluster::CanonicalText(*cluster);
  const mrs::Result<mrs::cluster::Cluster> again = mrs::cluster::ParseCluster(canonical, "again");
  if (!again || !(*again == *cluster)) std::abort();
  if (mrs::cluster::CanonicalText(*again) != canonical) std::abort();
  return 0;
}
