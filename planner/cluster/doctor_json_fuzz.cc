// Any bytes as a report of the doctor: a cluster that can be written, shown and judged, or a refusal on one line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "planner/cluster/doctor_json.h"
#include "planner/cluster/judge_for_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mrs::cluster;
  const mrs::Result<Cluster> cluster = ParseDoctorJson({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (cluster) {
    ExpectSoundCluster(*cluster);
  } else {
    ExpectOneLine(cluster.message());
  }
  return 0;
}
