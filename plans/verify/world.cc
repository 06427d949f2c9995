// Ranks and groups. The ranks are all of tp x ep x stages x dp, each once; a group walks one axis in coordinate order.
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "plans/collectives.h"
#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::Axis;

// Coordinates by Axis.
using Coordinates = std::array<uint32_t, 5>;

Coordinates CoordinatesOf(const plan::Rank& rank) { return {0, rank.tp(), rank.ep(), rank.stage(), rank.dp()}; }

Status CheckRanks(const plan::Plan& plan) {
  const std::span<const plan::Rank> ranks = View(plan.ranks());
  const Coordinates sizes = {1, plan.tp(), plan.ep(), plan.stages()->size(), plan.dp()};
  if (plan.tp() == 0 || plan.tp() > contract::kMaxTp || !IsPowerOfTwo(plan.tp())) {
    return Refuse("tp is {}, expected a power of two up to {}", plan.tp(), contract::kMaxTp);
  }
  uint64_t world = 1;
  for (const uint32_t size : sizes) world = SatMul(world, size);
  if (world != ranks.size()) {
    return Refuse("tp {} x ep {} x stages {} x dp {} make {} ranks, but {} are listed", plan.tp(), plan.ep(),
                  plan.stages()->size(), plan.dp(), world, ranks.size());
  }
  std::vector<uint32_t> owner(ranks.size(), UINT32_MAX);
  // Ranks that reach each other's memory may share a device, for tests: what waits for the others takes turns there.
  const bool may_share = SumsByPeers(CollectivesOf(plan));
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> on_device;
  for (uint32_t i = 0; i < ranks.size(); ++i) {
    if (ranks[i].kind() != ranks[0].kind()) {
      return Refuse("rank {} is of {}, rank 0 of {}, expected one kind for all", i,
                    plan::EnumNameDeviceKind(ranks[i].kind()), plan::EnumNameDeviceKind(ranks[0].kind()));
    }
    if (ranks[i].kind() == plan::DeviceKind::cuda) {
      const auto [at, alone] = on_device.emplace(std::pair(ranks[i].node(), ranks[i].device()), i);
      if (!alone && !may_share) {
        return Refuse("ranks {} and {} are both on cuda:{} of node {}", at->second, i, ranks[i].device(),
                      ranks[i].node());
      }
    }
    const Coordinates at = CoordinatesOf(ranks[i]);
    uint64_t place = 0;
    for (size_t axis = 1; axis < at.size(); ++axis) {
      if (at[axis] >= sizes[axis]) {
        return Refuse("rank {}: its {} coordinate is {}, expected less than {}", i,
                      plan::EnumNameAxis(static_cast<Axis>(axis)), at[axis], sizes[axis]);
      }
      place = place * sizes[axis] + at[axis];
    }
    if (owner[place] != UINT32_MAX) return Refuse("ranks {} and {} have the same coordinates", owner[place], i);
    owner[place] = i;
  }
  return Status();
}

Status CheckGroups(const plan::Plan& plan) {
  const std::span<const plan::Rank> ranks = View(plan.ranks());
  const std::span<const plan::Group> groups = View(plan.groups());
  const Coordinates sizes = {1, plan.tp(), plan.ep(), plan.stages()->size(), plan.dp()};
  std::array<std::vector<bool>, 5> taken;
  for (auto& of_axis : taken) of_axis.resize(ranks.size());
  for (uint32_t g = 0; g < groups.size(); ++g) {
    const plan::Group& group = groups[g];
    const auto axis = static_cast<size_t>(group.axis());
    if (group.axis() == Axis::none) return Refuse("group {}: is of no axis", g);
    if (group.count() != sizes[axis]) {
      return Refuse("group {}: has {} ranks, expected all {} of axis {}", g, group.count(), sizes[axis],
                    plan::EnumNameAxis(group.axis()));
    }
    const uint64_t last = group.first() + uint64_t{group.count() - 1} * group.stride();
    if (group.stride() == 0 || last >= ranks.size()) {
      return Refuse("group {}: ranks {} to {} by {} do not exist, there are {}", g, group.first(), last, group.stride(),
                    ranks.size());
    }
    Coordinates expected = CoordinatesOf(ranks[group.first()]);
    for (uint32_t i = 0; i < group.count(); ++i) {
      const auto rank = static_cast<uint32_t>(group.first() + uint64_t{i} * group.stride());
      expected[axis] = i;
      if (CoordinatesOf(ranks[rank]) != expected) {
        return Refuse("group {}: its member {} is rank {}, which has other coordinates", g, i, rank);
      }
      if (taken[axis][rank]) return Refuse("group {}: rank {} is in another group of its axis", g, rank);
      taken[axis][rank] = true;
    }
  }
  for (uint32_t rank = 0; rank < ranks.size(); ++rank) {
    if (!taken[static_cast<size_t>(Axis::tp)][rank]) return Refuse("rank {} is in no tensor-parallel group", rank);
  }
  return Status();
}

Status CheckStages(const plan::Plan& plan) {
  const std::span<const plan::Group> groups = View(plan.groups());
  uint32_t next_layer = 0;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const plan::Stage& stage = *plan.stages()->Get(s);
    if (stage.layer_begin() != next_layer || stage.layer_end() <= stage.layer_begin()) {
      return Refuse("stage {}: has layers {} to {}, expected to start at {}", s, stage.layer_begin(), stage.layer_end(),
                    next_layer);
    }
    next_layer = stage.layer_end();
    if (stage.tp_group() >= groups.size() || groups[stage.tp_group()].axis() != Axis::tp) {
      return Refuse("stage {}: group {} is no tensor-parallel group", s, stage.tp_group());
    }
    const plan::Rank& first = View(plan.ranks())[groups[stage.tp_group()].first()];
    const plan::Group& group = groups[stage.tp_group()];
    if (plan.dp() == 1 && (group.first() != uint64_t{s} * plan.tp() || group.stride() != 1)) {
      return Refuse("stage {}: its ranks start at {} by {}, expected [{}, {})", s, group.first(), group.stride(),
                    uint64_t{s} * plan.tp(), (uint64_t{s} + 1) * plan.tp());
    }
    if (first.stage() != s || first.dp() != 0) return Refuse("stage {}: group {} is of another", s, stage.tp_group());
  }
  if (next_layer != plan.model()->layer_count()) {
    return Refuse("the stages end at layer {}, the model has {}", next_layer, plan.model()->layer_count());
  }
  return Status();
}

}  // namespace

Status CheckWorld(const plan::Plan& plan) {
  MRS_RETURN_IF_ERROR(CheckRanks(plan));
  MRS_RETURN_IF_ERROR(CheckGroups(plan));
  MRS_RETURN_IF_ERROR(CheckStages(plan));
  const auto& memory = *plan.cluster()->memory_bytes();
  if (memory.size() != 0 && memory.size() != plan.ranks()->size()) {
    return Refuse("cluster.memory_bytes has {} entries, expected one for each of {} ranks, or none", memory.size(),
                  plan.ranks()->size());
  }
  return Status();
}

}  // namespace mrs::verify
