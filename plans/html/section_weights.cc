// What one rank of each stage holds of the model, by layer and tensor.
#include <algorithm>
#include <array>

#include "plans/append.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/html/weight_map.h"
#include "plans/text.h"
#include "plans/verify/context.h"

namespace mrs::html {
namespace {

constexpr double kWidth = 1000, kHeight = 620;

// Pixels of a unit of width on a narrow page and on a wide one.
constexpr double kNarrowScale = 0.33, kWideScale = 1.05;

void AppendLabel(const MapBox& box, double y, std::string_view css, std::string* out) {
  const double needed = static_cast<double>(box.label.size()) * 6.3 + 6;
  if (box.at.height < 13 || needed > box.at.width * kWideScale) return;
  const bool narrow = needed <= box.at.width * kNarrowScale;
  Append(out, "<text class=\"{}{}\" x=\"{}\" dx=\"3\" y=\"{:.1f}\">{}</text>", css, narrow ? "" : " wid",
         Percent(box.at.x, kWidth), y, Text(box.label));
}

void AppendBox(const MapBox& box, std::string* out) {
  if (box.at.width <= 0 || box.at.height <= 0) return;
  const std::string_view css = box.kind == MapBox::Kind::kStage   ? "ts"
                               : box.kind == MapBox::Kind::kLayer ? "tl"
                                                                  : RoleClass(box.weight->role);
  Append(out, "<rect class=\"{}\" x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\">", css,
         Percent(box.at.x, kWidth), box.at.y, Percent(box.at.width, kWidth), box.at.height);
  Append(out, "<title>{}, {}</title></rect>", box.weight != nullptr ? Text(box.weight->name) : Text(box.label),
         HumanBytes(box.bytes));
  switch (box.kind) {
    case MapBox::Kind::kStage:
      if (box.at.height > 45) AppendLabel(box, box.at.y + 11.5, "h", out);
      break;
    case MapBox::Kind::kLayer:
      if (box.at.height > 36) AppendLabel(box, box.at.y + 10, "s", out);
      break;
    case MapBox::Kind::kWeight:
      AppendLabel(box, box.at.y + std::min(box.at.height / 2 + 4, 14.0), "t", out);
  }
  *out += '\n';
}

std::string SliceText(const plan::Slice& slice) {
  if (slice.axis() == plan::Axis::none)
    return slice.start() == 0 ? fmt::format("{}", slice.size())
                              : fmt::format("{} from {}", slice.size(), slice.start());
  const std::string_view axis = plan::EnumNameAxis(slice.axis());
  const std::string of = slice.every() == 1 ? std::string(axis) : fmt::format("({} / {})", axis, slice.every());
  return fmt::format("{} from {} + {} · {}", slice.size(), slice.start(), slice.step(), of);
}

void AppendTable(const PageFacts& facts, const StageFacts& stage, uint64_t* rows_left, std::string* out) {
  verify::Budget budget;
  const verify::StageView view(*facts.plan, stage.index, &budget);
  Table table(out, rows_left, fmt::format("t-weights-{}", stage.index),
              facts.stages.size() == 1 ? fmt::format("Weights ({})", stage.weights.size())
                                       : fmt::format("Weights of stage {} ({})", stage.index, stage.weights.size()),
              {{"weight"},
               {"layer", true},
               {"for"},
               {"type"},
               {"bytes on one rank", true},
               {"at", true},
               {"copies", true},
               {"from the checkpoint: tensor, rows, columns"}});
  for (const WeightFacts& weight : stage.weights) {
    if (!table.Row()) continue;
    std::string sources;
    size_t shown = 0;
    for (const plan::WeightSource& source :
         view.sources.subspan(weight.weight->source_begin(), weight.weight->source_count())) {
      if (++shown > 4) continue;
      Append(&sources, "{}<code>{}</code> {}, {}", sources.empty() ? "" : "; ", Text(view.Name(source.name())),
             SliceText(source.rows()), SliceText(source.columns()));
    }
    if (shown > 4) Append(&sources, " and {} more", shown - 4);
    Append(
        out,
        "<tr><th "
        "scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</"
        "td></tr>\n",
        Text(weight.name), weight.layer < 0 ? "" : fmt::format("{}", weight.layer), RoleName(weight.role),
        plan::EnumNameDType(weight.weight->dtype()), weight.bytes, weight.weight->offset(), weight.copies, sources);
  }
}

}  // namespace

void AppendWeights(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  BeginSection(out, "weights", "Weights of one rank");
  std::array<uint64_t, kRoleCount> of_role{};
  uint64_t all = 0;
  for (const StageFacts& stage : facts.stages) {
    for (const WeightFacts& weight : stage.weights) {
      uint64_t& sum = of_role[static_cast<size_t>(weight.role)];
      sum = verify::SatAdd(sum, weight.bytes);
      all = verify::SatAdd(all, weight.bytes);
    }
  }
  *out += "<figure><ul class=\"key\">";
  for (size_t r = 0; r < kRoleCount; ++r) {
    if (of_role[r] == 0) continue;
    Append(out, "<li class=\"{}\">{} <b>{}</b> <small>{}</small></li>", RoleClass(static_cast<Role>(r)),
           RoleName(static_cast<Role>(r)), HumanBytes(of_role[r]),
           Percent(static_cast<double>(of_role[r]), static_cast<double>(all)));
  }
  Append(
      out,
      "</ul>\n<svg class=\"tree\" role=\"img\" width=\"100%\" height=\"{:.0f}\" aria-label=\"Weights of one rank{} by "
      "layer and tensor, {} in all; the tables of weights say the same\">\n",
      kHeight, facts.stages.size() > 1 ? " of each stage" : "", HumanBytes(all));
  for (const MapBox& box : WeightMapOf(facts, kWidth, kHeight)) AppendBox(box, out);
  Append(
      out, "</svg>\n<figcaption>Areas are bytes on one rank{}; numbers are layers.{}</figcaption></figure>\n",
      facts.stages.size() > 1 ? " of each stage" : "",
      std::ranges::any_of(facts.stages, [](const StageFacts& stage) { return stage.weights.size() > kMaxWeightBoxes; })
          ? " There are too many weights to draw each: boxes are layers."
          : "");
  for (const StageFacts& stage : facts.stages) {
    AppendTable(facts, stage, rows_left, out);
  }
  EndSection(out);
}

}  // namespace mrs::html
