// What the ranks hold of each value: plans whose every step is sound alone, and which together compute something else.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

// A step with what belongs to it, so that a program can be cut and joined.
struct Line {
  Step step;
  std::vector<Ref> operands, results;
  std::optional<Collective> collective;
};

std::vector<Line> LinesOf(const PlanT& plan) {
  const StageT& stage = *plan.stages[0];
  std::vector<Line> lines;
  for (const Step& step : stage.steps) {
    const auto operands = stage.refs.begin() + step.operand_begin();
    const auto results = operands + step.operand_count();
    Line line{step, {operands, results}, {results, results + step.result_count()}, {}};
    if (step.op() == OpKind::all_reduce || step.op() == OpKind::all_gather) {
      line.collective = stage.collectives[step.attr()];
    }
    lines.push_back(line);
  }
  return lines;
}

// Drops buffers that no step writes, with their places.
void DropUnwritten(PlanT* plan) {
  StageT& stage = *plan->stages[0];
  std::vector<bool> keep;
  for (const Buffer& buffer : stage.buffers) keep.push_back(buffer.input());
  for (const Step& step : stage.steps) {
    for (uint32_t r = 0; r < step.result_count(); ++r) {
      keep[stage.refs[step.operand_begin() + step.operand_count() + r].index()] = true;
    }
  }
  std::vector<uint32_t> fresh;
  for (const bool kept : keep) fresh.push_back((fresh.empty() ? 0 : fresh.back()) + (kept ? 1 : 0));
  const auto renumber = [&](uint32_t buffer) { return fresh[buffer] - 1; };
  for (Ref& ref : stage.refs) {
    if (ref.space() == RefSpace::buffer) ref.mutate_index(renumber(ref.index()));
  }
  stage.candidates_buffer = renumber(stage.candidates_buffer);
  stage.logits_buffer = renumber(stage.logits_buffer);
  std::vector<Buffer> buffers;
  std::vector<uint64_t> placements;
  for (size_t i = 0; i < stage.placements.size(); ++i) {
    if (keep[i % keep.size()]) placements.push_back(stage.placements[i]);
  }
  for (size_t b = 0; b < keep.size(); ++b) {
    if (keep[b]) buffers.push_back(stage.buffers[b]);
  }
  stage.buffers = buffers;
  stage.placements = placements;
}

// Writes the program back: everything in its order, one step after the other, collectives numbered as they come.
void SetLines(PlanT* plan, const std::vector<Line>& lines) {
  StageT& stage = *plan->stages[0];
  stage.steps.clear();
  stage.refs.clear();
  stage.deps.clear();
  stage.collectives.clear();
  uint32_t always = 0;
  for (const Line& line : lines) {
    Step step = line.step;
    step.mutate_operand_begin(static_cast<uint32_t>(stage.refs.size()));
    step.mutate_dep_begin(static_cast<uint32_t>(stage.deps.size()));
    for (auto before = static_cast<uint32_t>(stage.steps.size()); before-- > 0;) {
      const Variant variant = stage.steps[before].variant();
      if (variant != Variant::always && variant != step.variant()) continue;
      stage.deps.push_back(before);
      break;
    }
    step.mutate_dep_count(static_cast<uint16_t>(stage.deps.size() - step.dep_begin()));
    if (line.collective) {
      step.mutate_attr(static_cast<uint32_t>(stage.collectives.size()));
      stage.collectives.push_back(*line.collective);
      stage.collectives.back().mutate_order(always);
      if (step.variant() == Variant::always) ++always;
    }
    stage.refs.insert(stage.refs.end(), line.operands.begin(), line.operands.end());
    stage.refs.insert(stage.refs.end(), line.results.begin(), line.results.end());
    stage.steps.push_back(step);
  }
  DropUnwritten(plan);
}

