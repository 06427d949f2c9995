#include "planner/placement.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "planner/choose_collectives.h"
#include "planner/layer_map.h"
#include "planner/legality.h"
#include "planner/model_tensors.h"
#include "planner/rules.h"
#include "plans/printable.h"

namespace mrs {
namespace {

// Groups of `tp` devices, each within one island where there are enough, else within one node, else across nodes. What
// an island has over comes after its groups, and forms groups with the rest of the node.
std::vector<VisibleDevice> InGroups(const std::vector<VisibleDevice>& devices, int64_t tp) {
  const auto size = static_cast<size_t>(tp);
  std::vector<VisibleDevice> grouped, over;
  const auto take = [&](std::vector<VisibleDevice>& from) {
    const size_t whole = from.size() / size * size;
    grouped.insert(grouped.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(whole));
    from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(whole));
  };
  std::vector<VisibleDevice> of_node;  // left over by its islands
  for (size_t i = 0; i < devices.size();) {
    size_t end = i;
    while (end < devices.size() && devices[end].island == devices[i].island) ++end;
    std::vector<VisibleDevice> island(devices.begin() + static_cast<std::ptrdiff_t>(i),
                                      devices.begin() + static_cast<std::ptrdiff_t>(end));
    take(island);
    of_node.insert(of_node.end(), island.begin(), island.end());
    if (end == devices.size() || devices[end].node != devices[end - 1].node) {
      take(of_node);
      over.insert(over.end(), of_node.begin(), of_node.end());
      of_node.clear();
    }
    i = end;
  }
  take(over);
  return grouped;
}

class Placer {
 public:
  Placer(const ModelSpec& spec, const cluster::Cluster& cluster, const std::vector<VisibleDevice>& devices,
         const LayoutWish& wish)
      : spec_(spec), cluster_(cluster), devices_(devices), wish_(wish), count_(static_cast<int64_t>(devices.size())) {
    cuda_ = cluster.nodes[devices.front().node].devices[devices.front().device].kind == cluster::DeviceKind::kCuda;
  }

  Result<Placement> Run() {
    if (wish_.tp || wish_.pp || !wish_.device_layers.empty()) return AsAsked();
    if (count_ == 1) return With(1, 0, "", "one device: all of the model is on it");
    if (!MaySum()) {
      return ByMemory(fmt::format("{}: stages cut by memory, as tensor parallelism needs NCCL", wish_.no_nccl));
    }
    if (LegalSizes(spec_).size() == 1) {
      return ByMemory("stages cut by memory, as the model allows no tensor parallelism");
    }
    MRS_RETURN_IF_ERROR(CheckTp(spec_, count_));
    return With(count_, 0, "", fmt::format("tensor parallel over all {} devices", count_));
  }

 private:
  // Whether something carries the sums of all devices together.
  bool MaySum() const {
    if (wish_.no_nccl.empty()) return true;
    if (wish_.collectives) return *wish_.collectives != Collectives::kNccl;
    if (!cuda_ || !CheckTp(spec_, count_).ok()) return false;
    const bool are_peers = AreKnownPeers(cluster_, cluster::DevicePathsOf(cluster_), devices_);
    return CollectivesFor({.tp = count_, .are_peers = are_peers, .has_nccl = false}) == Collectives::kIpc;
  }

  Placement With(int64_t tp, int64_t pp, const std::string& map, const std::string& chosen) const {
    Placement placed;
    placed.ranks = InGroups(devices_, tp);
    placed.flags = {.tp = tp,
                    .pp = pp,
                    .device_layers = map,
                    .max_seqs = wish_.max_seqs,
                    .max_batched_tokens = wish_.max_batched_tokens};
    placed.flags.device_count = static_cast<int64_t>(placed.ranks.size()) / tp;
    placed.budget.devices = [devices = devices_](int64_t of_tp) {
      std::vector<int64_t> usable;
      for (const VisibleDevice& device : InGroups(devices, of_tp)) usable.push_back(device.usable_bytes);
      return usable;
    };
    placed.budget.cuda = cuda_;
    placed.budget.collectives = wish_.collectives.value_or(Collectives::kStaged);
    placed.chosen = chosen;
    return placed;
  }

  Result<Placement> AsAsked() const {
    const int64_t tp = wish_.tp.value_or(1);
    MRS_RETURN_IF_ERROR(CheckTp(spec_, tp));
    return With(tp, wish_.pp.value_or(0), wish_.device_layers, "");
  }

  Result<Placement> ByMemory(const std::string& why) const {
    MRS_ASSIGN_OR_RETURN(const std::string map, MapByMemory(spec_, cluster_, devices_, wish_, 1, cuda_));
    return With(1, 0, map, fmt::format("{}: --device-layers \"{}\"", why, map));
  }

