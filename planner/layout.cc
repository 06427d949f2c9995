#include "planner/layout.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <set>
#include <string_view>

#include "planner/rules.h"
#include "plans/contract.h"
#include "plans/printable.h"

namespace mrs {
namespace {

std::optional<int64_t> Number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct DeviceShare {
  int64_t device = 0;
  int64_t layers = 0;
};

Result<std::vector<DeviceShare>> ParseMap(const std::string& flag, std::string_view text) {
  std::vector<DeviceShare> shares;
  while (true) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view part = text.substr(0, end);
    const size_t colon = std::min(part.find(':'), part.size());
    const auto device = Number(part.substr(0, colon));
    const auto layers = colon < part.size() ? Number(part.substr(colon + 1)) : std::nullopt;
    if (!device || !layers) return BrokenRule<RuleId::kMapForm>(flag, Printable(part));
    shares.push_back({*device, *layers});
    if (end == text.size()) return shares;
    text.remove_prefix(end + 1);
  }
}

Status CheckMap(const std::string& flag, const std::vector<DeviceShare>& shares, int64_t layers, int64_t device_count) {
  const int64_t devices = device_count > 0 ? device_count : static_cast<int64_t>(shares.size());
  std::set<int64_t> seen;
  int64_t sum = 0;
  for (const auto& [device, of_device] : shares) {
    if (of_device == 0) {
      return BrokenRule<RuleId::kMapEmptyStage>(flag, device);
    }
    if (!seen.insert(device).second) {
      return BrokenRule<RuleId::kMapDeviceTwice>(flag, device);
    }
    sum += of_device;
  }
  if (*seen.rbegin() >= devices && device_count > 0) {
    return BrokenRule<RuleId::kMapDeviceOfCluster>(flag, *seen.rbegin(), devices, devices == 1 ? "" : "s", devices - 1);
  }
  if (*seen.rbegin() >= devices) {
    return BrokenRule<RuleId::kMapDeviceUnknown>(flag, *seen.rbegin(), devices, devices == 1 ? "" : "s", devices - 1);
  }
  if (sum != layers) {
    return BrokenRule<RuleId::kMapLayers>(flag, sum, layers);
  }
  return Status();
}

// Batches that offsets are planned for: every decode of max_seqs sequences fits the smallest.
std::vector<ir::BucketSize> BucketsFor(int64_t max_seqs, int64_t most) {
  std::vector<ir::BucketSize> buckets = {{max_seqs, max_seqs, max_seqs}};
  for (int64_t tokens : {int64_t{64}, kBatchedTokens, most}) {
    if (tokens > buckets.back().tokens && tokens <= most) buckets.push_back({tokens, max_seqs, max_seqs});
  }
  return buckets;
}

// Lengths of the stages: each ends at the layer border that is nearest to its share of what is left to read, the later
// of two, and leaves a layer for every stage after it.
std::vector<int64_t> EvenCut(const TokenReads& reads, int64_t stages) {
  std::vector<int64_t> lengths;
  auto layer = reads.layers.begin();
  double left = std::accumulate(layer, reads.layers.end(), static_cast<double>(reads.head));
  for (int64_t after = stages - 1; after > 0; --after) {
    const double share = left / static_cast<double>(after + 1);
    const auto begin = layer;
    double read = 0;
    do {
      read += static_cast<double>(*layer++);
    } while (reads.layers.end() - layer > after && read + static_cast<double>(*layer) / 2 <= share);
    lengths.push_back(layer - begin);
    left -= read;
  }
  lengths.push_back(reads.layers.end() - layer);
  return lengths;
}

}  // namespace

Result<Layout> DecideLayout(const LayoutFlags& flags, const TokenReads& reads) {
  const auto layers = static_cast<int64_t>(reads.layers.size());
  std::vector<DeviceShare> shares;
  if (!flags.device_layers.empty()) {
    const std::string flag = fmt::format("--device-layers {}", Printable(flags.device_layers));
    if (flags.pp != 0) return BrokenRule<RuleId::kPpOrMap>(flag, flags.pp);
    MRS_ASSIGN_OR_RETURN(shares, ParseMap(flag, flags.device_layers));
    MRS_RETURN_IF_ERROR(CheckMap(flag, shares, layers, flags.device_count));
  } else {
    const int64_t stages = std::max<int64_t>(flags.pp, 1);
    if (stages > layers) {
      return BrokenRule<RuleId::kPpLayers>("", stages, layers, layers == 1 ? "" : "s");
    }
    for (const int64_t length : EvenCut(reads, stages)) shares.push_back({static_cast<int64_t>(shares.size()), length});
  }
  Layout layout;
  layout.mesh = {.tp = flags.tp, .stage = static_cast<int64_t>(shares.size())};
  int64_t begin = 0;
  for (const auto& [device, of_device] : shares) {
    layout.stages.push_back({begin, begin + of_device, device});
    begin += of_device;
  }
  if (flags.max_batched_tokens != 0 && flags.max_batched_tokens < flags.max_seqs) {
    return BrokenRule<RuleId::kMaxBatchedTokens>("", flags.max_batched_tokens, flags.max_seqs);
  }
  layout.buckets =
      BucketsFor(flags.max_seqs, flags.max_batched_tokens != 0 ? flags.max_batched_tokens : kBatchedTokens);
  return layout;
}

std::string DeviceLayers(const Layout& layout) {
  std::vector<std::string> parts;
  for (const LayoutStage& stage : layout.stages) {
    parts.push_back(fmt::format("{}:{}", stage.device, stage.layer_end - stage.layer_begin));
  }
  return fmt::format("{}", fmt::join(parts, ";"));
}

std::vector<std::string> LayoutWarnings(const Layout& layout, const std::vector<int64_t>& node_of_device) {
  const auto node = [&](const LayoutStage& stage) {
    return std::cmp_less(stage.device, node_of_device.size()) ? node_of_device[stage.device] : 0;
  };
  std::vector<std::string> warnings;
  std::set<int64_t> left;
  for (size_t s = 1; s < layout.stages.size(); ++s) {
    const int64_t before = node(layout.stages[s - 1]), now = node(layout.stages[s]);
    if (before == now) continue;
    left.insert(before);
    if (!left.contains(now)) continue;
    warnings.push_back(Broken<RuleId::kNodeLeft>(DeviceLayers(layout), s, now));
  }
  return warnings;
}

}  // namespace mrs
