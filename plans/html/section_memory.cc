// What every rank holds, against what it may use.
#include <algorithm>
#include <map>
#include <optional>

#include "plans/append.h"
#include "plans/html/markup.h"
#include "plans/html/sections.h"
#include "plans/text.h"
#include "plans/verify/context.h"

namespace mrs::html {
namespace {

// One bar: ranks that hold and may use the same.
struct Bar {
  uint32_t first_rank = 0;
  uint64_t rank_count = 0;
  const StageFacts* stage = nullptr;
  std::optional<uint64_t> budget_bytes;
};

// A bar a rank; of more than 128 ranks one for all that are alike, and the first 128 of these.
constexpr size_t kMaxBars = 128;

std::vector<Bar> BarsOf(const PageFacts& facts) {
  std::vector<Bar> bars;
  std::map<std::pair<uint32_t, std::optional<uint64_t>>, size_t> known;
  for (const RankFacts& rank : facts.ranks) {
    const Bar bar{.first_rank = rank.rank,
                  .rank_count = 1,
                  .stage = &facts.stages[rank.at.stage()],
                  .budget_bytes = rank.budget_bytes};
    if (facts.ranks.size() <= kMaxBars) {
      bars.push_back(bar);
      continue;
    }
    const auto [at, is_new] = known.emplace(std::pair(rank.at.stage(), rank.budget_bytes), bars.size());
    if (is_new) {
      bars.push_back(bar);
    } else {
      ++bars[at->second].rank_count;
    }
  }
  return bars;
}

// Widths in 1/1000 of the bar, side by side; what is there is at least 2 wide.
void AppendPart(std::string_view css, uint64_t part, uint64_t whole, double* at, std::string* out) {
  if (part == 0 || whole == 0) return;
  const double width =
      std::clamp(1000 * static_cast<double>(part) / static_cast<double>(whole), 2.0, std::max(2.0, 1000 - *at));
  Append(out, "<rect class=\"{}\" x=\"{:.1f}\" width=\"{:.1f}\" height=\"10\"/>", css, *at, width);
  *at += width;
}

void AppendParts(const RankMemory& memory, uint64_t whole, std::string* out) {
  double at = 0;
  AppendPart("mw", memory.weights, whole, &at, out);
  AppendPart("mk", memory.kv, whole, &at, out);
  AppendPart("ma", memory.activations, whole, &at, out);
  AppendPart("mc", memory.Beside(), whole, &at, out);
}

void AppendBar(const Bar& bar, uint64_t most_used, std::string* out) {
  const StageFacts& stage = *bar.stage;
  const uint64_t whole = std::max(bar.budget_bytes.value_or(most_used), stage.memory.Total());
  Append(out, "<li><span>{}</span>",
         bar.rank_count == 1 ? fmt::format("rank {}", bar.first_rank)
                             : fmt::format("rank {} and {} alike", bar.first_rank, bar.rank_count - 1));
  *out += "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">";
  AppendParts(stage.memory, whole, out);
  *out += "</svg>";
  if (bar.budget_bytes.has_value()) {
    Append(out, "<span>{} of {}</span></li>\n", HumanBytes(stage.memory.Total()), HumanBytes(*bar.budget_bytes));
  } else {
    Append(out, "<span>{}</span></li>\n", HumanBytes(stage.memory.Total()));
  }
}

// The same by stage, to the scale of what is used: a budget may be much more.
void AppendStageBars(const PageFacts& facts, uint64_t most_used, std::string* out) {
  *out += "<h3>What a rank of each stage holds, to the scale of the fullest</h3>\n<ol class=\"bars one\">\n";
  for (size_t s = 0; s < std::min(facts.stages.size(), kMaxLanes); ++s) {
    const StageFacts& stage = facts.stages[s];
    Append(out,
           "<li><span>stage {}</span><svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" "
           "aria-hidden=\"true\">",
           stage.index);
    AppendParts(stage.memory, most_used, out);
    Append(out, "</svg><span>{} weights, {} KV, {} activations{}</span></li>\n", HumanBytes(stage.memory.weights),
           HumanBytes(stage.memory.kv), HumanBytes(stage.memory.activations),
           stage.memory.Beside() == 0 ? "" : fmt::format(", {} CUDA and exchanges", HumanBytes(stage.memory.Beside())));
  }
  *out += "</ol>\n";
  if (facts.stages.size() > kMaxLanes)
    Append(out, "<p>{} more stages are in the table only.</p>\n", facts.stages.size() - kMaxLanes);
}

void AppendRankTable(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  Table table(out, rows_left, "t-memory", fmt::format("Memory of each rank, in bytes ({})", facts.ranks.size()),
              {{"rank", true},
               {"stage", true},
               {"weights", true},
               {"KV", true},
               {"activations", true},
               {"CUDA, NCCL", true},
               {"all", true},
               {"may use", true},
               {"used", true}});
  for (const RankFacts& rank : facts.ranks) {
    if (!table.Row()) continue;
    const StageFacts& stage = facts.stages[rank.at.stage()];
    Append(
        out,
        "<tr><th "
        "scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</"
        "td></tr>\n",
        rank.rank, stage.index, stage.memory.weights, stage.memory.kv, stage.memory.activations, stage.memory.Beside(),
        stage.memory.Total(), rank.budget_bytes.has_value() ? fmt::format("{}", *rank.budget_bytes) : "not said",
        rank.budget_bytes.value_or(0) == 0 ? ""
                                           : fmt::format("{:.1f} %", 100 * static_cast<double>(stage.memory.Total()) /
                                                                         static_cast<double>(*rank.budget_bytes)));
  }
}

void AppendKvTable(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  size_t count = 0;
  for (const StageFacts& stage : facts.stages) count += stage.stage->kv_classes()->size();
  if (count == 0) return;
  Table table(out, rows_left, "t-kv",
              fmt::format("KV cache ({})", fmt::format("{} class{}", count, count == 1 ? "" : "es")),
              {{"stage", true},
               {"class", true},
               {"window"},
               {"layers", true},
               {"KV heads", true},
               {"K", true},
               {"V", true},
               {"type"},
               {"blocks", true},
               {"tokens a block", true},
               {"bytes a block", true},
               {"blocks a sequence", true}});
  for (const StageFacts& stage : facts.stages) {
    uint32_t number = 0;
    for (const plan::KvClass& c : verify::View(stage.stage->kv_classes())) {
      if (!table.Row()) continue;
      Append(out,
             "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</"
             "td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
             stage.index, number++, c.window() == 0 ? "all tokens" : fmt::format("{} tokens", c.window()),
             c.layer_count(), c.kv_heads(), c.k_dim(), c.v_dim(), plan::EnumNameDType(c.dtype()), c.block_count(),
             c.block_tokens(), c.block_bytes(), c.sequence_blocks());
    }
  }
}

void AppendBucketTable(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  Table table(
      out, rows_left, "t-buckets", "Batch sizes that have addresses",
      {{"stage", true}, {"tokens", true}, {"sequences", true}, {"logit rows", true}, {"activations, bytes", true}});
  for (const StageFacts& stage : facts.stages) {
    for (const plan::Bucket& b : verify::View(stage.stage->buckets())) {
      if (!table.Row()) continue;
      Append(out, "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", stage.index, b.tokens(),
             b.sequences(), b.logit_rows(), b.arena_bytes());
    }
  }
}

}  // namespace

void AppendMemory(const PageFacts& facts, uint64_t* rows_left, std::string* out) {
  BeginSection(out, "memory", "Memory of each rank");
  const std::vector<Bar> bars = BarsOf(facts);
  uint64_t most_used = 0;
  bool has_budgets = false, has_cuda = false;
  for (const Bar& bar : bars) {
    has_cuda |= bar.stage->memory.Beside() > 0;
    most_used = std::max(most_used, bar.stage->memory.Total());
    has_budgets |= bar.budget_bytes.has_value();
  }
  *out +=
      "<figure><ul class=\"key\"><li class=\"mw\">weights</li><li class=\"mk\">KV cache</li><li "
      "class=\"ma\">activations</li>";
  if (has_cuda) *out += "<li class=\"mc\">CUDA and exchanges</li>";
  if (has_budgets) *out += "<li class=\"mf\">free</li>";
  *out += "</ul>\n<ol class=\"bars\">\n";
  for (size_t i = 0; i < std::min(bars.size(), kMaxBars); ++i) AppendBar(bars[i], most_used, out);
  *out += "</ol>\n";
  AppendStageBars(facts, most_used, out);
  Append(out, "<figcaption>{}{} What there is of a kind is drawn at least 0.2 % wide.</figcaption></figure>\n",
         has_budgets ? "A bar is all that a rank may use."
                     : "The plan does not say what a rank may use: the widest bar is the rank that uses most.",
         bars.size() > kMaxBars ? fmt::format(" {} more bars are in the table only.", bars.size() - kMaxBars) : "");
  AppendRankTable(facts, rows_left, out);
  AppendKvTable(facts, rows_left, out);
  AppendBucketTable(facts, rows_left, out);
  EndSection(out);
}

}  // namespace mrs::html