// The plan without a collective: who read its result reads its operand.
PlanT Without(PlanT plan, std::string_view collective) {
  std::vector<Line> lines = LinesOf(plan);
  const Line gone = lines[StepNamed(plan, collective)];
  lines.erase(lines.begin() + StepNamed(plan, collective));
  for (Line& line : lines) {
    for (Ref& ref : line.operands) {
      if (ref.space() == RefSpace::buffer && ref.index() == gone.results[0].index()) ref = gone.operands[0];
    }
  }
  StageT& stage = *plan.stages[0];
  for (uint32_t* output : {&stage.candidates_buffer, &stage.logits_buffer}) {
    if (*output == gone.results[0].index()) *output = gone.operands[0].index();
  }
  SetLines(&plan, lines);
  return plan;
}

// The plan with one more step 'extra' after `step`: a collective of `buffer`, or the sum of `buffer` and itself. Its
// result 'extra.out' lies past all others, and nobody reads it.
PlanT With(PlanT plan, OpKind op, std::string_view step, std::string_view buffer) {
  StageT& stage = *plan.stages[0];
  std::vector<Line> lines = LinesOf(plan);
  const Buffer operand = BufferOf(plan, buffer);
  Line extra{};
  const auto name = static_cast<uint32_t>(plan.names.size());
  plan.names.insert(plan.names.end(), {"extra", "extra.out"});
  const bool gathers = op == OpKind::all_gather;
  extra.operands.assign(op == OpKind::add ? 2 : 1, Ref(BufferNamed(plan, buffer), RefSpace::buffer));
  extra.results.emplace_back(static_cast<uint32_t>(stage.buffers.size()), RefSpace::buffer);
  extra.step = Step(name, 0, 0, 0, 0, static_cast<uint16_t>(extra.operands.size()), 1, -1, op, Variant::always);
  if (op != OpKind::add) {
    extra.collective = Collective(operand.width(), 0, 0, operand.dtype(), operand.rows(),
                                  gathers ? CollectiveAlgorithm::gather : CollectiveAlgorithm::doubling);
  }
  lines.insert(lines.begin() + StepNamed(plan, step) + 1, extra);

  const size_t old_count = stage.buffers.size();
  stage.buffers.emplace_back(operand.width() * (gathers ? plan.tp : 1), name + 1, operand.dtype(), operand.rows(),
                             false);
  std::vector<uint64_t> placements;
  for (size_t b = 0; b < stage.buckets.size(); ++b) {
    const auto of_bucket = stage.placements.begin() + static_cast<std::ptrdiff_t>(b * old_count);
    placements.insert(placements.end(), of_bucket, of_bucket + static_cast<std::ptrdiff_t>(old_count));
    placements.push_back(stage.buckets[b].arena_bytes());
    stage.buckets[b].mutate_arena_bytes(stage.buckets[b].arena_bytes() + (1 << 20));
  }
  stage.placements = placements;
  stage.activation_arena_bytes += 1 << 20;
  SetLines(&plan, lines);
  return plan;
}

Slice Whole(uint64_t size) { return Slice(0, 0, size, 1, Axis::none); }
Slice Cut(uint64_t size, uint32_t every = 1) { return Slice(0, static_cast<int64_t>(size), size, every, Axis::tp); }

// The rows of a weight, as slices of another tensor of the same name; n and bytes stay.
void SetRows(PlanT& plan, std::string_view weight, const Slice& rows, uint64_t tensor_rows) {
  SourceOf(plan, weight).mutable_rows() = rows;
  SourceOf(plan, weight).mutate_tensor_rows(tensor_rows);
  SourceOf(plan, weight).mutate_row_count(tensor_rows);
}

// A packed weight of another shape, moved behind the others.
void Reshape(PlanT& plan, std::string_view weight, uint64_t n, uint64_t chunk_k, uint32_t chunks) {
  Weight& w = WeightOf(plan, weight);
  const uint64_t bytes = (n + 15) / 16 * 16 * chunks * ((chunk_k + 31) / 32 * 32) * 2;
  w.mutate_n(n);
  w.mutate_chunk_k(chunk_k);
  w.mutate_chunk_count(chunks);
  w.mutate_bytes(bytes);
  w.mutate_offset(plan.stages[0]->weight_arena_bytes);
  plan.stages[0]->weight_arena_bytes += bytes;
}

TEST(VerifySharding, AcceptsEachLayout) {
  for (const uint32_t tp : {1u, 2u, 4u}) EXPECT_EQ(Refusal(TinyPlan({.tp = tp, .layer_count = 2})), "") << tp;
}

