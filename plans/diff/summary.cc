#include "plans/diff/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "plans/dtype.h"
#include "plans/verify/context.h"

namespace mrs::diff {
namespace {

Layout LayoutOf(const plan::Plan& plan) {
  Layout layout{
      .ranks = plan.ranks()->size(), .tp = plan.tp(), .ep = plan.ep(), .dp = plan.dp(), .layers = {}, .devices = {}};
  for (const plan::Stage* stage : *plan.stages()) layout.layers.emplace_back(stage->layer_begin(), stage->layer_end());
  for (const plan::Rank* rank : *plan.ranks()) {
    layout.devices.push_back(
        fmt::format("node {} {} {}", rank->node(), plan::EnumNameDeviceKind(rank->kind()), rank->device()));
  }
  return layout;
}

std::string_view RowOf(plan::Rows rows) {
  switch (rows) {
    case plan::Rows::tokens:
      return "a token";
    case plan::Rows::sequences:
      return "a sequence";
    case plan::Rows::logit_rows:
      return "a logit row";
    case plan::Rows::one:
      break;
  }
  return "a forward";
}

struct Sum {
  uint64_t count = 0;
  uint64_t row_bytes = 0;
  std::set<uint32_t> group_sizes;
};

std::map<std::string, Sum> TalksOf(const plan::Plan& plan) {
  std::map<std::string, Sum> talks;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    verify::Budget budget;
    const verify::StageView stage(plan, s, &budget);
    for (uint32_t i = 0; i < stage.steps.size(); ++i) {
      const plan::Step& step = stage.steps[i];
      const std::string only = step.variant() == plan::Variant::always
                                   ? ""
                                   : fmt::format(", only {}", plan::EnumNameVariant(step.variant()));
      const char* op = plan::EnumNameOpKind(step.op());
      switch (step.op()) {
        case plan::OpKind::all_reduce:
        case plan::OpKind::all_gather: {
          const plan::Collective& entry = stage.collectives[step.attr()];
          Sum& sum = talks[fmt::format("{} {} {} {}{}", op, plan::EnumNameCollectiveAlgorithm(entry.algorithm()),
                                       plan::EnumNameDType(entry.dtype()), RowOf(entry.rows()), only)];
          ++sum.count;
          sum.row_bytes += entry.row_elements() * ByteSize(entry.dtype());
          sum.group_sizes.insert(plan.groups()->Get(entry.group())->count());
          break;
        }
        case plan::OpKind::send:
        case plan::OpKind::recv: {
          const plan::Transfer& entry = stage.transfers[step.attr()];
          Sum& sum =
              talks[fmt::format("{} {} {}{}", op, plan::EnumNameDType(entry.dtype()), RowOf(entry.rows()), only)];
          ++sum.count;
          sum.row_bytes += entry.row_elements() * ByteSize(entry.dtype());
          break;
        }
        default:
          break;
      }
    }
  }
  return talks;
}

Memory MemoryOf(const plan::Plan& plan, uint32_t rank) {
  if (rank >= plan.ranks()->size()) return {};
  const plan::Stage& stage = *plan.stages()->Get(plan.ranks()->Get(rank)->stage());
  const auto& allowed = *plan.cluster()->memory_bytes();
  return {.needs = mrs::MemoryOf(stage), .allowed = rank < allowed.size() ? allowed.Get(rank) : 0};
}

}  // namespace

Summary Summarize(const plan::Plan& a, const plan::Plan& b) {
  Summary out{.layout_a = LayoutOf(a),
              .layout_b = LayoutOf(b),
              .moved = MovedBetween(a, b),
              .talks = {},
              .memory = {},
              .ops = {}};
  const auto print_a = a.model()->fingerprint(), print_b = b.model()->fingerprint();
  out.other_model = !std::ranges::equal(*print_a, *print_b);

  std::map<std::string, Talk> talks;
  for (const auto& [what, sum] : TalksOf(a)) {
    talks[what].count_a = sum.count;
    talks[what].row_bytes_a = sum.row_bytes;
    talks[what].group_sizes_a.assign(sum.group_sizes.begin(), sum.group_sizes.end());
  }
  for (const auto& [what, sum] : TalksOf(b)) {
    talks[what].count_b = sum.count;
    talks[what].row_bytes_b = sum.row_bytes;
    talks[what].group_sizes_b.assign(sum.group_sizes.begin(), sum.group_sizes.end());
  }
  for (auto& [what, talk] : talks) {
    talk.what = what;
    out.talks.push_back(std::move(talk));
  }

  for (uint32_t rank = 0; rank < std::max(a.ranks()->size(), b.ranks()->size()); ++rank) {
    const Memory of_a = MemoryOf(a, rank), of_b = MemoryOf(b, rank);
    if (!out.memory.empty() && out.memory.back().a == of_a && out.memory.back().b == of_b) {
      out.memory.back().last = rank;
    } else {
      out.memory.push_back({.first = rank, .last = rank, .a = of_a, .b = of_b});
    }
  }

  std::map<plan::OpKind, OpCount> ops;
  for (const plan::Stage* stage : *a.stages()) {
    for (const plan::Step* step : *stage->steps()) ++ops[step->op()].a;
  }
  for (const plan::Stage* stage : *b.stages()) {
    for (const plan::Step* step : *stage->steps()) ++ops[step->op()].b;
  }
  for (auto& [op, count] : ops) {
    count.op = plan::EnumNameOpKind(op);
    out.ops.push_back(std::move(count));
  }
  return out;
}

}  // namespace mrs::diff
