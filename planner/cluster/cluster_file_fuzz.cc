// Any text as a cluster file: read within the limits or refused on one line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/judge_for_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::cluster;
  const mrs::Result<Cluster> cluster = ParseCluster({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (cluster) {
    ExpectSoundCluster(*cluster);
  } else {
    ExpectOneLine(cluster.message());
  }
  return 0;
}
