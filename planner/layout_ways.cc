#include "planner/layout_ways.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

#include "planner/legality.h"
#include "planner/model_tensors.h"
#include "plans/contract.h"

namespace mrs {
namespace {

constexpr int64_t kMaxStages = 4096;  // --pp

bool IsPowerOfTwo(int64_t number) { return std::has_single_bit(static_cast<uint64_t>(number)); }

// 1 to 64, and then in ever wider steps.
std::vector<int64_t> SomeUpTo(int64_t most) {
  std::vector<int64_t> some;
  for (int64_t n = 1; n <= most; n += 1 + n / 64) some.push_back(n);
  return some;
}

// With flags that say this layout, and none that says another.
Wish With(Wish base, int64_t tp, int64_t stages) {
  const bool was_said = base.tp.has_value();
  base.device_layers.clear();
  base.tp.reset();
  if (tp > 1 || (stages == 1 && (was_said || !base.pp))) base.tp = tp;
  if (stages > 1) {
    base.pp = stages;
  } else if (base.tp) {
    base.pp.reset();
  } else {
    base.pp = 1;
  }
  return base;
}

std::string Named(const std::vector<VisibleDevice>& devices, size_t count, bool cuda) {
  std::vector<int> numbers;
  for (size_t i = 0; i < count; ++i) numbers.push_back(devices[i].number);
  std::sort(numbers.begin(), numbers.end());
  return fmt::format("{}{}", cuda ? "cuda:" : "", fmt::join(numbers, ","));
}

// Devices of the largest island, or of the largest node where none is joined.
int64_t MostNear(const std::vector<VisibleDevice>& devices) {
  std::map<int, int64_t> islands;
  std::map<int, int64_t> nodes;
  int64_t island = 1, node = 1;
  for (const VisibleDevice& device : devices) {
    island = std::max(island, ++islands[device.island]);
    node = std::max(node, ++nodes[device.node]);
  }
  return island > 1 ? island : node;
}

}  // namespace

LayoutWays::LayoutWays(const Decider& decider, const Wish& wish, bool memory)
    : decider_(decider),
      spec_(*decider.subject().spec),
      memory_(memory),
      legal_(LegalSizes(spec_)),
      layers_(static_cast<int64_t>(spec_.layers.size())) {
  const bool said = wish.tp || wish.pp || !wish.device_layers.empty();
  tp_said_ = wish.tp.has_value();
  if (wish.tp) tp_ = *wish.tp;
  if (const auto devices = decider.Devices(wish); !said && devices && *devices) {
    tp_ = static_cast<int64_t>((*devices)->size());
  }
  if (!wish.device_layers.empty()) stages_ += std::ranges::count(wish.device_layers, ';');
  if (wish.pp) stages_ = *wish.pp;
}

LayoutWays::Ground LayoutWays::GroundOf(const Wish& base) const {
  const Wish by_flags = With(base, 1, 1);
  Ground ground;
  auto devices = decider_.Devices(by_flags);
  if (!devices) {
    ground.count = 0;
    return ground;
  }
  if (!*devices) return ground;
  ground.devices = **std::move(devices);
  ground.count = static_cast<int64_t>(ground.devices.size());
  ground.near = MostNear(ground.devices);
  const VisibleDevice& first = ground.devices.front();
  const cluster::Cluster& cluster = *decider_.ClusterOf(by_flags);
  ground.cuda = cluster.nodes[first.node].devices[first.device].kind == cluster::DeviceKind::kCuda;
  for (const VisibleDevice& device : ground.devices) ground.alike &= device.usable_bytes == first.usable_bytes;
  ground.named = cluster.nodes.size() == 1 && decider_.subject().takes_devices;
  return ground;
}

// All devices together cannot hold the parameters, however they are cut: nothing needs to be judged.
bool LayoutWays::Hopeless(const Wish& base) const {
  const Ground ground = GroundOf(base);
  double most = 0;
  for (const VisibleDevice& device : ground.devices) most += static_cast<double>(device.usable_bytes);
  if (!ground.count) {
    if (!base.memory) return false;
    most = static_cast<double>(*base.memory) * static_cast<double>(std::min(layers_, kMaxStages) * legal_.back());
  }
  const bool bf16 = base.dtype == "bf16" || (base.dtype == "auto" && decider_.subject().bf16);
  return static_cast<double>(CountParameters(spec_)) * (bf16 ? 2 : 4) > most;
}

std::optional<Wish> LayoutWays::If(Wish wish) const {
  if (!decider_.Plans(wish)) return std::nullopt;
  return wish;
}

int64_t LayoutWays::MostStages(const Ground& ground, int64_t tp) const {
  const int64_t most = std::min(layers_, kMaxStages);
  return ground.count ? std::min(most, *ground.count / tp) : most;
}

// The fewest stages above so many. On devices alike more stages take no more of each, but that a stage between others
// has two neighbours, which from three on some have; so where most do not fit, none does.
std::optional<Wish> LayoutWays::LeastStages(const Wish& base, const Ground& ground, int64_t tp, int64_t above) const {
  const int64_t most = MostStages(ground, tp);
  const bool doubled = tp > 1 && !base.any_world;
  int64_t stages = above + 1;
  for (; stages <= std::min<int64_t>(most, 2); ++stages) {
    if (auto way = If(With(base, tp, stages))) return way;
  }
  if (stages > most) return std::nullopt;
  const bool rising = !decider_.subject().SharesHost(base) && ground.alike;
  if (doubled || !rising) {
    for (const int64_t some : SomeUpTo(most)) {
      if (some < stages || (doubled && !IsPowerOfTwo(some))) continue;
      if (auto way = If(With(base, tp, some))) return way;
    }
    if (!doubled) return std::nullopt;
    for (int64_t some = 64; some <= most; some *= 2) {
      if (some < stages) continue;
      if (auto way = If(With(base, tp, some))) return way;
    }
    return std::nullopt;
  }
  if (auto way = If(With(base, tp, stages))) return way;
  if (!decider_.Plans(With(base, tp, most))) return std::nullopt;
  const int64_t fewer = LargestGood(stages, most, [&](int64_t some) { return !decider_.Plans(With(base, tp, some)); });
  return With(base, tp, fewer + 1);
}

// --pp and --device-layers both say how many stages there are.
std::optional<Wish> LayoutWays::OneOfTwo(const Wish& base) const {
  if (!base.pp || base.device_layers.empty()) return std::nullopt;
  Wish map = base, stages = base;
  map.pp.reset();
  stages.device_layers.clear();
  if (auto way = If(std::move(map))) return way;
  return If(std::move(stages));
}

std::optional<Wish> LayoutWays::AnyWorld(const Wish& base) const {
  if (base.any_world) return std::nullopt;
  Wish any = base;
  any.any_world = true;
  return If(std::move(any));
}

// The stages stay. What does not fit needs a larger size first; another refusal the nearest smaller one, whose groups
// are of devices that are joined best.
std::optional<Wish> LayoutWays::OtherTp(const Wish& base) const {
  const Ground ground = GroundOf(base);
  std::vector<int64_t> below, above;
  for (const int64_t size : legal_) {
    if (ground.count && size > *ground.count) continue;
    if (size < tp_ && size <= ground.near) below.insert(below.begin(), size);
    if (size > tp_) above.push_back(size);
  }
  const int64_t largest_below = below.empty() ? 0 : below.front();
  std::vector<int64_t> sizes = memory_ ? above : below;
  const std::vector<int64_t>& others = memory_ ? below : above;
  sizes.insert(sizes.end(), others.begin(), others.end());
  for (const int64_t size : sizes) {
    if (size == 1 && largest_below > 1) continue;  // stages are nearer
    Wish other = base;
    other.tp = size;
    if (size == 1 && (base.pp || !base.device_layers.empty())) other.tp.reset();
    const auto decision = decider_.Decide(other);
    if (!decider_.Plans(other)) continue;
    if (!decision || tp_said_ || !ground.named || !ground.cuda || size >= *ground.count) return other;
    // Which of the devices they are.
    Wish subset = other;
    subset.devices = Named(decision->devices, static_cast<size_t>(size), ground.cuda);
    return decider_.Plans(subset) ? subset : other;
  }
  return std::nullopt;
}

// NCCL's buffers take memory of each device, what is staged the host's.
std::optional<Wish> LayoutWays::WithoutNccl(const Wish& base) const {
  if (!base.no_nccl.empty() || base.collectives == "staged" || base.collectives == "ipc") return std::nullopt;
  if (!GroundOf(base).cuda) return std::nullopt;
  Wish staged = base;
  staged.collectives = "staged";
  return If(std::move(staged));
}

// The same devices by the variable, where it counts.
std::optional<Wish> LayoutWays::VisibleDevices(const Wish& base) const {
  if (!decider_.subject().of_file || !base.devices.empty() || memory_) return std::nullopt;
  const auto other = OtherTp(base);
  if (!other || other->devices.empty()) return std::nullopt;
  const auto decision = decider_.Decide(*other);
  if (!decision) return std::nullopt;
  std::vector<int> ordinals;
  for (const VisibleDevice& device : decision->devices) {
    ordinals.push_back(decision->cluster->nodes[device.node].devices[device.device].ordinal);
  }
  std::sort(ordinals.begin(), ordinals.end());
  Wish visible = *other;
  visible.devices.clear();
  visible.cuda_visible = fmt::format("{}", fmt::join(ordinals, ","));
  return If(std::move(visible));
}

// Of stages there may be others where the size is one that may be.
bool LayoutWays::KeepsTp() const { return std::ranges::find(legal_, tp_) != legal_.end(); }

std::optional<Wish> LayoutWays::FewerStages(const Wish& base) const {
  if (!KeepsTp() || stages_ == 1) return std::nullopt;
  const Ground ground = GroundOf(base);
  if (ground.count && tp_ > *ground.count) return std::nullopt;
  for (int64_t fewer = std::min(stages_, MostStages(ground, tp_)); fewer > 0; fewer -= 1 + fewer / 64) {
    if (auto way = If(With(base, tp_, fewer))) return way;
  }
  return std::nullopt;
}

std::optional<Wish> LayoutWays::MoreStages(const Wish& base) const {
  if (!KeepsTp() || (!base.tp && stages_ == 1)) return std::nullopt;
  const Ground ground = GroundOf(base);
  if (ground.count && tp_ > *ground.count) return std::nullopt;
  return LeastStages(base, ground, tp_, stages_);
}

// As many ranks as were asked for, or as there are devices: groups of devices near each other, and stages.
std::optional<Wish> LayoutWays::AsManyRanks(const Wish& base) const {
  const Ground ground = GroundOf(base);
  int64_t ranks = std::min(tp_, kMaxStages) * std::min(stages_, kMaxStages);
  if (ground.count) ranks = std::min(ranks, *ground.count);
  for (auto size = legal_.rbegin(); size != legal_.rend(); ++size) {
    const int64_t stages = ranks / *size;
    if (*size == 1 || *size > ground.near || stages < 2 || stages > layers_ || stages * *size != ranks) continue;
    if (auto way = If(With(base, *size, stages))) return way;
  }
  return std::nullopt;
}

std::optional<Wish> LayoutWays::StagesAlone(const Wish& base) const {
  const Ground ground = GroundOf(base);
  if (memory_) return LeastStages(base, ground, 1, 1);
  // As many as ranks were asked for, else fewer, of which the model still fits.
  const int64_t ranks = std::min(tp_, kMaxStages) * std::min(stages_, kMaxStages);
  const std::vector<int64_t> some = SomeUpTo(std::min(ranks, MostStages(ground, 1)));
  for (auto stages = some.rbegin(); stages != some.rend(); ++stages) {
    if (*stages == 1 && ranks > 1) break;
    if (auto way = If(With(base, 1, *stages))) return way;
  }
  return std::nullopt;
}

// Stages of unlike lengths for devices of unlike memory.
std::optional<Wish> LayoutWays::ByMemory(const Wish& base) const {
  const Ground ground = GroundOf(base);
  if (!ground.count || *ground.count == 0) return std::nullopt;
  const Wish least = StartOf(base);
  const LayoutWish of = {
      .max_seqs = least.max_seqs,
      .max_batched_tokens = decider_.BatchedTokensOf(least),
      .max_len = decider_.LengthOf(least),
      .bf16 = base.dtype == "bf16" || (base.dtype == "auto" && decider_.subject().bf16),
      .no_nccl = base.no_nccl,
      .collectives = base.collectives.empty() ? std::nullopt : std::optional(CollectivesNamed(base.collectives))};
  for (const int64_t size : legal_) {
    if (size > *ground.count) break;
    const auto map = MapByMemory(spec_, *decider_.ClusterOf(base), ground.devices, of, size, ground.cuda);
    if (!map) continue;
    Wish mapped = With(base, size, 1);
    if (size == 1) mapped.tp.reset();
    mapped.pp.reset();
    mapped.device_layers = *map;
    if (auto way = If(mapped)) return way;
    mapped.any_world = true;
    if (size > 1 && !base.any_world) {
      if (auto way = If(std::move(mapped))) return way;
    }
  }
  return std::nullopt;
}

// Every legal size, the fewest ranks first; the world as it may be, then any.
std::optional<Wish> LayoutWays::AnySizes(const Wish& base) const {
  const Ground ground = GroundOf(base);
  std::optional<Wish> fewest;
  const auto ranks = [](const Wish& wish) { return wish.tp.value_or(1) * wish.pp.value_or(1); };
  for (const bool any_world : {false, true}) {
    if (any_world && (fewest || base.any_world)) break;
    for (const int64_t size : legal_) {
      if (ground.count && size > *ground.count) break;
      Wish of = base;
      of.any_world = of.any_world || (any_world && size > 1);
      const auto least = LeastStages(of, ground, size, 0);
      if (least && (!fewest || ranks(*least) < ranks(*fewest))) fewest = least;
    }
  }
  return fewest;
}

// The devices that have most, where they have unlike memory.
std::optional<Wish> LayoutWays::LargestDevices(const Wish& base) const {
  Ground ground = GroundOf(base);
  if (!ground.named || ground.alike) return std::nullopt;
  std::vector<VisibleDevice>& devices = ground.devices;
  std::ranges::stable_sort(devices, std::greater<>(), &VisibleDevice::usable_bytes);
  for (const int64_t count : SomeUpTo(std::min<int64_t>(*ground.count - 1, 256))) {
    for (const int64_t size : legal_) {
      if (count % size != 0 || count / size > layers_) continue;
      Wish some = With(base, size, count / size);
      some.devices = Named(devices, static_cast<size_t>(count), ground.cuda);
      if (auto way = If(some)) return way;
      if (some.any_world || size == 1) continue;
      some.any_world = true;
      if (auto way = If(std::move(some))) return way;
    }
  }
  return std::nullopt;
}

std::vector<LayoutWay> LayoutWays::Near() const {
  using Member = std::optional<Wish> (LayoutWays::*)(const Wish&) const;
  using Ways = LayoutWays;
  std::vector<Member> members = {&Ways::OneOfTwo, &Ways::AnyWorld};
  const auto add = [&](std::initializer_list<Member> more) { members.insert(members.end(), more); };
  if (memory_) {
    add({&Ways::WithoutNccl, &Ways::OtherTp, &Ways::MoreStages, &Ways::StagesAlone});
  } else if (tp_said_ && KeepsTp()) {
    add({&Ways::FewerStages, &Ways::MoreStages, &Ways::StagesAlone, &Ways::AsManyRanks, &Ways::OtherTp});
  } else {
    add({&Ways::OtherTp, &Ways::VisibleDevices, &Ways::AsManyRanks, &Ways::FewerStages, &Ways::MoreStages,
         &Ways::StagesAlone});
  }
  std::vector<LayoutWay> ways;
  for (const Member member : members) {
    ways.push_back([this, member](const Wish& base) { return Hopeless(base) ? std::nullopt : (this->*member)(base); });
  }
  return ways;
}

std::optional<Wish> LayoutWays::FirstOf(const Wish& base) const {
  if (Hopeless(base)) return std::nullopt;
  for (const LayoutWay& way : Near()) {
    if (auto found = way(base)) return found;
  }
  if (auto found = ByMemory(base)) return found;
  if (auto found = AnySizes(base)) return found;
  return LargestDevices(base);
}

// What says which devices there are, or whether there is NCCL, left out; or NCCL itself.
std::optional<Wish> LayoutWays::Otherwise(const Wish& base) const {
  std::vector<Wish> others;
  if (!base.devices.empty()) others.push_back(base), others.back().devices.clear();
  if (base.local_world) others.push_back(base), others.back().local_world.reset();
  if (base.cuda_visible) others.push_back(base), others.back().cuda_visible.reset();
  if (!base.no_nccl.empty()) {
    others.push_back(base);
    others.back().no_nccl.clear();
  } else if (memory_ && (base.collectives.empty() || base.collectives == "nccl") && GroundOf(base).cuda) {
    others.push_back(base);
    others.back().collectives = "staged";
  }
  if (!base.memory && !decider_.Devices(base)) {
    // Where no memory is known of a device, --memory says it.
    Wish said = base;
    said.memory = contract::kMaxArenaBytes;
    if (const auto decision = decider_.Decide(said)) {
      said.memory = static_cast<uint64_t>(LeastOf(decision->verdict));
      others.insert(others.begin(), said);
    }
  }
  for (const Wish& other : others) {
    if (auto way = If(other)) return way;
  }
  for (const Wish& other : others) {
    if (auto way = FirstOf(other)) return way;
  }
  return std::nullopt;
}

std::optional<Wish> LayoutWays::Any(const Wish& base) const {
  if (auto found = FirstOf(base)) return found;
  return Otherwise(base);
}

}  // namespace mrs