  const ModelSpec& spec_;
  const cluster::Cluster& cluster_;
  const std::vector<VisibleDevice>& devices_;
  const LayoutWish& wish_;
  const int64_t count_;
  bool cuda_ = false;
};

// "devices 0 to 3 of node gpu-0", "devices 0, 2 of node a; device 1 of node b".
std::string WhereText(const cluster::Cluster& cluster, const std::vector<VisibleDevice>& devices) {
  std::map<int, std::vector<int>> by_node;
  for (const VisibleDevice& device : devices) {
    by_node[device.node].push_back(cluster.nodes[device.node].devices[device.device].ordinal);
  }
  std::vector<std::string> parts;
  for (const auto& [node, ordinals] : by_node) {
    bool run = ordinals.size() > 2;
    for (size_t i = 1; i < ordinals.size(); ++i) run = run && ordinals[i] == ordinals[i - 1] + 1;
    const std::string text =
        run ? fmt::format("{} to {}", ordinals.front(), ordinals.back()) : fmt::format("{}", fmt::join(ordinals, ", "));
    parts.push_back(fmt::format("device{} {} of node {}", ordinals.size() == 1 ? "" : "s", text,
                                Printable(cluster.nodes[node].name)));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

bool ReachEachOther(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                    const std::vector<VisibleDevice>& devices) {
  const bool is_one_node =
      std::ranges::all_of(devices, [&](const VisibleDevice& device) { return device.node == devices.front().node; });
  return is_one_node && NeedsPeerAccess(WorstCrossing(cluster, paths, devices));
}

// ", or take --devices cuda:0,1 --tp 2, which do": as many of them as one of `sizes`, which a sum may have; "": no two
// reach each other. From each device on it takes whichever next one reaches all so far, which of the paths that there
// are finds the most.
std::string PeersText(const cluster::Cluster& cluster, const cluster::DevicePaths& paths,
                      const std::vector<VisibleDevice>& visible, const std::vector<int64_t>& sizes) {
  if (cluster.nodes.size() > 1) return ", or take others with --devices";  // which counts on every node
  std::vector<VisibleDevice> most;
  for (size_t first = 0; first < visible.size(); ++first) {
    std::vector<VisibleDevice> peers = {visible[first]};
    for (size_t next = 0; next < visible.size(); ++next) {
      if (next == first) continue;
      peers.push_back(visible[next]);
      if (!ReachEachOther(cluster, paths, peers)) peers.pop_back();
    }
    if (peers.size() > most.size()) most = std::move(peers);
  }
  size_t count = 0;
  for (const int64_t size : sizes) {
    if (std::cmp_less_equal(size, std::min(most.size(), static_cast<size_t>(kMostPeerRanks)))) {
      count = static_cast<size_t>(size);
    }
  }
  if (count < 2) return "";
  std::vector<int> numbers;
  for (size_t i = 0; i < count; ++i) numbers.push_back(most[i].number);
  std::ranges::sort(numbers);
  return fmt::format(", or take --devices cuda:{} --tp {}, which do", fmt::join(numbers, ","), count);
}

bool AreGroupsOfPeers(const cluster::Cluster& cluster, const std::vector<VisibleDevice>& grouped, int64_t tp) {
  if (tp == 1) return true;
  const cluster::DevicePaths paths = cluster::DevicePathsOf(cluster);
  for (size_t first = 0; first < grouped.size(); first += static_cast<size_t>(tp)) {
    const auto begin = grouped.begin() + static_cast<std::ptrdiff_t>(first);
    if (!AreKnownPeers(cluster, paths, {begin, begin + static_cast<std::ptrdiff_t>(tp)})) return false;
  }
  return true;
}

}  // namespace

Result<std::string> MapByMemory(const ModelSpec& spec, const cluster::Cluster& cluster,
                                const std::vector<VisibleDevice>& devices, const LayoutWish& wish, int64_t tp,
                                bool cuda) {
  MRS_ASSIGN_OR_RETURN(
      Layout whole, DecideLayout({.tp = tp, .max_seqs = wish.max_seqs, .max_batched_tokens = wish.max_batched_tokens},
                                 ReadsOfAToken(spec)));
  const std::vector<VisibleDevice> grouped = InGroups(devices, tp);
  std::vector<int64_t> usable;  // of each group: the least of its devices
  for (size_t i = 0; i < grouped.size(); ++i) {
    if (i % static_cast<size_t>(tp) == 0) usable.push_back(grouped[i].usable_bytes);
    usable.back() = std::min(usable.back(), grouped[i].usable_bytes);
  }
  const auto groups = static_cast<int64_t>(usable.size());
  const Collectives collectives =
      wish.collectives ? *wish.collectives
      : cuda && tp * groups > 1
          ? CollectivesFor({.tp = tp,
                            .stages = groups,
                            .are_peers = AreGroupsOfPeers(cluster, grouped, tp),
                            .next_is_peer = AreGroupsOfPeers(cluster, grouped, static_cast<int64_t>(grouped.size())),
                            .has_nccl = wish.no_nccl.empty()})
          : Collectives::kStaged;
  const NeedsOf of = {std::move(whole), wish.bf16, wish.max_len, wish.max_seqs, cuda, collectives};
  std::vector<std::string> parts;
  const std::vector<int64_t> lengths = CutByMemory(spec, of, usable);
  for (size_t device = 0; device < lengths.size(); ++device) {
    if (lengths[device] > 0) parts.push_back(fmt::format("{}:{}", device, lengths[device]));
  }
  return fmt::format("{}", fmt::join(parts, ";"));
}

Result<Placement> Place(const ModelSpec& spec, const cluster::Cluster& cluster,
                        const std::vector<VisibleDevice>& devices, const LayoutWish& wish) {
  return Placer(spec, cluster, devices, wish).Run();
}

Result<Collectives> PeersOf(const cluster::Cluster& cluster, const std::vector<VisibleDevice>& visible,
                            const std::vector<VisibleDevice>& ranks, const Layout& layout,
                            const std::vector<int64_t>& sizes) {
  constexpr std::string_view kInstead = "say --collectives staged, or nccl";
  const int64_t tp = layout.mesh.tp;
  if (tp > kMostPeerRanks) {
    return Refuse("--collectives ipc: of up to {} GPUs that sum, and tp is {}; {}", kMostPeerRanks, tp, kInstead);
  }
  const cluster::DevicePaths paths = cluster::DevicePathsOf(cluster);
  const auto group_of = [&](size_t stage) {
    const auto first = ranks.begin() + static_cast<std::ptrdiff_t>(layout.stages[stage].device * tp);
    return std::vector<VisibleDevice>(first, first + static_cast<std::ptrdiff_t>(tp));
  };
  for (size_t s = 0; s < layout.stages.size() && tp > 1; ++s) {
    const std::vector<VisibleDevice> group = group_of(s);
    if (ReachEachOther(cluster, paths, group)) continue;
    const Crossing worst = WorstCrossing(cluster, paths, group);
    return Refuse(
        "--collectives ipc: the GPUs of stage {} ({}) sum over {}, and reach each other's memory over NVLink or PCIe "
        "switches of one node alone; {}{}",
        s, WhereText(cluster, group), CrossingText(worst), kInstead,
        layout.stages.size() == 1 ? PeersText(cluster, paths, visible, sizes) : "");
  }
  for (size_t s = 1; s < layout.stages.size(); ++s) {
    const std::vector<VisibleDevice> before = group_of(s - 1), after = group_of(s);
    for (size_t c = 0; c < before.size(); ++c) {  // rank c sends to rank c
      const std::vector<VisibleDevice> pair = {before[c], after[c]};
      if (ReachEachOther(cluster, paths, pair)) continue;
      if (tp > 1) return Collectives::kIpcInStages;
      return Refuse(
          "--collectives ipc: the GPUs of stages {} and {} ({}) hand on over {}, and reach each other's memory over "
          "NVLink or PCIe switches of one node alone; {}",
          s - 1, s, WhereText(cluster, pair), CrossingText(WorstCrossing(cluster, paths, pair)), kInstead);
    }
  }
  return Collectives::kIpc;
}

std::vector<std::string> PlacementLines(const cluster::Cluster& cluster, const std::vector<VisibleDevice>& ranks,
                                        const Layout& layout) {
  const auto tp = static_cast<size_t>(layout.mesh.tp);
  const auto group = [&](const LayoutStage& stage) {
    const auto first = ranks.begin() + static_cast<std::ptrdiff_t>(stage.device * layout.mesh.tp);
    return std::vector<VisibleDevice>(first, first + static_cast<std::ptrdiff_t>(tp));
  };
  const cluster::DevicePaths paths = cluster::DevicePathsOf(cluster);
  std::vector<std::string> lines;
  for (size_t s = 0; s < layout.stages.size(); ++s) {
    const std::vector<VisibleDevice> of_stage = group(layout.stages[s]);
    std::string line = fmt::format("stage {}: {}", s, WhereText(cluster, of_stage));
    if (tp > 1) {
      const Crossing worst = WorstCrossing(cluster, paths, of_stage);
      line += fmt::format(", its all-reduces cross {}{}", CrossingText(worst),
                          worst == Crossing::kNvlinkNodes ? " and rely on peer access by IMEX"
                          : NeedsPeerAccess(worst)        ? " and rely on peer access"
                                                          : "");
    }
    if (s + 1 < layout.stages.size()) {
      // Rank c sends to rank c of the next stage.
      const std::vector<VisibleDevice> next = group(layout.stages[s + 1]);
      Crossing worst = Crossing::kNothing;
      for (size_t c = 0; c < tp; ++c) worst = std::max(worst, WorstCrossing(cluster, paths, {of_stage[c], next[c]}));
      line += fmt::format("; to stage {} over {}", s + 1, CrossingText(worst));
    }
    lines.push_back(std::move(line));
  }
  const size_t used = tp * layout.stages.size();
  size_t all = 0;
  for (const cluster::Node& node : cluster.nodes) all += node.devices.size();
  if (used < all) lines.push_back(fmt::format("{} of {} devices are not used", all - used, all));
  return lines;
}

}  // namespace mrs
