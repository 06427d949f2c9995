#include "planner/placement.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <utility>

#include "planner/layer_map.h"
#include "planner/legality.h"
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
    while (end < devices.size() && devices[end].node == devices[i].node && devices[end].island == devices[i].island)
      ++end;
    std::vector<VisibleDevice> island(devices.begin() + static_cast<std::ptrdiff_t>(i),
                                      devices.begin() + static_cast<std::ptrdiff_t>(end));
    take(island);
    of_node.insert(of_node.end(), island.begin(), island.end());
    if (end == devices.size() || devices[end].node != devices[i].node) {
      take(of_node);
      over.insert(over.end(), of_node.begin(), of_node.end());
      of_node.clear();
    }
    i = end;
  }
  take(over);
  return grouped;
}

std::vector<int64_t> LegalSizes(const ModelSpec& spec) {
  std::vector<int64_t> legal;
  for (const TpVerdict& verdict : LegalTp(spec)) {
    if (verdict.legal()) legal.push_back(verdict.tp);
  }
  return legal;
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
    const std::vector<int64_t> legal = LegalSizes(spec_);
    if (!wish_.nccl)
      return ByMemory(fmt::format("{}: stages cut by memory, as tensor parallelism needs NCCL", wish_.no_nccl_because));
    if (legal.size() == 1) {
      return ByMemory("stages cut by memory, as the model allows no tensor parallelism");
    }
    if (std::find(legal.begin(), legal.end(), count_) == legal.end()) return Illegal(count_, legal);
    return With(count_, 0, "", fmt::format("tensor parallel over all {} devices", count_));
  }

 private:
  Placement With(int64_t tp, int64_t pp, const std::string& map, const std::string& chosen) const {
    Placement placed;
    placed.ranks = InGroups(devices_, tp);
    placed.flags = {.tp = tp, .pp = pp, .device_layers = map, .max_seqs = wish_.max_seqs};
    placed.flags.device_count = static_cast<int64_t>(placed.ranks.size()) / tp;
    placed.budget.devices = [devices = devices_](int64_t of_tp) {
      std::vector<int64_t> usable;
      for (const VisibleDevice& device : InGroups(devices, of_tp)) usable.push_back(device.usable_bytes);
      return usable;
    };
    placed.budget.cuda = cuda_;
    placed.budget.nccl = wish_.nccl;
    placed.chosen = chosen;
    return placed;
  }

  Result<Placement> AsAsked() const {
    const int64_t tp = wish_.tp.value_or(1);
    if (tp > 1 && !wish_.nccl && cuda_) {
      return BrokenRule<RuleId::kNeedsNccl>("", tp, wish_.no_nccl_because);
    }
    if (!CheckTp(spec_, tp)) return Illegal(tp, LegalSizes(spec_));
    return With(tp, wish_.pp.value_or(0), wish_.device_layers, "");
  }

  bool Plans(int64_t tp, int64_t pp) const {
    const Placement placed = With(tp, pp, "", "");
    const auto verdict = Judge(QuestionOf(placed));
    return verdict && verdict->fits();
  }

  FitQuestion QuestionOf(const Placement& placed) const {
    return {.spec = &spec_,
            .bf16 = wish_.bf16,
            .flags = placed.flags,
            .max_len = wish_.max_len,
            .longest = wish_.max_len,
            .budget = placed.budget,
            .any_world = wish_.any_world};
  }

  // Never stepped down: what would work is said.
  Error Illegal(int64_t tp, const std::vector<int64_t>& legal) const {
    const std::string text = CheckTp(spec_, tp).message();
    std::vector<std::string> ways;
    // Groups that stay where they are joined best.
    const int64_t near = MostNear();
    const int64_t below = *std::prev(std::upper_bound(legal.begin(), legal.end(), std::min(tp, near)));
    if (below > 1 && Plans(below, 0)) ways.push_back(Subset(below));
    const auto layers = static_cast<int64_t>(spec_.layers.size());
    for (auto size = legal.rbegin(); size != legal.rend(); ++size) {
      const int64_t stages = count_ / *size;
      if (*size == 1 || *size > near || stages < 2 || stages > layers || stages * *size != count_) continue;
      if (!Plans(*size, stages)) continue;
      ways.push_back(fmt::format("--tp {} --pp {}", *size, stages));
      break;
    }
    // As many stages as there are devices or layers, else fewer, of which the model still fits.
    for (int64_t stages = std::min(count_, layers); stages > 1; --stages) {
      if (!Plans(1, stages)) continue;
      ways.push_back(fmt::format("--pp {}", stages));
      break;
    }
    if (ways.empty()) return NoneFits(text, legal);
    return Refuse("{}; what works: {}", text, fmt::join(ways, "; or "));
  }

  // Every legal layout of these devices: the one of the fewest ranks that fits, or what the devices must have for that
  // which needs least of each.
  Error NoneFits(const std::string& text, const std::vector<int64_t>& legal) const {
    std::vector<std::pair<int64_t, int64_t>> choices;  // tp, stages
    const auto layers = static_cast<int64_t>(spec_.layers.size());
    for (const int64_t size : legal) {
      if (size > 1 && cuda_ && !wish_.nccl) continue;
      for (int64_t stages = 1; stages <= std::min(count_ / size, layers); ++stages) choices.emplace_back(size, stages);
    }
    std::stable_sort(choices.begin(), choices.end(),
                     [](const auto& a, const auto& b) { return a.first * a.second < b.first * b.second; });
    int64_t least = std::numeric_limits<int64_t>::max();
    std::string of_least;
    for (const auto& [size, stages] : choices) {
      const auto verdict = Judge(QuestionOf(With(size, stages, "", "")));
      if (!verdict) continue;
      const std::string way = stages == 1 ? fmt::format("--tp {}", size) : fmt::format("--tp {} --pp {}", size, stages);
      if (verdict->fits()) return Refuse("{}; what works: {}", text, way);
      int64_t most = 0;
      for (const RankNeed& need : verdict->needs) most = std::max(most, need.Least());
      if (most < least) least = most, of_least = way;
    }
    // 9/10 of so much is what a rank may use (memory_default.h).
    const int64_t device = least > std::numeric_limits<int64_t>::max() / 2 ? least : least + (least + 8) / 9;
    return Refuse(
        "{}; of these devices no layout fits: give more, or larger ones; devices of {} bytes each would, with {}", text,
        device, of_least);
  }

  // Devices of the largest island, or of the largest node where none is joined.
  int64_t MostNear() const {
    std::map<std::pair<int, int>, int64_t> islands;
    std::map<int, int64_t> nodes;
    int64_t island = 1, node = 1;
    for (const VisibleDevice& device : devices_) {
      island = std::max(island, ++islands[{device.node, device.island}]);
      node = std::max(node, ++nodes[device.node]);
    }
    return island > 1 ? island : node;
  }

  // `tp` ranks, and of one node the devices to make visible for them.
  std::string Subset(int64_t tp) const {
    std::vector<int> ordinals, numbers;  // of the node, and as a flag has them under CUDA_VISIBLE_DEVICES
    const std::vector<VisibleDevice> grouped = InGroups(devices_, tp);
    for (int64_t i = 0; i < tp; ++i) {
      ordinals.push_back(cluster_.nodes[grouped[i].node].devices[grouped[i].device].ordinal);
      numbers.push_back(grouped[i].number);
    }
    std::sort(ordinals.begin(), ordinals.end());
    std::sort(numbers.begin(), numbers.end());
    const std::string alone = fmt::format("--tp {}", tp);
    if (cluster_.nodes.size() > 1 || !cuda_) return alone;
    return fmt::format("{}, which is --devices cuda:{} or CUDA_VISIBLE_DEVICES={}", alone, fmt::join(numbers, ","),
                       fmt::join(ordinals, ","));
  }

  // A map that fills the devices to about the same share of what each may use.
  Result<Placement> ByMemory(const std::string& why) const {
    MRS_ASSIGN_OR_RETURN(const Layout whole, DecideLayout({.max_seqs = wish_.max_seqs}, ReadsOfAToken(spec_)));
    std::vector<int64_t> usable;
    for (const VisibleDevice& device : devices_) usable.push_back(device.usable_bytes);
    const NeedsOf of = {whole, wish_.bf16, wish_.max_len, wish_.max_seqs, cuda_, wish_.nccl};
    std::vector<std::string> parts;
    const std::vector<int64_t> lengths = CutByMemory(spec_, of, usable);
    for (size_t device = 0; device < lengths.size(); ++device) {
      if (lengths[device] > 0) parts.push_back(fmt::format("{}:{}", device, lengths[device]));
    }
    const std::string map = fmt::format("{}", fmt::join(parts, ";"));
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

}  // namespace

