// Any text: a cluster within the limits, or a message on one line.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "planner/cluster/cluster_file.h"
#include "planner/cluster/limits.h"
#include "planner/cluster/short_form.h"

namespace {

void Judge(const mrs::Result<mrs::cluster::Cluster>& cluster) {
  if (!cluster) {
    if (cluster.message().find('\n') != std::string::npos) std::abort();
    return;
  }
  size_t devices = 0;
  for (const auto& node : cluster->nodes) devices += node.devices.size();
  if (cluster->nodes.size() > mrs::cluster::kMaxNodes || devices > mrs::cluster::kMaxDevices || devices == 0)
    std::abort();
  const std::string text = mrs::cluster::CanonicalText(*cluster);
  if (text.size() > (1 << 16)) return;  // reading it back is for small ones: the fuzzer wants many
  const auto again = mrs::cluster::ParseCluster(text, "again");
  if (!again || !(*again == *cluster)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Judge(mrs::cluster::ParseGpus(text));
  Judge(mrs::cluster::ParseCpus(text));
  return 0;
}
