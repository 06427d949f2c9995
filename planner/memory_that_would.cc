#include "planner/memory_that_would.h"

#include <algorithm>
#include <limits>

#include "planner/legality.h"
#include "planner/ways_out.h"
#include "plans/contract.h"
#include "plans/text.h"

namespace mrs {
namespace {

constexpr int64_t kTop = std::numeric_limits<int64_t>::max();
constexpr auto kMost = static_cast<int64_t>(contract::kMaxArenaBytes);

std::string Shown(int64_t bytes) {
  return fmt::format("{} bytes ({})", bytes, HumanBytes(static_cast<uint64_t>(bytes)));
}

// What a device must have for a rank to use `bytes` of it, at most kMost: 10/9, rounded up.
int64_t DeviceFor(int64_t bytes) { return bytes / 9 * 10 + (bytes % 9 * 10 + 8) / 9; }

// Ranks of the device that has most.
int64_t MostRanksOfADevice(const std::vector<VisibleDevice>& devices) {
  int64_t most = 1;
  for (const VisibleDevice& device : devices) {
    most = std::max<int64_t>(most, std::ranges::count_if(devices, [&](const VisibleDevice& other) {
                               return other.node == device.node && other.device == device.device;
                             }));
  }
  return most;
}

// As one gives so much to each rank.
std::string Given(const Decider& decider, const Wish& wish, const Decision& decision, int64_t bytes) {
  if (decision.budget.each) return fmt::format("--memory {}", bytes);
  if (decision.budget.shared) {
    const int64_t ranks = decision.layout.mesh.RankCount();
    const int64_t all = bytes > kTop / ranks / 2 ? kTop / 2 : bytes * ranks;
    return fmt::format("a host of {}", Shown(DeviceFor(all)));
  }
  // What the devices have, --memory apart.
  Wish whole = wish;
  whole.memory.reset();
  const auto devices = decider.Devices(whole);
  bool large = wish.memory.has_value();
  if (devices && *devices) {
    for (const VisibleDevice& device : **devices) large = large && device.usable_bytes >= bytes;
  }
  if (large) return fmt::format("--memory {}", bytes);
  // CPU ranks share their host's memory.
  int64_t of_host = 0;
  for (const VisibleDevice& device : decision.devices) {
    const cluster::Node& node = decision.cluster->nodes[device.node];
    const cluster::Device& at = node.devices[device.device];
    if (at.kind != cluster::DeviceKind::kCpu || at.memory_bytes > 0) continue;
    of_host = std::max(of_host, static_cast<int64_t>(node.devices.size()));
  }
  const bool one = decision.cluster->nodes.size() == 1;
  const std::string text =
      of_host > 0
          ? fmt::format("{} of {}{}", one ? "a host" : "hosts", Shown(DeviceFor(bytes) * of_host), one ? "" : " each")
          : fmt::format("devices of {} each", Shown(DeviceFor(bytes * MostRanksOfADevice(decision.devices))));
  if (!wish.memory || static_cast<int64_t>(*wish.memory) >= bytes) return text;
  return fmt::format("{} and --memory {}", text, bytes);
}

// A chosen map as it is typed. Of the ranks of this host, which are all alike, a typed map names as many devices as it
// has stages, from 0 on.
std::string TypedMap(const Decider& decider, const std::string& map) {
  if (decider.subject().cluster != nullptr) return map;
  std::string typed;
  int64_t stage = 0;
  for (size_t at = 0; at < map.size();) {
    const size_t end = std::min(map.find(';', at), map.size());
    typed += fmt::format("{}{}{}", typed.empty() ? "" : ";", stage++,
                         map.substr(map.find(':', at), end - map.find(':', at)));
    at = end + 1;
  }
  return typed;
}

// The wish of a legal layout that takes least of each rank.
std::optional<std::pair<Wish, Decision>> LeastNeeding(const Decider& decider, const Wish& wish) {
  const ModelSpec& spec = *decider.subject().spec;
  std::optional<std::pair<Wish, Decision>> best;
  Wish of = WithTokenOfEach(wish);
  of.device_layers.clear();
  if (of.max_len && *of.max_len > spec.longest) of.max_len = spec.longest;
  // Devices that are not there: of all that are.
  if (!decider.Devices(of)) of.devices.clear();
  if (!decider.Devices(of)) of.local_world.reset();
  if (!decider.Devices(of)) of.cuda_visible.reset();
  of.any_world = true;
  for (const int64_t tp : LegalSizes(spec)) {
    of.tp = tp;
    for (int64_t stages = 1; std::cmp_less_equal(stages, std::min<size_t>(spec.layers.size(), 4096));
         stages += 1 + stages / 16) {
      of.pp = stages;
      auto decision = decider.Decide(of);
      if (!decision) break;  // more ranks than devices, or a size that is not for them
      if (!best || LeastOf(decision->verdict) < LeastOf(best->second.verdict)) best = {of, *std::move(decision)};
    }
  }
  if (!best) return best;
  Wish& said = best->first;
  said.any_world = wish.any_world;
  if (!decider.Decide(said)) said.any_world = true;
  if (*said.tp == 1 && *said.pp > 1) said.tp.reset();
  if (*said.pp == 1) said.pp.reset();
  return best;
}

}  // namespace

std::optional<EnoughMemory> MemoryThatWould(const Decider& decider, const Wish& wish) {
  auto own = decider.Decide(wish);
  std::string with;
  std::optional<Decision> decision;
  if (own) {
    decision = *std::move(own);
    // On devices of another size another map would be chosen.
    if (!decision->chosen.empty() && !decision->flags.device_layers.empty()) {
      with = fmt::format(", with --device-layers \"{}\"", TypedMap(decider, decision->flags.device_layers));
    }
  } else {
    auto least = LeastNeeding(decider, wish);
    if (!least) return std::nullopt;
    const std::string typed = AsTyped(wish, least->first);
    with = fmt::format(", {}{}", typed.starts_with("without ") ? "" : "with ", typed);
    decision = std::move(least->second);
  }
  const int64_t bytes = LeastOf(decision->verdict);
  if (bytes > kMost) {
    const std::string too_much =
        fmt::format("{} a rank, and no plan may have more than {}{}", Shown(bytes), kMost, with);
    return EnoughMemory{too_much, fmt::format("it takes {}", too_much), false};
  }
  const std::string given = Given(decider, wish, *decision, bytes);
  return EnoughMemory{given + with, fmt::format("{} would{}", given, with), true};
}

}  // namespace mrs
