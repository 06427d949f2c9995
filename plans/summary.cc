// PlanSummary: what a person wants to know before the first token.
#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "plans/append.h"
#include "plans/collectives.h"
#include "plans/dtype.h"
#include "plans/nccl_memory.h"
#include "plans/printable.h"
#include "plans/rank_memory.h"
#include "plans/text.h"
#include "plans/verify.h"
#include "plans/verify/context.h"

namespace mrs {
namespace {

using verify::SatAdd;
using verify::SatMul;
using verify::StageView;

// Collectives of one forward in one variant, and the bytes one rank contributes to them per token.
std::string CollectiveLine(const StageView& stage, plan::Variant variant) {
  uint64_t reduces = 0;
  uint64_t gathers = 0;
  uint64_t reduce_bytes_per_token = 0;
  for (const plan::Step& step : stage.steps) {
    if (!verify::RunsIn(step, variant)) continue;
    if (step.op() == plan::OpKind::all_gather) ++gathers;
    if (step.op() != plan::OpKind::all_reduce) continue;
    ++reduces;
    const plan::Collective& entry = stage.collectives[step.attr()];
    if (entry.rows() == plan::Rows::tokens) reduce_bytes_per_token += entry.row_elements() * ByteSize(entry.dtype());
  }
  if (reduces + gathers == 0) return "none";
  return fmt::format("{} all-reduce ({} a token), {} all-gather", reduces, HumanBytes(reduce_bytes_per_token), gathers);
}

bool SharesDevices(const plan::Plan& plan) {
  std::set<std::pair<uint32_t, uint32_t>> places;
  for (const plan::Rank* rank : *plan.ranks()) {
    if (!places.emplace(rank->node(), rank->device()).second) return true;
  }
  return false;
}

// What carries what CUDA ranks tell each other, and what it costs; of a forward that wants candidates.
std::string GpusTalkLine(const plan::Plan& plan, verify::Budget* budget) {
  uint64_t most_exchanges = 0, most_out = 0, most_in = 0;  // of a rank, in bytes a token
  uint64_t most_communicators = 0;                         // of a rank
  uint64_t most_summed = 0;                                // of a rank, in bytes a token; of what may go in shares
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const StageView stage(plan, s, budget);
    uint64_t exchanges = 0, out = 0, in = 0, summed = 0;
    for (const plan::Step& step : stage.steps) {
      if (!verify::RunsIn(step, plan::Variant::candidates)) continue;
      const bool sums = step.op() == plan::OpKind::all_reduce, gathers = step.op() == plan::OpKind::all_gather;
      const bool sends = step.op() == plan::OpKind::send, receives = step.op() == plan::OpKind::recv;
      if (!sums && !gathers && !sends && !receives) continue;
      ++exchanges;
      const auto bytes = [&](const auto& entry) { return SatMul(entry.row_elements(), ByteSize(entry.dtype())); };
      const uint64_t of_row =
          sums || gathers ? bytes(stage.collectives[step.attr()]) : bytes(stage.transfers[step.attr()]);
      if (sums) summed = SatAdd(summed, of_row);
      if (!receives) out = SatAdd(out, of_row);
      if (!sends) in = SatAdd(in, gathers ? SatMul(of_row, plan.tp()) : of_row);
    }
    most_communicators = std::max(most_communicators, stage.stage.communicators_bytes());
    most_exchanges = std::max(most_exchanges, exchanges);
    most_out = std::max(most_out, out);
    most_in = std::max(most_in, in);
    const NcclRank rank = {.tp = plan.tp(), .first = s == 0, .last = s + 1 == plan.stages()->size()};
    if (CountsNcclShares(static_cast<int64_t>(stage.stage.communicators_bytes()), rank)) {
      most_summed = std::max(most_summed, summed);
    }
  }
  const Collectives collectives = CollectivesOf(plan);
  if (SumsByPeers(collectives)) {
    return fmt::format(
        "{}: {} times a forward, {} inside of its graphs, by each other's memory; {} a sequence put by a rank "
        "and up to {} read, a decode; {} of buffers a rank; {}has not run on a device yet",
        CollectivesName(collectives), most_exchanges,
        HandsOnByPeers(collectives) ? "all" : "but for what stages hand on (staged),", HumanBytes(most_out),
        HumanBytes(SatMul(std::max(most_out, most_in), plan.tp())), HumanBytes(most_communicators),
        SharesDevices(plan) ? "ranks share a GPU, on which they take turns: for tests; " : "");
  }
  if (collectives == Collectives::kNccl) {
    const std::string in_shares = most_summed == 0
                                      ? ""
                                      : fmt::format("; large sums in shares, two steps for one, {} a token into a rank",
                                                    HumanBytes(SatMul(most_summed, 2 * (plan.tp() - 1)) / plan.tp()));
    return fmt::format(
        "nccl: {} times a forward, inside of its graphs; sums are gathered whole and added in the plan's order, {} a "
        "sequence out of a rank and up to {} into it, a decode{}; NCCL {} a rank, and has not run on a device yet",
        most_exchanges, HumanBytes(most_out), HumanBytes(SatMul(std::max(most_out, most_in), plan.tp())), in_shares,
        HumanBytes(most_communicators));
  }
  return fmt::format(
      "staged: through pinned memory of their hosts, {} times a forward, at each of which a GPU waits and a graph is "
      "cut; "
      "{} a sequence out of a rank and {} into it, a decode",
      most_exchanges, HumanBytes(most_out), HumanBytes(most_in));
}

// How an answer is drawn and where it ends, unless a request says otherwise.
std::string AnswersLine(const plan::Model& model) {
  const plan::SamplingDefaults& sampling = *model.sampling();
  std::string text = sampling.temperature() == 0 ? "greedy" : fmt::format("temperature {}", sampling.temperature());
  if (sampling.temperature() != 0) {
    if (sampling.top_p() < 1) text += fmt::format(", top_p {}", sampling.top_p());
    if (sampling.top_k() > 0) text += fmt::format(", top_k {}", sampling.top_k());
    if (sampling.min_p() > 0) text += fmt::format(", min_p {}", sampling.min_p());
  }
  if (sampling.max_tokens() > 0) text += fmt::format(", at most {} tokens", sampling.max_tokens());
  if (model.eos()->size() == 0) return text + ", no token ends one";
  const uint32_t shown = std::min<uint32_t>(model.eos()->size(), 8);
  return fmt::format("{}, end at token{} {}{}", text, model.eos()->size() == 1 ? "" : "s",
                     fmt::join(model.eos()->begin(), model.eos()->begin() + shown, ", "),
                     shown < model.eos()->size() ? ", ..." : "");
}

// Where several are one.
std::string LaunchesText(const StageView& stage) {
  if (stage.joined.empty()) return "";
  return fmt::format(" in {} launches", stage.steps.size() - stage.joined.size());
}

}  // namespace