// What the tests below edit with: written back unchanged, a plan is as sound as before.
TEST(VerifySharding, AcceptsAProgramWrittenBack) {
  PlanT plan = TinyPlan();
  SetLines(&plan, LinesOf(plan));
  EXPECT_EQ(Refusal(plan), "");
}

TEST(VerifySharding, RejectsADroppedAllReduce) {
  EXPECT_EQ(Refusal(Without(TinyPlan(), "embed_sum")),
            "stage 0 step 2 'l0.attn_norm': reads 'embedded', a partial sum; only an all_reduce may");
  EXPECT_EQ(Refusal(Without(TinyPlan(), "l0.o_sum")),
            "stage 0 step 12 'l0.o_bias': reads 'l0.o.out', a partial sum; only an all_reduce may");
  EXPECT_EQ(Refusal(Without(TinyPlan(), "l0.down_sum")),
            "stage 0 step 19 'l0.ffn_add': reads 'l0.down.out', a partial sum; only an all_reduce may");
}

// A plan in which nothing is summed at all: the rule that a contracted factor gives partial sums, lost.
TEST(VerifySharding, RejectsAPlanWithoutAnyAllReduce) {
  PlanT plan = TinyPlan({.tp = 4});
  for (const char* name : {"embed_sum", "l0.o_sum", "l0.down_sum"}) plan = Without(std::move(plan), name);
  EXPECT_EQ(Refusal(plan), "stage 0 step 2 'l0.attn_norm': reads 'embedded', a partial sum; only an all_reduce may");
}

TEST(VerifySharding, RejectsADoubledAllReduce) {
  EXPECT_EQ(Refusal(With(TinyPlan(), OpKind::all_reduce, "l0.o_sum", "l0.o_sum.out")),
            "stage 0 step 13 'extra': sums 'l0.o_sum.out' over the ranks, which is whole on every rank, expected a "
            "partial sum");
}

TEST(VerifySharding, RejectsAnAllReduceOfParts) {
  EXPECT_EQ(Refusal(With(TinyPlan(), OpKind::all_reduce, "l0.gate_up", "l0.up.out")),
            "stage 0 step 17 'extra': sums 'l0.up.out' over the ranks, which is cut into parts of 32, one a rank, "
            "expected a partial sum");
}

// One rank has nothing to sum with.
TEST(VerifySharding, RejectsAnAllReduceOfOneRank) {
  EXPECT_EQ(Refusal(With(TinyPlan({.tp = 1}), OpKind::all_reduce, "l0.o", "l0.o.out")),
            "stage 0 step 11 'extra': sums 'l0.o.out' over the ranks, which is whole on every rank, expected a partial "
            "sum");
}

TEST(VerifySharding, RejectsAGatherOfWhatEveryRankHas) {
  EXPECT_EQ(
      Refusal(With(TinyPlan(), OpKind::all_gather, "select", "selected")),
      "stage 0 step 22 'extra': gathers 'selected', which is whole on every rank, expected parts in rank order, one "
      "a rank");
}

TEST(VerifySharding, RejectsAGatherOfReplicatedParts) {
  EXPECT_EQ(
      Refusal(With(TinyPlan({.tp = 4}), OpKind::all_gather, "l0.qkv", "l0.k.out")),
      "stage 0 step 5 'extra': gathers 'l0.k.out', which is cut into parts of 8, each on 2 ranks, expected parts in "
      "rank order, one a rank");
}

TEST(VerifySharding, RejectsAGatherOfAPartialSum) {
  EXPECT_EQ(Refusal(With(TinyPlan(), OpKind::all_gather, "l0.o", "l0.o.out")),
            "stage 0 step 12 'extra': gathers 'l0.o.out', which is a partial sum, expected parts in rank order, one a "
            "rank");
}

// With more than one row, what was gathered is no matrix: rank 1's rows come after all of rank 0's.
TEST(VerifySharding, RejectsAStepThatReadsWhatWasGathered) {
  const PlanT plan = With(TinyPlan(), OpKind::all_gather, "l0.gate_up", "l0.up.out");
  EXPECT_EQ(Refusal(plan), "");
  EXPECT_EQ(
      Refusal(With(plan, OpKind::add, "extra", "extra.out")),
      "stage 0 step 18 'extra': reads 'extra.out', which was gathered, one rank's rows after the other's; only the "
      "executor may");
}

