// What carries what GPUs tell each other, where nothing says it (--collectives auto): what is quickest of all that the
// cluster is known to allow.
//
//   8 H100 of one NVSwitch, tp 8           ->  ipc: they reach each other's memory over NVLink
//   2 L4, each on a host bridge, tp 2      ->  nccl: that they reach each other's memory is not known
//   the same without NCCL, tp 1 x 2 stages ->  staged
//
// Who says --collectives is not asked here: CheckPeers (placement.h) refuses what cannot be.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/layout.h"
#include "planner/visible_devices.h"
#include "plans/collectives.h"
#include "plans/status.h"

namespace mrs {

// What it depends on.
struct GpusTalk {
  int64_t tp = 1;
  int64_t stages = 1;
  bool are_peers = false;     // the ranks of each group of tp are known to reach each other's memory
  bool next_is_peer = false;  // and each rank that of the next stage's to which it hands on
  bool has_nccl = true;
};

// The whole of the decision. Without NCCL there are no sums by `staged` that nobody asked for: who calls refuses them
// (rule layout.needs-nccl).
Collectives CollectivesFor(const GpusTalk& talk);

// Whether these GPUs are known to reach each other's memory, each with each: of one node, over NVLink, or over PCIe
// switches where their model is known to do so (catalogue.h).
bool AreKnownPeers(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                   const std::vector<VisibleDevice>& devices);

struct ChosenCollectives {
  Collectives collectives = Collectives::kStaged;
  std::string because;  // "the GPUs of a group reach each other's memory over NVLink"
};

// Of a layout over several GPUs. `no_nccl`: what says that there is none, or "". Refuses sums that nothing carries.
Result<ChosenCollectives> ChooseCollectives(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                                            const std::vector<VisibleDevice>& ranks, const Layout& layout,
                                            const std::string& no_nccl);

}  // namespace mrs
