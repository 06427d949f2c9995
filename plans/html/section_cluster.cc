// Who is where: nodes with their ranks, stages in order, tensor-parallel groups as frames.
#include <algorithm>
#include <map>
#include <span>

#include "plans/append.h"
#include "plans/html/cluster_layout.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/text.h"
#include "plans/verify/context.h"

namespace mrs::html {
namespace {

void AppendChip(const PageFacts& facts, const Chip& chip, std::string* out) {
  const RankFacts& rank = facts.ranks[chip.rank];
  Append(out, "<rect class=\"chip\" x=\"{}\" y=\"{:.0f}\" width=\"{}\" height=\"{:.0f}\" rx=\"2\"/>",
         Percent(chip.at.x), chip.at.y, Percent(chip.at.width), chip.at.height);
  if (rank.budget_bytes.value_or(0) > 0) {
    const double used =
        static_cast<double>(facts.stages[rank.at.stage()].memory.Total()) / static_cast<double>(*rank.budget_bytes);
    Append(out, "<rect class=\"used\" x=\"{}\" y=\"{:.0f}\" width=\"{}\" height=\"3\"/>", Percent(chip.at.x),
           chip.at.y + chip.at.height - 3, Percent(chip.at.width * std::min(used, 1.0)));
  }
  const std::string middle = Percent(chip.at.x + chip.at.width / 2);
  Append(out, "<text class=\"c nar\" x=\"{}\" y=\"{:.0f}\">{}</text>", middle, chip.at.y + 14, chip.rank);
  Append(out, "<text class=\"c wid\" x=\"{}\" y=\"{:.0f}\">rank {} · {} {}</text>\n", middle, chip.at.y + 14, chip.rank,
         plan::EnumNameDeviceKind(rank.at.kind()), rank.at.device());
}

void AppendFrame(const PageFacts& facts, const Frame& frame, std::string* out) {
  const StageFacts& stage = facts.stages[frame.stage];
  Append(out, "<rect class=\"frame\" x=\"{}\" y=\"{:.0f}\" width=\"{}\" height=\"{:.0f}\" rx=\"3\"/>",
         Percent(frame.at.x), frame.at.y, Percent(frame.at.width), frame.at.height);
  const std::string left = Percent(frame.at.x + 0.006);
  const std::string replica = facts.plan->dp() > 1 ? fmt::format(" · replica {}", frame.replica) : "";
  Append(out, "<text class=\"nar\" x=\"{}\" y=\"{:.0f}\">s{}</text>", left, frame.at.y + 14, frame.stage);
  // The longest that fits on a page of 1000 pixels, at 6.7 pixels a character.
  const std::string layers = fmt::format("{}–{}", stage.layer_begin, stage.layer_end - 1);
  std::string label;
  for (const std::string& candidate :
       {fmt::format("stage {} · layers {}{}", frame.stage, layers, replica),
        fmt::format("stage {} · {}", frame.stage, layers), fmt::format("s{} · {}", frame.stage, layers)}) {
    label = candidate;
    if (static_cast<double>(label.size()) * 6.7 <= frame.at.width * 1000) break;
  }
  Append(out, "<text class=\"wid\" x=\"{}\" y=\"{:.0f}\">{}</text>\n", left, frame.at.y + 14, label);
  if (!frame.followed) return;
  Append(out, "<rect class=\"link\" x=\"{}\" y=\"{:.0f}\" width=\"{}\" height=\"4\"/>\n",
         Percent(frame.at.x + frame.at.width), frame.at.y + frame.at.height / 2 - 2, Percent(kFrameGap));
}

void AppendNode(const PageFacts& facts, const NodeDrawing& node, std::string* out) {
  Append(out, "<div class=\"node\"><h3>node {}</h3>\n", node.node);
  Append(out,
         "<svg role=\"img\" width=\"100%\" height=\"{:.0f}\" aria-label=\"Node {}: {}; the table of ranks says the "
         "same\">\n",
         node.height, node.node, Count(node.rank_count, "rank"));
  for (const Frame& frame : node.frames) {
    AppendFrame(facts, frame, out);
    for (const Chip& chip : frame.chips) AppendChip(facts, chip, out);
  }
  *out += "</svg></div>\n";
}

std::string TrafficText(const Traffic& traffic) {
  std::vector<std::string> parts;
  if (traffic.all_reduce_count > 0) {
    parts.push_back(fmt::format("{} ({} a token in all)", Count(traffic.all_reduce_count, "all-reduce"),
                                HumanBytes(traffic.all_reduce_token_bytes)));
  }
  if (traffic.all_gather_count > 0) parts.push_back(Count(traffic.all_gather_count, "all-gather"));
  return parts.empty() ? "nothing" : fmt::format("{}", fmt::join(parts, ", "));
}

void AppendTables(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  {
    Table table(out, rows_left, "t-ranks", fmt::format("Ranks ({})", facts.ranks.size()),
                {{"rank", true},
                 {"node", true},
                 {"device"},
                 {"stage", true},
                 {"layers"},
                 {"tp", true},
                 {"ep", true},
                 {"dp", true},
                 {"may use", true}});
    for (const RankFacts& rank : facts.ranks) {
      if (!table.Row()) continue;
      const StageFacts& stage = facts.stages[rank.at.stage()];
      Append(out,
             "<tr><th scope=\"row\">{}</th><td>{}</td><td>{} "
             "{}</td><td>{}</td><td>{}–{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
             rank.rank, rank.at.node(), plan::EnumNameDeviceKind(rank.at.kind()), rank.at.device(), rank.at.stage(),
             stage.layer_begin, stage.layer_end - 1, rank.at.tp(), rank.at.ep(), rank.at.dp(),
             rank.budget_bytes.has_value() ? HumanBytes(*rank.budget_bytes) : "not said");
    }
  }
  const std::span<const plan::Group> groups = verify::View(facts.plan->groups());
  if (!groups.empty()) {
    Table table(out, rows_left, "t-groups", fmt::format("Groups ({})", groups.size()),
                {{"group", true}, {"axis"}, {"ranks"}, {"stage"}, {"in one forward"}});
    for (uint32_t g = 0; g < groups.size(); ++g) {
      if (!table.Row()) continue;
      const uint32_t stage = facts.ranks[groups[g].first()].at.stage();
      const bool tp = groups[g].axis() == plan::Axis::tp;
      Append(out, "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", g,
             plan::EnumNameAxis(groups[g].axis()), GroupRanks(groups[g]), tp ? fmt::format("{}", stage) : "",
             tp ? TrafficText(facts.stages[stage].traffic) : "");
    }
  }
}

}  // namespace

void AppendCluster(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  BeginSection(out, "cluster", "Cluster");
  const ClusterDrawing drawing = DrawCluster(facts);
  *out += "<figure><ul class=\"key\"><li class=\"mw\">share of a rank's memory that is used</li>";
  if (facts.stages.size() > 1) {
    const auto of = [](const StageFacts& stage) { return stage.traffic.send_token_bytes; };
    Append(out, "<li class=\"st\">a stage hands on to the next, from rank to rank, at most {} a token</li>",
           HumanBytes(of(*std::ranges::max_element(facts.stages, {}, of))));
  }
  *out += "</ul>\n";
  for (const NodeDrawing& node : drawing.nodes) AppendNode(facts, node, out);
  *out += "<figcaption>A frame is the ranks that share a stage's layers: a group; a box is a rank.";
  if (drawing.ranks_left_out > 0) Append(out, " {} more ranks are in the table only.", drawing.ranks_left_out);
  *out += " Which links join the devices is not drawn.</figcaption></figure>\n";
  AppendTables(facts, rows_left, out);
  AppendText("t-cluster", "Cluster as the plan has it", facts.plan->cluster()->description()->string_view(), out);
  EndSection(out);
}

}  // namespace mrs::html
