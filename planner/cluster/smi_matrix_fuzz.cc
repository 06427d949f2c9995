// Any bytes as a matrix of nvidia-smi: a cluster that can be written, shown and judged, or a refusal on one line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "planner/cluster/judge_for_fuzz.h"
#include "planner/cluster/smi_matrix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::cluster;
  const mrs::Result<Cluster> cluster = ParseSmiMatrix({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (cluster) {
    ExpectSoundCluster(*cluster);
  } else {
    ExpectOneLine(cluster.message());
  }
  return 0;
}