std::string HumanBytes(uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", value, value < 10 ? 2 : value < 100 ? 1 : 0, kUnits[unit]);
}

std::string HumanCount(uint64_t count) {
  const double value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.3g}B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.3g}M", value / 1e6);
  return fmt::format("{}", count);
}

std::string NumericsText(const plan::Numerics& numerics) {
  const std::string_view given_up = numerics.chain() == plan::Chain::fast
                                        ? " (products and attention of many rows by tensor cores: near a CPU's bits, "
                                          "not the same, and not the same in every batch; --numerics pair2 has both)"
                                        : "";
  return fmt::format("{}{}, {} sums, weights {}, revision {}", plan::EnumNameChain(numerics.chain()), given_up,
                     plan::EnumNameReduction(numerics.reduction()), plan::EnumNameDType(numerics.weight_dtype()),
                     numerics.revision());
}

std::string PlanSummary(const plan::Plan& plan, std::string_view name) {
  const plan::Model& model = *plan.model();
  std::string out;
  const auto line = [&](std::string_view what, const std::string& text) { Append(&out, "{:<12} {}\n", what, text); };
  line("plan", std::string(name));
  line("model", fmt::format("{} ({}), {} parameters, {} layers, hidden {}, {} heads ({} KV) of {}",
                            Printable(model.name()->string_view()), Printable(model.architecture()->string_view()),
                            HumanCount(model.parameter_count()), model.layer_count(), model.hidden(), model.heads(),
                            model.kv_heads(), model.head_dim()));
  line("layout",
       fmt::format("{} rank{}: tp {}, dp {}, {} stage{}", plan.ranks()->size(), plan.ranks()->size() == 1 ? "" : "s",
                   plan.tp(), plan.dp(), plan.stages()->size(), plan.stages()->size() == 1 ? "" : "s"));
  line("numerics", NumericsText(*plan.numerics()));
  line("answers", AnswersLine(model));
  line("limits", fmt::format("{} tokens a sequence, {} sequences at once", plan.max_len(), plan.max_seqs()));
  verify::Budget budget;
  for (uint32_t s = 0; s < plan.stages()->size(); ++s) {
    const StageView stage(plan, s, &budget);
    const plan::Stage& facts = stage.stage;
    if (plan.stages()->size() > 1) {
      line("stage", fmt::format("{}: layers {} to {} on ranks {} to {}", s, facts.layer_begin(), facts.layer_end() - 1,
                                s * plan.tp(), (s + 1) * plan.tp() - 1));
    }
    const RankMemory memory = MemoryOf(facts);
    line("memory", fmt::format("{} a rank: {}", HumanBytes(memory.Total()), MemoryText(memory, HumanBytes)));
    std::vector<uint32_t> tokens;
    for (const plan::Bucket& bucket : stage.buckets) tokens.push_back(bucket.tokens());
    line("batches", fmt::format("{} tokens", fmt::join(tokens, ", ")));
    line("program", fmt::format("{} steps{}, {} buffers, {} weights", stage.steps.size(), LaunchesText(stage),
                                stage.buffers.size(), stage.weights.size()));
    line("collectives", CollectiveLine(stage, plan::Variant::candidates));
    for (const plan::KvClass& cache : stage.kv_classes) {
      line("KV cache", fmt::format("{}{} blocks of {} tokens, {} each, for {} tokens in all",
                                   cache.window() == 0 ? "" : fmt::format("window {}: ", cache.window()),
                                   cache.block_count(), cache.block_tokens(), HumanBytes(cache.block_bytes()),
                                   cache.block_count() * cache.block_tokens()));
    }
  }
  if (plan.ranks()->size() > 1 && plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda) {
    line("GPUs talk", GpusTalkLine(plan, &budget));
  }
  for (const plan::Prediction* p : *plan.predictions()) {
    line("predicted", fmt::format("{}: {} {} ({} to {}), {}", Printable(p->name()->string_view()), p->expected(),
                                  Printable(p->unit()->string_view()), p->low(), p->high(),
                                  Printable(p->provenance()->string_view())));
  }
  std::vector<std::string> proofs;
  for (const plan::Certificate* c : *plan.certificates()) {  // plans/verify has just passed: it is OpenPlan's plan
    proofs.push_back(fmt::format("{} ({})", Printable(c->name()->string_view()),
                                 c->name()->string_view() == kVerifyName ? "checked now" : "as the file says"));
  }
  line("certificates", fmt::format("{}", fmt::join(proofs, ", ")));
  return out;
}

}  // namespace mrs
