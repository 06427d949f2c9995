// Any bytes as a topology of NCCL: a cluster that can be written, shown and judged, or a refusal on one line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "planner/cluster/judge_for_fuzz.h"
#include "planner/cluster/nccl_xml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::cluster;
  const mrs::Result<Cluster> cluster = ParseNcclXml({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (cluster) {
    ExpectSoundCluster(*cluster);
  } else {
    ExpectOneLine(cluster.message());
  }
  return 0;
}
