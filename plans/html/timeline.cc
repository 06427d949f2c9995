#include "plans/html/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "plans/verify/context.h"

namespace mrs::html {
namespace {

using verify::SatAdd;

// What makes two segments look alike.
using Signature = std::vector<std::tuple<plan::OpKind, plan::Variant, uint64_t, uint64_t>>;

Signature SignatureOf(const StageFacts& stage, const Segment& segment) {
  Signature signature;
  for (uint32_t i = segment.begin; i < segment.end; ++i) {
    const StepFacts& step = stage.steps[i];
    signature.emplace_back(step.op, step.variant, step.weight_bytes, step.buffer_bytes);
  }
  return signature;
}

bool RunsForCandidates(const StepFacts& step) { return step.variant != plan::Variant::all_logits; }

}  // namespace

std::vector<Segment> SegmentsOf(const StageFacts& stage) {
  std::vector<Segment> segments;
  const uint32_t count = static_cast<uint32_t>(stage.steps.size());
  for (uint32_t i = 0; i < count;) {
    Segment segment{.stage = stage.index, .layer = stage.steps[i].layer, .begin = i};
    uint32_t end = i;
    for (uint32_t next = i; next < count; ++next) {
      const int32_t layer = stage.steps[next].layer;
      if (layer == segment.layer) {
        end = next + 1;
      } else if (layer >= 0 || segment.layer < 0) {
        break;
      }
    }
    segment.end = i = end;
    for (uint32_t s = segment.begin; s < end; ++s) segment.bytes = SatAdd(segment.bytes, stage.steps[s].bytes());
    segments.push_back(segment);
  }
  return segments;
}

std::vector<FoldedSegment> FoldSegments(const PageFacts& facts) {
  std::vector<FoldedSegment> folded;
  std::map<std::pair<bool, Signature>, size_t> known;
  for (const StageFacts& stage : facts.stages) {
    for (const Segment& segment : SegmentsOf(stage)) {
      const auto [at, is_new] =
          known.emplace(std::pair(segment.layer >= 0, SignatureOf(stage, segment)), folded.size());
      if (is_new) folded.push_back({.first = segment, .all = {}, .bytes = segment.bytes});
      folded[at->second].all.push_back(segment);
    }
  }
  return folded;
}

std::string Ranges(const std::vector<uint32_t>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    if (!text.empty()) text += ", ";
    text += end - i == 1   ? fmt::format("{}", numbers[i])
            : end - i == 2 ? fmt::format("{}, {}", numbers[i], numbers[end - 1])
                           : fmt::format("{}–{}", numbers[i], numbers[end - 1]);
    i = end;
  }
  return text;
}

namespace {

// Ranges, or where these are many only the first, the last and how many.
std::string ShortRanges(const std::vector<uint32_t>& numbers) {
  std::string text = Ranges(numbers);
  return text.size() <= 80 ? text
                           : fmt::format("{} to {} ({} of them)", numbers.front(), numbers.back(), numbers.size());
}

}  // namespace

std::string SegmentLabel(const PageFacts& facts, const FoldedSegment& folded) {
  std::vector<uint32_t> numbers;
  const bool of_layers = folded.first.layer >= 0;
  for (const Segment& segment : folded.all) {
    const uint32_t number = of_layers ? static_cast<uint32_t>(segment.layer) : segment.stage;
    if (numbers.empty() || numbers.back() != number) numbers.push_back(number);
  }
  const char* const plural = numbers.size() == 1 ? "" : "s";
  if (of_layers) return fmt::format("layer{} {}", plural, ShortRanges(numbers));
  const std::vector<StepFacts>& steps = facts.stages[folded.first.stage].steps;
  const auto is_of_layer = [](const StepFacts& step) { return step.layer >= 0; };
  const bool before = std::none_of(steps.begin(), steps.begin() + folded.first.begin, is_of_layer);
  const bool after = std::none_of(steps.begin() + folded.first.end, steps.end(), is_of_layer);
  const char* const where = before && after ? "all of it"
                            : before        ? "before the layers"
                            : after         ? "after the layers"
                                            : "between layers";
  if (facts.stages.size() == 1) return where;
  return fmt::format("stage{} {}, {}", plural, ShortRanges(numbers), where);
}

std::vector<double> StepShares(const StageFacts& stage, const Segment& segment, uint64_t scale_bytes, double least) {
  std::vector<double> shares;
  const uint32_t count = segment.end - segment.begin;
  least = std::min(least, 0.5 / std::max<uint32_t>(count, 1));
  const double scale = static_cast<double>(std::max<uint64_t>(scale_bytes, 1));
  double sum = 0;
  for (uint32_t i = segment.begin; i < segment.end; ++i) {
    shares.push_back(std::max(least, (1 - least * count) * static_cast<double>(stage.steps[i].bytes()) / scale));
    sum += shares.back();
  }
  if (sum > 1) {
    for (double& share : shares) share /= sum;
  }
  return shares;
}

std::vector<std::vector<LanePiece>> LanesOf(const PageFacts& facts) {
  constexpr double kNarrowest = 1e-4;
  constexpr size_t kMaxPieces = 20'000;
  double total = 0;
  for (const StageFacts& stage : facts.stages) {
    for (const StepFacts& step : stage.steps) total += RunsForCandidates(step) ? static_cast<double>(step.bytes()) : 0;
  }
  if (!(total > 0)) total = 1;
  std::vector<std::vector<LanePiece>> lanes;
  size_t piece_count = 0;
  double at = 0;  // bytes since the forward began
  for (const StageFacts& stage : facts.stages) {
    std::vector<LanePiece> lane;
    for (const StepFacts& step : stage.steps) {
      if (!RunsForCandidates(step)) continue;
      const double begin = at / total;
      at += static_cast<double>(step.bytes());
      const bool continues = !lane.empty() && lane.back().kind == step.kind &&
                             (lane.back().layer == step.layer || lane.back().end - lane.back().begin < kNarrowest);
      const bool too_narrow =
          !lane.empty() && at / total - lane.back().end < kNarrowest && step.kind == StepKind::kCompute;
      if (!lane.empty() && (continues || too_narrow || piece_count >= kMaxPieces)) {
        lane.back().end = at / total;
      } else {
        ++piece_count;
        lane.push_back({.kind = step.kind, .layer = step.layer, .begin = begin, .end = at / total});
      }
    }
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

}  // namespace mrs::html
