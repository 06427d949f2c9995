// Which stage, and so which ranks, have which layers.
#include <algorithm>

#include "plans/append.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/text.h"

namespace mrs::html {
namespace {

constexpr double kUnit = 10;  // width of a layer in the drawing's own units

// A lane's height: each of its ranks has a line, as long as lines can be told apart.
double LaneHeight(uint64_t ranks) { return std::clamp(6.0 * static_cast<double>(ranks), 18.0, 48.0); }

void AppendLane(const PageFacts& facts, const StageFacts& stage, uint64_t ranks, std::string* out) {
  const double height = LaneHeight(ranks),
               width = kUnit * static_cast<double>(std::max<size_t>(facts.layers.size(), 1));
  Append(out, "<div class=\"lane\"><span>stage {}<small>{} {}</small></span>", stage.index,
         ranks == 1 ? "rank" : "ranks", RankNumbers(facts, stage.index));
  Append(
      out,
      "<svg class=\"map lm\" viewBox=\"0 0 {:.0f} {:.0f}\" height=\"{:.0f}\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"Stage {}: layers {} to {}\">",
      width, height, height, stage.index, stage.layer_begin, stage.layer_end - 1);
  size_t place = 0;
  for (const LayerFacts& layer : facts.layers) {
    const double x = kUnit * static_cast<double>(place++);
    if (layer.stage != stage.index) continue;
    Append(out, "<rect class=\"{}\" x=\"{:.0f}\" width=\"10\" height=\"{:.0f}\"/>",
           !layer.attends      ? "ln"
           : layer.window == 0 ? "lf"
                               : "lw",
           x, height);
  }
  if (ranks > 1 && ranks <= 16) {
    *out += "<path class=\"hair\" d=\"";
    for (uint64_t r = 1; r < ranks; ++r) {
      Append(out, "M{:.0f} {:.1f}H{:.0f}", kUnit * stage.layer_begin,
             height * static_cast<double>(r) / static_cast<double>(ranks), kUnit * stage.layer_end);
    }
    *out += "\"/>";
  }
  *out += "</svg></div>\n";
}

// Numbers below the lanes: at most 9, so that they stay apart on a narrow page.
void AppendAxis(size_t layer_count, std::string* out) {
  size_t every = 1;
  for (const size_t round : {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}) {
    every = round;
    if (layer_count <= 9 * round) break;
  }
  *out += "<div class=\"lane axis\" aria-hidden=\"true\"><span>layer</span><svg width=\"100%\" height=\"16\">";
  for (size_t layer = 0; layer < layer_count; layer += every) {
    Append(out, "<text x=\"{}\" y=\"12\">{}</text>",
           Percent(static_cast<double>(layer), static_cast<double>(layer_count)), layer);
  }
  *out += "</svg></div>\n";
}

}  // namespace

void AppendLayers(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  BeginSection(out, "layers", "Layer map");
  std::vector<uint64_t> ranks(facts.stages.size());
  for (const RankFacts& rank : facts.ranks) ++ranks[rank.at.stage()];
  bool windows = false;
  for (const LayerFacts& layer : facts.layers) windows |= layer.window > 0;
  *out += "<figure><ul class=\"key\"><li class=\"lf\">attention to all tokens</li>";
  if (windows) *out += "<li class=\"lw\">attention to a window</li>";
  *out += "</ul>\n";
  for (size_t s = 0; s < std::min(facts.stages.size(), kMaxLanes); ++s)
    AppendLane(facts, facts.stages[s], ranks[s], out);
  AppendAxis(facts.layers.size(), out);
  *out += "<figcaption>A lane is a stage, a box one of its layers, a line in it one of the ranks that share the layer.";
  if (facts.stages.size() > kMaxLanes)
    Append(out, " {} more stages are in the table only.", facts.stages.size() - kMaxLanes);
  *out += "</figcaption></figure>\n";
  {
    Table table(out, rows_left, "t-layers", fmt::format("Layers ({})", facts.layers.size()),
                {{"layer", true},
                 {"stage", true},
                 {"ranks"},
                 {"attention"},
                 {"steps", true},
                 {"weights", true},
                 {"bytes on one rank", true}});
    std::string numbers;
    for (size_t i = 0; i < facts.layers.size(); ++i) {
      if (!table.Row()) continue;
      const LayerFacts& layer = facts.layers[i];
      if (i == 0 || facts.layers[i - 1].stage != layer.stage) numbers = RankNumbers(facts, layer.stage);
      Append(out,
             "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
             layer.layer, layer.stage, numbers,
             !layer.attends      ? "none"
             : layer.window == 0 ? "all tokens"
                                 : fmt::format("{} tokens", layer.window),
             layer.step_count, layer.weight_count, layer.weight_bytes);
    }
  }
  EndSection(out);
}

}  // namespace mrs::html