TEST(VerifySharding, RejectsAnEmbeddingOfAllIdsThatIsSummed) {
  PlanT plan = TinyPlan();
  Reshape(plan, "embed", 48, 32, 1);
  SetRows(plan, "embed", Whole(48), 40);
  plan.stages[0]->embeds[0].mutable_vocab() = Whole(48);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 2 'embed_sum': sums 'embedded' over the ranks, which is whole on every rank, expected a partial "
      "sum");
}

TEST(VerifySharding, RejectsANormWhoseWeightIsCut) {
  PlanT plan = TinyPlan();
  SetRows(plan, "l0.q_norm", Cut(8), 16);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 5 'l0.q_norm': weight 'l0.q_norm' is cut into parts of 8, one a rank, expected whole on every "
      "rank");
}

// Wide enough on each rank, but every rank's K is the same.
TEST(VerifySharding, RejectsAWholeOperandOfAProductCutAlongK) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.down", 0).mutate_index(BufferNamed(plan, "l0.ffn_norm.out"));
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 18 'l0.down': reads 'l0.ffn_norm.out', which is whole on every rank, expected cut into parts of "
      "32, one a rank");
}

TEST(VerifySharding, RejectsACutOperandOfAWholeProduct) {
  PlanT plan = TinyPlan();
  Reshape(plan, "l0.o", 32, 4, 4);
  SourceOf(plan, "l0.o").mutable_columns() = Whole(16);
  SourceOf(plan, "l0.o").mutate_tensor_columns(16);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.o': reads 'l0.attn.out', which is cut into parts of 16, one a rank, expected whole on "
            "every rank");
}

TEST(VerifySharding, RejectsAWeightCutBothWays) {
  PlanT plan = TinyPlan();
  plan.files[0]->size_bytes += 1 << 20;
  SetRows(plan, "l0.down", Cut(32), 64);
  EXPECT_EQ(Refusal(plan), "stage 0 step 18 'l0.down': weight 'l0.down' is cut along both its rows and K");
}

TEST(VerifySharding, RejectsABiasUnlikeItsProduct) {
  PlanT plan = TinyPlan();
  SetRows(plan, "l0.q_bias", Whole(16), 16);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 4 'l0.qkv': weight 'l0.q_bias' is whole on every rank, expected cut into parts of 16, one a "
            "rank");
}

TEST(VerifySharding, RejectsACutBiasOfAWholeSum) {
  PlanT plan = TinyPlan();
  SetRows(plan, "l0.o_bias", Cut(32), 64);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 13 'l0.o_bias': weight 'l0.o_bias' is cut into parts of 32, one a rank, expected whole on every "
      "rank");
}

TEST(VerifySharding, RejectsPartsTimesTheWhole) {
  PlanT plan = TinyPlan();
  SetRows(plan, "l0.up", Whole(32), 32);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 17 'l0.silu': reads 'l0.up.out', which is whole on every rank, expected cut into parts of 32, "
      "one a rank");
}

TEST(VerifySharding, RejectsPartsPlusTheWhole) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.ffn_add", 1).mutate_index(BufferNamed(plan, "l0.up.out"));
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 20 'l0.ffn_add': reads 'l0.up.out', which is cut into parts of 32, one a rank, expected whole on "
      "every rank");
}

TEST(VerifySharding, RejectsAnglesThatAreAnotherRanks) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.q_rope", 1).mutate_index(BufferNamed(plan, "l0.k_norm.out"));
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 7 'l0.q_rope': reads 'l0.k_norm.out', which is cut into parts of 8, one a rank, expected whole "
      "on every rank");
}

TEST(VerifySharding, RejectsValuesOfOtherHeadsThanTheKeys) {
  PlanT plan = TinyPlan();
  SetRows(plan, "l0.v", Whole(8), 8);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 9 'l0.kv_append': reads 'l0.v.out', which is whole on every rank, expected cut into parts of 8, "
      "one a rank");
}

