#include "planner/choose_collectives.h"

#include <algorithm>

#include "planner/cluster/catalogue.h"
#include "planner/rules.h"

namespace mrs {
namespace {

std::vector<VisibleDevice> GroupOf(const std::vector<VisibleDevice>& ranks, const Layout& layout, size_t stage) {
  const int64_t tp = layout.mesh.tp;
  const auto first = ranks.begin() + static_cast<std::ptrdiff_t>(layout.stages[stage].device * tp);
  return {first, first + static_cast<std::ptrdiff_t>(tp)};
}

bool PeersByPcie(const cluster::Cluster& cluster, const VisibleDevice& at) {
  const cluster::DeviceModel* const model = cluster::FindDeviceModel(cluster.nodes[at.node].devices[at.device].model);
  return model != nullptr && model->pcie_peers;
}

}  // namespace

Collectives CollectivesFor(const GpusTalk& talk) {
  const bool can_sum = talk.tp <= kMostPeerRanks && (talk.tp == 1 || talk.are_peers);
  if (can_sum && (talk.stages == 1 || talk.next_is_peer)) return Collectives::kIpc;
  // What is staged between stages cuts their graphs; NCCL's is inside of them.
  if (talk.has_nccl) return Collectives::kNccl;
  return can_sum && talk.tp > 1 ? Collectives::kIpcInStages : Collectives::kStaged;
}

bool AreKnownPeers(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                   const std::vector<VisibleDevice>& devices) {
  for (size_t a = 0; a < devices.size(); ++a) {
    for (size_t b = a + 1; b < devices.size(); ++b) {
      // A group may be joined in several ways, of which the worst alone does not tell.
      const Crossing crossing = WorstCrossing(cluster, paths, {devices[a], devices[b]});
      if (crossing == Crossing::kNvlink) continue;
      const bool by_switch = crossing == Crossing::kSwitch || crossing == Crossing::kSwitches;
      if (!by_switch || !PeersByPcie(cluster, devices[a]) || !PeersByPcie(cluster, devices[b])) return false;
    }
  }
  return true;
}

Result<ChosenCollectives> ChooseCollectives(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                                            const std::vector<VisibleDevice>& ranks, const Layout& layout,
                                            const std::string& no_nccl) {
  const int64_t tp = layout.mesh.tp;
  GpusTalk talk = {
      .tp = tp, .stages = layout.mesh.stage, .are_peers = true, .next_is_peer = true, .has_nccl = no_nccl.empty()};
  Crossing worst = Crossing::kNothing;    // of all groups
  Crossing between = Crossing::kNothing;  // of the groups of which it is not known
  Crossing to_next = Crossing::kNothing;  // likewise of stages
  for (size_t s = 0; tp > 1 && s < layout.stages.size(); ++s) {
    const std::vector<VisibleDevice> group = GroupOf(ranks, layout, s);
    const Crossing crossing = WorstCrossing(cluster, paths, group);
    worst = std::max(worst, crossing);
    if (AreKnownPeers(cluster, paths, group)) continue;
    talk.are_peers = false;
    between = std::max(between, crossing);
  }
  for (size_t s = 1; s < layout.stages.size(); ++s) {
    const std::vector<VisibleDevice> before = GroupOf(ranks, layout, s - 1), after = GroupOf(ranks, layout, s);
    for (size_t c = 0; c < before.size(); ++c) {  // rank c hands on to rank c
      const std::vector<VisibleDevice> pair = {before[c], after[c]};
      const Crossing crossing = WorstCrossing(cluster, paths, pair);
      worst = std::max(worst, crossing);
      if (AreKnownPeers(cluster, paths, pair)) continue;
      talk.next_is_peer = false;
      to_next = std::max(to_next, crossing);
    }
  }
  ChosenCollectives chosen = {.collectives = CollectivesFor(talk), .because = ""};
  const bool has_stages = layout.mesh.stage > 1;
  switch (chosen.collectives) {
    case Collectives::kIpc:
      chosen.because = fmt::format("the GPUs reach each other's memory over {}", CrossingText(worst));
      break;
    case Collectives::kIpcInStages:
      chosen.because = fmt::format(
          "the GPUs of a stage reach each other's memory, and {} says that there is no NCCL "
          "for what stages hand on",
          no_nccl);
      break;
    case Collectives::kNccl:
      if (tp > 1 && !talk.are_peers) {
        chosen.because = fmt::format(
            "the GPUs that sum cross {}, over which they are not known to reach each other's "
            "memory",
            CrossingText(between));
      } else if (tp <= kMostPeerRanks && has_stages) {
        chosen.because = fmt::format(
            "stages hand on over {}, over which they are not known to reach each other's "
            "memory",
            CrossingText(to_next));
      } else {
        chosen.because = fmt::format("ipc is of up to {} GPUs that sum", kMostPeerRanks);
      }
      break;
    case Collectives::kStaged:
      if (tp > 1) return BrokenRule<RuleId::kNeedsNccl>("", tp, no_nccl);
      chosen.because = fmt::format("{} says that there is no NCCL", no_nccl);
      break;
  }
  return chosen;
}

}  // namespace mrs
