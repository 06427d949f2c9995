// One forward, step by step: all stages to one scale, then each kind of layer with its steps, then every step.
#include <algorithm>

#include "plans/append.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/html/timeline.h"
#include "plans/text.h"
#include "plans/verify/context.h"

namespace mrs::html {
namespace {

constexpr std::string_view kKindClasses[] = {"sc", "sx", "st"};

std::string_view StepClass(const StepFacts& step) {
  if (step.kind != StepKind::kCompute) return kKindClasses[static_cast<size_t>(step.kind)];
  const bool gated = step.op == plan::OpKind::matmul_silu_mul || step.op == plan::OpKind::matmul_gelu_mul;
  if (step.op == plan::OpKind::matmul || gated || step.op == plan::OpKind::embed) return "sm";
  const bool caches = step.op == plan::OpKind::kv_append || step.op == plan::OpKind::rope_append;
  return step.op == plan::OpKind::attention || caches ? "sa" : "sc";
}

// Work above, what goes between ranks below.
void AppendLane(const StageFacts& stage, const std::vector<LanePiece>& lane, std::string* out) {
  Append(out,
         "<div class=\"lane\"><span>stage {}</span><svg class=\"map\" viewBox=\"0 0 10000 20\" height=\"20\" "
         "preserveAspectRatio=\"none\" "
         "role=\"img\" aria-label=\"Stage {}: {} of layers {} to {}; the table of its steps says the same\">",
         stage.index, stage.index, Count(stage.steps.size(), "step"), stage.layer_begin, stage.layer_end - 1);
  for (const LanePiece& piece : lane) {
    const bool work = piece.kind == StepKind::kCompute;
    const double width = std::max(10000 * (piece.end - piece.begin), work ? 2.0 : 8.0);
    const std::string_view css = !work                  ? kKindClasses[static_cast<size_t>(piece.kind)]
                                 : piece.layer < 0      ? "ov"
                                 : piece.layer % 2 == 0 ? "oe"
                                                        : "oo";
    Append(out, "<rect class=\"{}\" x=\"{:.0f}\" y=\"{}\" width=\"{:.0f}\" height=\"{}\"/>", css,
           std::min(10000 * piece.begin, 10000 - width), work ? 0 : 13, width, work ? 12 : 7);
  }
  *out += "</svg></div>\n";
}

// Whether text fits into a share of the drawing's width, on the narrowest page (about 330 pixels) and on a wide one.
bool Fits(std::string_view text, double share, double page) {
  return static_cast<double>(text.size()) * 6.3 + 6 <= share * page;
}

void AppendSegment(const PageFacts& facts, const FoldedSegment& folded, uint64_t scale, bool list, std::string* out) {
  const StageFacts& stage = facts.stages[folded.first.stage];
  const std::vector<double> shares = StepShares(stage, folded.first, scale, 0.006);
  Append(out, "<div class=\"seg\"><h4>{} <small>{}{}</small></h4>\n", SegmentLabel(facts, folded),
         folded.all.size() == 1 ? "" : fmt::format("{} alike, each ", folded.all.size()), HumanBytes(folded.bytes));
  *out += "<svg width=\"100%\" height=\"24\" aria-hidden=\"true\">";
  double at = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    const StepFacts& step = stage.steps[folded.first.begin + i];
    Append(out, "<rect class=\"{}\" x=\"{}\" y=\"1\" width=\"{}\" height=\"22\"/>", StepClass(step), Percent(at),
           Percent(std::max(shares[i] - 0.001, 0.0005)));
    const std::string_view name = plan::EnumNameOpKind(step.op);
    const bool narrow = Fits(name, shares[i], 330), wide = Fits(name, shares[i], 1050);
    if (narrow || wide)
      Append(out, "<text class=\"c{}{}\" x=\"{}\" y=\"16\">{}</text>", narrow ? "" : " wid",
             step.kind == StepKind::kCompute ? "" : " inv", Percent(at + shares[i] / 2), name);
    at += shares[i];
  }
  *out += "</svg>\n";
  if (list) {
    *out += "<ol class=\"ops\">";
    for (uint32_t i = folded.first.begin; i < folded.first.end; ++i) {
      const StepFacts& step = stage.steps[i];
      Append(out, "<li class=\"{}\">{} <small>{}</small></li>", StepClass(step), plan::EnumNameOpKind(step.op),
             HumanBytes(step.bytes()));
    }
    *out += "</ol>";
  }
  *out += "</div>\n";
}

// What a row of the table says of its step beside its numbers.
std::string Remarks(const verify::StageView& stage, const StepFacts& facts) {
  const plan::Step& step = stage.steps[facts.index];
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (facts.kind == StepKind::kCollective && step.attr() < stage.collectives.size()) {
    const plan::Collective& c = stage.collectives[step.attr()];
    add(fmt::format("group {}, entry {}, {}", c.group(), c.order(), plan::EnumNameCollectiveAlgorithm(c.algorithm())));
  }
  if (facts.kind == StepKind::kTransfer && step.attr() < stage.transfers.size()) {
    const plan::Transfer& t = stage.transfers[step.attr()];
    add(fmt::format("{} stage {}, entry {}", facts.op == plan::OpKind::send ? "to" : "from", t.peer_stage(),
                    t.order()));
  }
  constexpr size_t kShown = 4;
  size_t weights = 0;
  std::string names;
  for (const plan::Ref& ref : stage.Operands(step)) {
    if (ref.space() != plan::RefSpace::weight || ++weights > kShown) continue;
    Append(&names, "{}<code>{}</code>", names.empty() ? "" : ", ",
           Text(stage.Name(stage.weights[ref.index()].name()), 64));
  }
  if (weights > 0) add(weights > kShown ? fmt::format("{} and {} more", names, weights - kShown) : names);
  if (std::ranges::binary_search(stage.joined, facts.index)) add("in one launch with the step before it");
  if (facts.variant != plan::Variant::always) add(fmt::format("only for {}", plan::EnumNameVariant(facts.variant)));
  return text;
}

std::string After(const verify::StageView& stage, const plan::Step& step) {
  constexpr size_t kShown = 4;
  const std::span<const uint32_t> deps = stage.Deps(step);
  const std::string text = fmt::format("{}", fmt::join(deps.subspan(0, std::min(deps.size(), kShown)), ", "));
  return deps.size() > kShown ? fmt::format("{} and {} more", text, deps.size() - kShown) : text;
}

void AppendStepTable(const PageFacts& facts, const StageFacts& stage, uint64_t* rows_left, std::string* out) {
  verify::Budget budget;
  const verify::StageView view(*facts.plan, stage.index, &budget);
  Table table(out, rows_left, fmt::format("t-steps-{}", stage.index),
              facts.stages.size() == 1 ? fmt::format("Steps ({})", stage.steps.size())
                                       : fmt::format("Steps of stage {} ({})", stage.index, stage.steps.size()),
              {{"step", true},
               {"operation"},
               {"name"},
               {"layer", true},
               {"weights, bytes", true},
               {"operands and results, bytes", true},
               {"after step", true},
               {"remarks"}});
  for (const StepFacts& step : stage.steps) {
    if (!table.Row()) continue;
    Append(out,
           "<tr><th scope=\"row\">{}</th><td "
           "class=\"{}\">{}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
           step.index, StepClass(step), plan::EnumNameOpKind(step.op), Text(step.name),
           step.layer < 0 ? "" : fmt::format("{}", step.layer), step.weight_bytes, step.buffer_bytes,
           After(view, view.steps[step.index]), Remarks(view, step));
  }
}

// A plan holds times of whole steps at most.
std::string PredictedTimes(const PageFacts& facts) {
  std::string text;
  size_t count = 0;
  for (const plan::Prediction* p : *facts.plan->predictions()) {
    if (p->unit()->string_view() != "ns" || ++count > 8) continue;
    Append(&text, " Predicted <bdi>{}</bdi>: {:.3f} ms ({:.3f} to {:.3f}).", Text(p->name()->string_view()),
           static_cast<double>(p->expected()) / 1e6, static_cast<double>(p->low()) / 1e6,
           static_cast<double>(p->high()) / 1e6);
  }
  return count == 0 ? " The plan predicts no times." : text;
}

}  // namespace

