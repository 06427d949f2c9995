#include "plans/html/findings.h"

#include <algorithm>
#include <optional>

#include "plans/html/markup.h"
#include "plans/text.h"
#include "plans/verify.h"
#include "plans/verify/context.h"

namespace mrs::html {
namespace {

using verify::SatAdd;
using verify::SatMul;

double ShareOf(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

// What a rank needs at the least: of the KV cache, which takes what there is and gives way, one sequence.
uint64_t LeastOf(const StageFacts& stage) {
  uint64_t sequence = 0;
  for (const plan::KvClass& cache : verify::View(stage.stage->kv_classes())) {
    sequence = SatAdd(sequence, SatMul(cache.sequence_blocks(), cache.block_bytes()));
  }
  return stage.memory.Total() - stage.memory.kv + std::min(stage.memory.kv, sequence);
}

// The rank whose least leaves least room. From 90 % on a change of anything is likely to be refused.
void Memory(const PageFacts& facts, std::vector<Finding>* out) {
  const RankFacts* tightest = nullptr;
  double share = 0;
  for (const RankFacts& rank : facts.ranks) {
    if (rank.budget_bytes.value_or(0) == 0) continue;
    const double of_rank = ShareOf(LeastOf(facts.stages[rank.at.stage()]), *rank.budget_bytes);
    if (tightest == nullptr || of_rank > share) {
      tightest = &rank;
      share = of_rank;
    }
  }
  if (tightest == nullptr) {
    out->push_back({Weighing::kNote, "memory", "The plan does not say what its ranks may use."});
    return;
  }
  const StageFacts& stage = facts.stages[tightest->at.stage()];
  out->push_back(
      {share < 90 ? Weighing::kGood : Weighing::kWarning, "memory",
       fmt::format("It fits: rank {} has least room, and uses {} of {} ({:.1f} %); with the KV cache of one sequence, "
                   "{} ({:.1f} %).",
                   tightest->rank, HumanBytes(stage.memory.Total()), HumanBytes(*tightest->budget_bytes),
                   ShareOf(stage.memory.Total(), *tightest->budget_bytes), HumanBytes(LeastOf(stage)), share)});
}

// Sequences of full length that the scarcest class of the cache holds.
void KvCapacity(const PageFacts& facts, std::vector<Finding>* out) {
  std::optional<uint64_t> sequences;
  for (const StageFacts& stage : facts.stages) {
    for (const plan::KvClass& cache : verify::View(stage.stage->kv_classes())) {
      if (cache.sequence_blocks() == 0) continue;
      const uint64_t of_class = cache.block_count() / cache.sequence_blocks();
      sequences = std::min(sequences.value_or(of_class), of_class);
    }
  }
  if (!sequences.has_value()) return;
  const bool enough = *sequences >= facts.plan->max_seqs();
  out->push_back(
      {enough ? Weighing::kGood : Weighing::kNote, "kv-capacity",
       fmt::format("The KV cache holds {} of full length ({} tokens); at most {} at once.{}",
                   Count(*sequences, "sequence"), facts.plan->max_len(),
                   facts.plan->max_seqs() == 1 ? std::string("1 runs") : fmt::format("{} run", facts.plan->max_seqs()),
                   enough ? "" : " Where more are long, they take turns.")});
}

void Communication(const PageFacts& facts, std::vector<Finding>* out) {
  uint64_t reduces = 0, gathers = 0, sends = 0, reduce_bytes = 0, send_bytes = 0;
  for (const StageFacts& stage : facts.stages) {
    reduces += stage.traffic.all_reduce_count;
    gathers += stage.traffic.all_gather_count;
    sends += stage.traffic.send_count;
    reduce_bytes = SatAdd(reduce_bytes, stage.traffic.all_reduce_token_bytes);
    send_bytes = SatAdd(send_bytes, stage.traffic.send_token_bytes);
  }
  if (reduces + gathers + sends == 0) {
    out->push_back({Weighing::kGood, "communication", "A forward moves nothing between ranks."});
    return;
  }
  std::vector<std::string> parts;
  if (reduces > 0)
    parts.push_back(fmt::format("{} ({} a token in all)", Count(reduces, "all-reduce"), HumanBytes(reduce_bytes)));
  if (gathers > 0) parts.push_back(Count(gathers, "all-gather"));
  if (sends > 0) {
    parts.push_back(
        fmt::format("{} between stages ({} a token in all)", Count(sends, "transfer"), HumanBytes(send_bytes)));
  }
  out->push_back({Weighing::kNote, "communication",
                  fmt::format("A forward has {}, from each rank that takes part.", fmt::join(parts, ", "))});
}

// Stages wait for the one that reads most.
void Balance(const PageFacts& facts, std::vector<Finding>* out) {
  if (facts.stages.size() < 2) return;
  const auto [least, most] =
      std::ranges::minmax_element(facts.stages, {}, [](const StageFacts& s) { return s.memory.weights; });
  const double ratio =
      static_cast<double>(most->memory.weights) / static_cast<double>(std::max<uint64_t>(least->memory.weights, 1));
  if (ratio < 1.005) {
    out->push_back(
        {Weighing::kGood, "balance",
         fmt::format("All stages hold equally much: {} of weights on a rank.", HumanBytes(most->memory.weights))});
    return;
  }
  out->push_back({ratio > 1.25 ? Weighing::kWarning : Weighing::kGood, "balance",
                  fmt::format("A rank of stage {} holds most weights, {}; one of stage {} least, {}: {:.2f} times as "
                              "much.",
                              most->index, HumanBytes(most->memory.weights), least->index,
                              HumanBytes(least->memory.weights), ratio)});
}

void Copies(const PageFacts& facts, std::vector<Finding>* out) {
  if (facts.plan->tp() < 2) return;
  uint64_t all = 0, copied = 0, matrices = 0;
  for (const StageFacts& stage : facts.stages) {
    for (const WeightFacts& weight : stage.weights) {
      all = SatAdd(all, weight.bytes);
      if (weight.copies < 2) continue;
      copied = SatAdd(copied, weight.bytes);
      if (weight.role != Role::kVector) ++matrices;
    }
  }
  if (matrices == 0) return;
  out->push_back({Weighing::kNote, "copies",
                  fmt::format("{} that another rank of the group holds, too: KV heads that are fewer than ranks, and "
                              "vectors. Together {:.1f} % of the weights.",
                              matrices == 1 ? std::string("1 matrix has a part")
                                            : fmt::format("{} matrices have a part", matrices),
                              ShareOf(copied, all))});
}

void Padding(const PageFacts& facts, std::vector<Finding>* out) {
  const plan::Model& model = *facts.plan->model();
  if (model.vocab_padded() > model.vocab()) {
    out->push_back({Weighing::kNote, "vocabulary-padding",
                    fmt::format("The vocabulary of {} rows is padded to {}.", model.vocab(), model.vocab_padded())});
  }
  uint64_t all = 0, padding = 0;
  for (const StageFacts& stage : facts.stages) {
    for (const WeightFacts& weight : stage.weights) {
      all = SatAdd(all, weight.bytes);
      padding = SatAdd(padding, weight.padding_bytes);
    }
  }
  if (padding == 0) return;
  out->push_back({ShareOf(padding, all) > 5 ? Weighing::kWarning : Weighing::kNote, "alignment",
                  fmt::format("{} of the weights ({:.2f} %) are there for alignment only.", HumanBytes(padding),
                              ShareOf(padding, all))});
}

void Order(const PageFacts& facts, std::vector<Finding>* out) {
  if (facts.plan->numerics()->reduction() == plan::Reduction::canonical) return;
  out->push_back({Weighing::kWarning, "rank-order",
                  "Sums are taken in rank order, a control: tokens may depend on the number of ranks."});
}

}  // namespace

std::vector<Finding> FindingsOf(const PageFacts& facts) {
  std::vector<Finding> findings;
  Memory(facts, &findings);
  KvCapacity(facts, &findings);
  Communication(facts, &findings);
  Balance(facts, &findings);
  Copies(facts, &findings);
  Padding(facts, &findings);
  Order(facts, &findings);
  return findings;
}

}  // namespace mrs::html
