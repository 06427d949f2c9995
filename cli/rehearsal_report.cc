#include "cli/rehearsal_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "formats/json.h"
#include "plans/dtype.h"
#include "plans/rank_memory.h"
#include "plans/text.h"

namespace mrs::cli {
namespace {

constexpr const char* kFormat = "mrs-rehearsal 1";
constexpr size_t kMostLinks = 12;  // of which each has a line

const char* VariantName(Variant variant) { return variant == Variant::kCandidates ? "candidates" : "all logits"; }

std::string TimeText(uint64_t ns) {
  const double value = static_cast<double>(ns);
  if (ns < 1'000'000) return fmt::format("{:.2f} us", value / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.2f} ms", value / 1e6);
  return fmt::format("{:.2f} s", value / 1e9);
}

std::string RateText(uint64_t bytes_per_second) {
  return fmt::format("{:.3g} GB/s", static_cast<double>(bytes_per_second) / 1e9);
}

std::string Describe(const Exchange& exchange) {
  const std::string kind = exchange.kind == ExchangeKind::kAllReduce
                               ? fmt::format("all-reduce ({})", plan::EnumNameCollectiveAlgorithm(exchange.algorithm))
                               : ExchangeName(exchange.kind);
  return fmt::format("{} of {}", kind, HumanBytes(exchange.bytes));
}

// "layers 0 to 79 of 80", "layers 0 and 5 of 26".
std::string LayersText(const plan::Plan& plan, const std::vector<uint32_t>& layers) {
  const uint32_t all = plan.model()->layer_count();
  if (layers.size() == all) return fmt::format("all {} layers", all);
  std::string list;
  for (size_t i = 0; i < layers.size(); ++i) {
    list += fmt::format("{}{}", i == 0 ? "" : i + 1 == layers.size() ? " and " : ", ", layers[i]);
  }
  return fmt::format("layer{} {} of {}", layers.size() == 1 ? "" : "s", list, all);
}

std::vector<uint32_t> LayersOf(const plan::Plan& plan, RehearsalScope scope) {
  std::vector<uint32_t> layers;
  for (const plan::Stage* stage : *plan.stages()) {
    const std::vector<uint32_t> of_stage = RehearsedStageOf(*stage, scope).layers;
    layers.insert(layers.end(), of_stage.begin(), of_stage.end());
  }
  return layers;
}

// Of all ranks.
uint64_t WeightBytes(const plan::Plan& plan, RehearsalScope scope) {
  uint64_t bytes = 0;
  for (const plan::Rank* rank : *plan.ranks()) {
    bytes += RehearsedStageOf(*plan.stages()->Get(rank->stage()), scope).weight_bytes;
  }
  return bytes;
}

std::string MemoryText(const plan::Plan& plan, const Rehearsed& rehearsed) {
  const NodeNeed need = NeedOfNode(plan, /*node=*/0);
  if (plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda) {
    uint64_t most = 0;
    for (const plan::Stage* stage : *plan.stages()) most = std::max(most, MemoryOf(*stage).Total());
    const std::string on_host =
        fmt::format("weights pass through {} of this host, which has {} and {} of it free", HumanBytes(need.now_bytes),
                    HumanBytes(rehearsed.host.total_bytes), HumanBytes(rehearsed.host.free_bytes));
    return rehearsed.scope == RehearsalScope::kAll
               ? fmt::format("fits: {} at most of a GPU, which each had free; {}", HumanBytes(most), on_host)
               : fmt::format("NOT checked: the plan takes {} at most of a GPU; {}", HumanBytes(most), on_host);
  }
  const std::string numbers = fmt::format(
      "{} for {} rank{} ({} of it KV), this host has {} and {} of it free", HumanBytes(need.now_bytes + need.kv_bytes),
      need.rank_count, need.rank_count == 1 ? "" : "s", HumanBytes(need.kv_bytes),
      HumanBytes(rehearsed.host.total_bytes), HumanBytes(rehearsed.host.free_bytes));
  if (rehearsed.scope == RehearsalScope::kAll) return fmt::format("fits: {}", numbers);
  if (Fits(need, rehearsed.host)) return fmt::format("not rehearsed, but it fits: {}", numbers);
  return fmt::format("NOT checked: the plan takes {}; to serve it here would be refused", numbers);
}

// What the plan says beforehand of a step; it may say nothing.
const plan::Prediction* PredictionOf(const plan::Plan& plan, const RehearsedForward& forward) {
  if (forward.variant != Variant::kCandidates) return nullptr;
  const std::string name = fmt::format("step_time.{}", forward.tokens);
  for (const plan::Prediction* prediction : *plan.predictions()) {
    if (prediction->unit()->string_view() != "ns") continue;
    if (prediction->name()->string_view() == name) return prediction;
    if (forward.bucket == 0 && prediction->name()->string_view() == "step_time.decode") return prediction;
  }
  return nullptr;
}

uint64_t RowsOf(const RehearsedForward& forward, plan::Rows rows) {
  switch (rows) {
    case plan::Rows::one:
      break;
    case plan::Rows::tokens:
      return forward.tokens;
    case plan::Rows::sequences:
      return forward.sequences;
    case plan::Rows::logit_rows:
      return forward.logit_rows;
  }
  return 1;
}

std::optional<Exchange> ExchangeOf(const plan::Stage& stage, const plan::Step& step, const RehearsedForward& forward) {
  const bool sends = step.op() == plan::OpKind::send;
  if (sends || step.op() == plan::OpKind::recv) {
    const plan::Transfer& entry = *stage.transfers()->Get(step.attr());
    return Exchange{.kind = sends ? ExchangeKind::kSend : ExchangeKind::kRecv,
                    .bytes = RowsOf(forward, entry.rows()) * entry.row_elements() * ByteSize(entry.dtype())};
  }
  const bool gathers = step.op() == plan::OpKind::all_gather;
  if (!gathers && step.op() != plan::OpKind::all_reduce) return std::nullopt;
  const plan::Collective& entry = *stage.collectives()->Get(step.attr());
  return Exchange{.kind = gathers ? ExchangeKind::kAllGather : ExchangeKind::kAllReduce,
                  .algorithm = entry.algorithm(),
                  .bytes = RowsOf(forward, entry.rows()) * entry.row_elements() * ByteSize(entry.dtype())};
}

std::vector<LinkTimes> LinksOf(const Rehearsed& rehearsed) {
  std::vector<LinkTimes> links;
  for (const wire::Measured& rank : rehearsed.ranks) links.insert(links.end(), rank.links.begin(), rank.links.end());
  return links;
}

std::string NotRehearsed(const Rehearsed& rehearsed) {
  std::string text = "the weights' own bytes and files, the tokenizer, HTTP";
  if (rehearsed.scope == RehearsalScope::kLayers) {
    text += "; the other layers, other batch sizes, how long it takes to read weights from memory";
  }
  return text;
}

}  // namespace

std::vector<ExchangeLine> ExchangesOf(const plan::Plan& plan, const RehearsedForward& forward,
                                      const std::vector<wire::Measured>& ranks) {
  std::vector<ExchangeLine> lines;
  const auto other = forward.variant == Variant::kCandidates ? plan::Variant::all_logits : plan::Variant::candidates;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const plan::Stage& stage = *plan.stages()->Get(s);
    std::map<Exchange, uint64_t> counts;
    for (const plan::Step* step : *stage.steps()) {
      if (step->variant() == other) continue;
      if (const std::optional<Exchange> exchange = ExchangeOf(stage, *step, forward)) ++counts[*exchange];
    }
    for (const auto& [exchange, count] : counts) {
      ExchangeLine line{.stage = s, .exchange = exchange, .count = count};
      for (const wire::Measured& rank : ranks) {
        if (rank.rank >= plan.ranks()->size() || plan.ranks()->Get(rank.rank)->stage() != s) continue;
        for (const MeasuredExchange& measured : rank.exchanges) {
          if (measured.exchange != exchange) continue;
          const bool first = line.samples == 0;
          line.min_ns = first ? measured.min_ns : std::min(line.min_ns, measured.min_ns);
          line.median_ns = first ? measured.median_ns : std::min(line.median_ns, measured.median_ns);
          line.samples += measured.count;
        }
      }
      lines.push_back(line);
    }
  }
  return lines;
}

