#include "plans/html/weight_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "plans/verify/context.h"

namespace mrs::html {
namespace {

using verify::SatAdd;

struct LayerGroup {
  int32_t layer = -1;
  uint64_t bytes = 0;
  std::vector<const WeightFacts*> weights;
};

// Layers in order, then what is of no layer.
std::vector<LayerGroup> GroupsOf(const StageFacts& stage) {
  std::map<int64_t, LayerGroup> groups;
  for (const WeightFacts& weight : stage.weights) {
    LayerGroup& group = groups[weight.layer < 0 ? INT64_MAX : weight.layer];
    group.layer = weight.layer;
    group.bytes = SatAdd(group.bytes, weight.bytes);
    group.weights.push_back(&weight);
  }
  std::vector<LayerGroup> out;
  for (auto& [layer, group] : groups) out.push_back(std::move(group));
  return out;
}

// "l12.q_proj.weight" -> "q_proj".
std::string ShortName(std::string_view name) {
  size_t begin = 0;
  if (name.starts_with('l')) {
    const size_t dot = name.find_first_not_of("0123456789", 1);
    if (dot != name.npos && dot > 1 && name[dot] == '.') begin = dot + 1;
  }
  name.remove_prefix(begin);
  if (name.ends_with(".weight")) name.remove_suffix(7);
  return std::string(name.substr(0, 64));
}

// What is left of a box below its heading, where it is high enough to have one.
Rect Inside(const Rect& box, double heading, double inset) {
  const double top = box.height > 3 * heading ? heading : inset;
  return {box.x + inset, box.y + top, std::max(box.width - 2 * inset, 0.0), std::max(box.height - top - inset, 0.0)};
}

void AddStage(const StageFacts& stage, const Rect& area, bool with_weights, std::vector<MapBox>* out) {
  const std::vector<LayerGroup> groups = GroupsOf(stage);
  std::vector<uint64_t> sizes;
  for (const LayerGroup& group : groups) sizes.push_back(group.bytes);
  const std::vector<Rect> rects = Squarify(sizes, area, Sequence::kInOrder);
  for (size_t g = 0; g < groups.size(); ++g) {
    out->push_back({.kind = MapBox::Kind::kLayer,
                    .label = groups[g].layer < 0 ? "no layer" : fmt::format("{}", groups[g].layer),
                    .bytes = groups[g].bytes,
                    .at = rects[g]});
    if (!with_weights) continue;
    std::vector<uint64_t> weight_sizes;
    for (const WeightFacts* weight : groups[g].weights) weight_sizes.push_back(weight->bytes);
    const std::vector<Rect> places = Squarify(weight_sizes, Inside(rects[g], 12, 1));
    for (size_t w = 0; w < places.size(); ++w) {
      const WeightFacts* const weight = groups[g].weights[w];
      out->push_back({.label = ShortName(weight->name), .weight = weight, .bytes = weight->bytes, .at = places[w]});
    }
  }
}

}  // namespace

std::vector<MapBox> WeightMapOf(const PageFacts& facts, double width, double height) {
  std::vector<MapBox> boxes;
  size_t weight_count = 0;
  std::vector<uint64_t> sizes;
  for (const StageFacts& stage : facts.stages) {
    weight_count += stage.weights.size();
    uint64_t bytes = 0;
    for (const WeightFacts& weight : stage.weights) bytes = SatAdd(bytes, weight.bytes);
    sizes.push_back(bytes);
  }
  const bool with_weights = weight_count <= kMaxWeightBoxes;
  const Rect whole{0, 0, width, height};
  if (facts.stages.size() == 1) {
    AddStage(facts.stages[0], whole, with_weights, &boxes);
    return boxes;
  }
  const std::vector<Rect> rects = Squarify(sizes, whole, Sequence::kInOrder);
  for (size_t s = 0; s < facts.stages.size(); ++s) {
    boxes.push_back(
        {.kind = MapBox::Kind::kStage, .label = fmt::format("stage {}", s), .bytes = sizes[s], .at = rects[s]});
    AddStage(facts.stages[s], Inside(rects[s], 15, 2), with_weights, &boxes);
  }
  return boxes;
}

}  // namespace mrs::html