void AppendSchedule(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  constexpr size_t kMaxSegments = 64, kMaxSegmentSteps = 4000, kMaxLists = 24;
  BeginSection(out, "schedule", "Schedule of one forward");
  const plan::Bucket& bucket = facts.stages[0].smallest;
  Append(
      out,
      "<p>Widths are <strong>bytes</strong> that a rank reads and writes in a step (weights, operands and results; not "
      "the KV cache, which grows with the context) "
      "where up to {} run: the smallest batch.{}</p>\n",
      Count(bucket.tokens(), "token"), PredictedTimes(facts));
  *out +=
      "<figure><ul class=\"key\"><li class=\"oe\">layer, even</li><li class=\"oo\">layer, odd</li><li class=\"ov\">of "
      "no layer</li><li class=\"sx\">collective</li>";
  if (facts.stages.size() > 1) *out += "<li class=\"st\">transfer between stages</li>";
  *out += "</ul>\n";
  const std::vector<std::vector<LanePiece>> lanes = LanesOf(facts);
  for (size_t s = 0; s < std::min(lanes.size(), kMaxLanes); ++s) AppendLane(facts.stages[s], lanes[s], out);
  *out += "<figcaption>All steps in their order, to one scale; a stage begins when the one before it has sent.";
  if (lanes.size() > kMaxLanes) Append(out, " {} more stages are in the tables only.", lanes.size() - kMaxLanes);
  *out += "</figcaption></figure>\n";

  const std::vector<FoldedSegment> folded = FoldSegments(facts);
  uint64_t scale = 1;
  for (const FoldedSegment& segment : folded) scale = std::max(scale, segment.bytes);
  *out +=
      "<figure><h3>The same, closer: what is alike is drawn once</h3>\n<ul class=\"key\"><li "
      "class=\"sm\">product</li><li class=\"sa\">attention</li><li class=\"sc\">other</li><li "
      "class=\"sx\">collective</li>";
  if (facts.stages.size() > 1) *out += "<li class=\"st\">transfer</li>";
  *out += "</ul>\n";
  size_t drawn = 0, step_count = 0;
  for (const FoldedSegment& segment : folded) {
    step_count += segment.first.end - segment.first.begin;
    if (drawn == kMaxSegments || step_count > kMaxSegmentSteps) break;
    AppendSegment(facts, segment, scale, drawn < kMaxLists, out);
    ++drawn;
  }
  *out += "<figcaption>To one scale; a step is drawn at least 0.6 % wide.";
  if (drawn < folded.size()) Append(out, " {} more kinds are in the tables only.", folded.size() - drawn);
  *out += "</figcaption></figure>\n";
  for (const StageFacts& stage : facts.stages) {
    AppendStepTable(facts, stage, rows_left, out);
  }
  EndSection(out);
}

}  // namespace mrs::html