Result<Placement> Place(const ModelSpec& spec, const cluster::Cluster& cluster,
                        const std::vector<VisibleDevice>& devices, const LayoutWish& wish) {
  return Placer(spec, cluster, devices, wish).Run();
}

std::vector<std::string> PlacementLines(const cluster::Cluster& cluster, const Placement& placement,
                                        const Layout& layout) {
  const auto tp = static_cast<size_t>(layout.mesh.tp);
  const auto group = [&](const LayoutStage& stage) {
    const auto first = placement.ranks.begin() + static_cast<std::ptrdiff_t>(stage.device * layout.mesh.tp);
    return std::vector<VisibleDevice>(first, first + static_cast<std::ptrdiff_t>(tp));
  };
  std::vector<std::string> lines;
  for (size_t s = 0; s < layout.stages.size(); ++s) {
    const std::vector<VisibleDevice> of_stage = group(layout.stages[s]);
    std::string line = fmt::format("stage {}: {}", s, WhereText(cluster, of_stage));
    if (tp > 1) {
      const Crossing worst = WorstCrossing(cluster, of_stage);
      line += fmt::format(", its all-reduces cross {}{}", CrossingText(worst),
                          NeedsPeerAccess(worst) ? " and rely on peer access" : "");
    }
    if (s + 1 < layout.stages.size()) {
      // Rank c sends to rank c of the next stage.
      const std::vector<VisibleDevice> next = group(layout.stages[s + 1]);
      Crossing worst = Crossing::kNothing;
      for (size_t c = 0; c < tp; ++c) worst = std::max(worst, WorstCrossing(cluster, {of_stage[c], next[c]}));
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