std::string RehearsalText(const plan::Plan& plan, std::string_view plan_sha256, const Rehearsed& rehearsed) {
  std::string text;
  const auto line = [&text](const char* name, const std::string& says) {
    text += fmt::format("{:<13} {}\n", name, says);
  };
  const bool all = rehearsed.scope == RehearsalScope::kAll;
  line("rehearsal", fmt::format("plan {}, {} rank{} x {} thread{}, transport {}, {}", plan_sha256, plan.ranks()->size(),
                                plan.ranks()->size() == 1 ? "" : "s", rehearsed.threads,
                                rehearsed.threads == 1 ? "" : "s", rehearsed.transport, rehearsed.isa));
  line("memory", MemoryText(plan, rehearsed));
  line("rehearsed",
       fmt::format(
           "{}, {}; {}", LayersText(plan, LayersOf(plan, rehearsed.scope)),
           all ? fmt::format("{} batch sizes, each with candidates and with all logits", rehearsed.forwards.size() / 2)
               : "the smallest batch, with candidates and with all logits, and the largest",
           all ? fmt::format("arenas as planned, {} of zeros for weights",
                             HumanBytes(WeightBytes(plan, rehearsed.scope)))
               : fmt::format("activations and KV as planned, {} of weights, which are zeros that take no memory",
                             HumanBytes(WeightBytes(plan, rehearsed.scope)))));
  line("not rehearsed", NotRehearsed(rehearsed));
  const std::vector<LinkTimes> links = LinksOf(rehearsed);
  if (links.empty()) {
    line("links", "none: one rank");
  } else {
    const LinkTimes slowest = *std::ranges::max_element(links, {}, &LinkTimes::latency_ns);
    const LinkTimes narrowest = *std::ranges::min_element(links, {}, &LinkTimes::bytes_per_second);
    line("links",
         fmt::format("{} checked by data, all whole; slowest {} (rank {} -> rank {}), narrowest {} (rank {} -> "
                     "rank {})",
                     links.size(), TimeText(slowest.latency_ns), slowest.from, slowest.to,
                     RateText(narrowest.bytes_per_second), narrowest.from, narrowest.to));
    for (const LinkTimes& link : links) {
      if (links.size() > kMostLinks) break;
      line("", fmt::format("rank {} -> rank {}: {}, {}", link.from, link.to, TimeText(link.latency_ns),
                           RateText(link.bytes_per_second)));
    }
  }
  for (const RehearsedForward& forward : rehearsed.forwards) {
    const plan::Prediction* predicted = PredictionOf(plan, forward);
    line(all ? "step" : "part of step",
         fmt::format("{} tokens of {} sequences, {} rows of {}: {} ({} at least, {} run{}){}", forward.tokens,
                     forward.sequences, forward.logit_rows, VariantName(forward.variant), TimeText(forward.median_ns),
                     TimeText(forward.min_ns), forward.runs, forward.runs == 1 ? "" : "s",
                     predicted == nullptr
                         ? ""
                         : fmt::format("; predicted {}", TimeText(static_cast<uint64_t>(predicted->expected())))));
  }
  std::map<std::tuple<uint32_t, Exchange, uint64_t>, ExchangeLine> exchanges;  // each once, whatever batch it is of
  for (const RehearsedForward& forward : rehearsed.forwards) {
    for (const ExchangeLine& exchange : ExchangesOf(plan, forward, rehearsed.ranks)) {
      exchanges.emplace(std::tuple(exchange.stage, exchange.exchange, exchange.count), exchange);
    }
  }
  for (const auto& [key, exchange] : exchanges) {
    line("exchange",
         fmt::format("{}{}, {} a step: {}", plan.stages()->size() == 1 ? "" : fmt::format("stage {}: ", exchange.stage),
                     Describe(exchange.exchange), exchange.count,
                     exchange.samples == 0
                         ? "not measured"
                         : fmt::format("{} ({} at least)", TimeText(exchange.median_ns), TimeText(exchange.min_ns))));
  }
  line("ok", fmt::format("rehearsed in {:.1f} s", rehearsed.seconds));
  return text;
}