// Both KV heads on both ranks: rank 0's query heads 0 and 1 both read head 0 of the model, here heads 0 and 1.
TEST(VerifySharding, RejectsQueryHeadsOnAnotherKvHead) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  for (const char* name : {"l0.k", "l0.v"}) {
    Reshape(plan, name, 16, 2, 16);
    SetRows(plan, name, Whole(16), 16);
  }
  for (const char* name : {"l0.k.out", "l0.v.out", "l0.k_norm.out", "l0.k_rope.out"}) {
    BufferOf(plan, name).mutate_width(16);
  }
  stage.norms[StepOf(plan, "l0.k_norm").attr()]->heads = 2;
  stage.heads[StepOf(plan, "l0.k_rope").attr()]->heads = 2;
  stage.attentions[0]->kv_heads = 2;
  plan.stages[0]->kv_classes[0].mutate_kv_heads(2);
  plan.stages[0]->kv_classes[0].mutate_block_bytes(plan.stages[0]->kv_classes[0].block_bytes() * 2);
  stage.kv_arena_bytes *= 2;
  uint64_t end = 0;  // one after the other, so that wider buffers have room
  for (size_t i = 0; i < stage.placements.size(); ++i) {
    if (i % stage.buffers.size() == 0) end = 0;
    stage.placements[i] = end;
    end += 64 * 64 * 4;
  }
  for (Bucket& bucket : stage.buckets) bucket.mutate_arena_bytes(end);
  stage.activation_arena_bytes = end;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.attn': on rank 0 query head 1 reads KV head 1, in the unsharded model 0");
}

TEST(VerifySharding, RejectsOtherHeadsThanTheModels) {
  PlanT plan = TinyPlan();
  plan.model->kv_heads = 4;
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 10 'l0.attn': the ranks have 4 query heads on 2 KV heads of 8 in all, the model has 4 on 4 of "
      "8");
  plan = TinyPlan({.tp = 4});
  plan.model->heads = 8;
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 10 'l0.attn': the ranks have 4 query heads on 2 KV heads of 8 in all, the model has 8 on 2 of "
      "8");
  plan = TinyPlan({.tp = 1});
  plan.model->head_dim = 16;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 9 'l0.attn': the ranks have 4 query heads on 2 KV heads of 8 in all, the model has 4 on 2 of "
            "16");
}

TEST(VerifySharding, RejectsCandidatesOfAnotherPartOfTheVocabulary) {
  PlanT plan = TinyPlan();
  SetRows(plan, "lm_head", Cut(24, 2), 24);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 24 'candidates': reads 'logits', which is whole on every rank, expected cut into parts of 24, "
      "one a rank");
}

// The executor reads one rank's logits after the other's: of two ranks, whole rows are something else.
TEST(VerifySharding, RejectsLogitsThatWereNotGathered) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  // A second head, of all logits, in the place of the gather.
  stage.weights.push_back(WeightOf(plan, "lm_head"));
  stage.weights.back().mutate_source_begin(static_cast<uint32_t>(stage.sources.size()));
  stage.sources.push_back(SourceOf(plan, "lm_head"));
  stage.sources.back().mutable_rows() = Whole(48);
  const auto name = static_cast<uint32_t>(plan.names.size());
  plan.names.emplace_back("whole_head");
  stage.weights.back().mutate_name(name);
  Reshape(plan, "whole_head", 48, 2, 16);
  std::vector<Line> lines = LinesOf(plan);
  Line& gather = lines[StepNamed(plan, "gather_logits")];
  gather.step.mutate_op(OpKind::matmul);
  gather.step.mutate_attr(0);
  gather.step.mutate_operand_count(3);
  gather.operands = lines[StepNamed(plan, "lm_head")].operands;
  gather.operands[1].mutate_index(static_cast<uint32_t>(stage.weights.size() - 1));
  gather.collective.reset();
  SetLines(&plan, lines);
  EXPECT_EQ(Refusal(plan),
            "stage 0: its result of all_logits, 'gather_logits.out', is whole on every rank, expected gathered, one "
            "rank's rows after the other's");
}

}  // namespace
}  // namespace mrs::testing