std::string RehearsalJson(const plan::Plan& plan, std::string_view plan_sha256, const Rehearsed& rehearsed) {
  Json links = Json::array();
  for (const LinkTimes& link : LinksOf(rehearsed)) {
    links.push_back({{"from", link.from},
                     {"to", link.to},
                     {"latency_ns", link.latency_ns},
                     {"bytes_per_second", link.bytes_per_second}});
  }
  Json steps = Json::array();
  for (const RehearsedForward& forward : rehearsed.forwards) {
    Json exchanges = Json::array();
    for (const ExchangeLine& line : ExchangesOf(plan, forward, rehearsed.ranks)) {
      exchanges.push_back({{"stage", line.stage},
                           {"kind", ExchangeName(line.exchange.kind)},
                           {"algorithm", line.exchange.kind == ExchangeKind::kAllReduce
                                             ? Json(plan::EnumNameCollectiveAlgorithm(line.exchange.algorithm))
                                             : Json()},
                           {"bytes", line.exchange.bytes},
                           {"count", line.count},
                           {"samples", line.samples},
                           {"min_ns", line.samples == 0 ? Json() : Json(line.min_ns)},
                           {"median_ns", line.samples == 0 ? Json() : Json(line.median_ns)}});
    }
    const plan::Prediction* predicted = PredictionOf(plan, forward);
    steps.push_back({{"tokens", forward.tokens},
                     {"sequences", forward.sequences},
                     {"logit_rows", forward.logit_rows},
                     {"variant", forward.variant == Variant::kCandidates ? "candidates" : "all_logits"},
                     {"runs", forward.runs},
                     {"min_ns", forward.min_ns},
                     {"median_ns", forward.median_ns},
                     {"predicted_ns", predicted == nullptr ? Json() : Json(predicted->expected())},
                     {"exchanges", std::move(exchanges)}});
  }
  Json ranks = Json::array();
  for (const wire::Measured& rank : rehearsed.ranks) {
    const plan::Stage& stage = *plan.stages()->Get(plan.ranks()->Get(rank.rank)->stage());
    ranks.push_back({{"rank", rank.rank},
                     {"planned_bytes",
                      {{"weights", stage.weight_arena_bytes()},
                       {"activations", stage.activation_arena_bytes()},
                       {"kv", stage.kv_arena_bytes()}}},
                     {"rehearsed_weight_bytes", RehearsedStageOf(stage, rehearsed.scope).weight_bytes},
                     {"process_resident_bytes", rank.resident_bytes}});
  }
  const NodeNeed need = NeedOfNode(plan, /*node=*/0);
  const bool all = rehearsed.scope == RehearsalScope::kAll;
  return DumpJson({{"format", kFormat},
                   {"ok", true},
                   {"error", Json()},
                   {"plan_sha256", std::string(plan_sha256)},
                   {"seconds", rehearsed.seconds},
                   {"transport", rehearsed.transport},
                   {"threads", rehearsed.threads},
                   {"isa", rehearsed.isa},
                   {"scope", all ? "all" : "one layer of each kind"},
                   {"layers", LayersOf(plan, rehearsed.scope)},
                   {"not_rehearsed", NotRehearsed(rehearsed)},
                   {"memory",
                    {{"checked", all},
                     {"fits", Fits(need, rehearsed.host)},
                     {"needed_bytes", need.now_bytes + need.kv_bytes},
                     {"host_bytes", rehearsed.host.total_bytes},
                     {"host_free_bytes", rehearsed.host.free_bytes}}},
                   {"ranks", std::move(ranks)},
                   {"links", std::move(links)},
                   {"steps", std::move(steps)}}) +
         "\n";
}

std::string FailedRehearsalJson(std::string_view error, double seconds) {
  return DumpJson({{"format", kFormat}, {"ok", false}, {"error", std::string(error)}, {"seconds", seconds}}) + "\n";
}

}  // namespace mrs::cli
