// One test a rule of liveness, order, collectives and the cache: each breaks exactly that rule of a valid plan.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

// One more dependency of a step.
void AddDep(PlanT& plan, std::string_view step, std::string_view dep) {
  StageT& stage = *plan.stages[0];
  Step& changed = StepOf(plan, step);
  const uint32_t at = changed.dep_begin() + changed.dep_count();
  stage.deps.insert(stage.deps.begin() + at, StepNamed(plan, dep));
  changed.mutate_dep_count(static_cast<uint16_t>(changed.dep_count() + 1));
  for (uint32_t i = StepNamed(plan, step) + 1; i < stage.steps.size(); ++i) {
    stage.steps[i].mutate_dep_begin(stage.steps[i].dep_begin() + 1);
  }
}

// Queries and keys are normed and rotated side by side, and meet at the attention.
void SplitQueriesFromKeys(PlanT& plan) {
  DepOf(plan, "l0.k_norm") = StepNamed(plan, "l0.qkv");
  DepOf(plan, "l0.q_rope") = StepNamed(plan, "l0.q_norm");
  DepOf(plan, "l0.k_rope") = StepNamed(plan, "l0.k_norm");
  AddDep(plan, "l0.attn", "l0.q_rope");
}

TEST(Verify, RejectsOverlappingLiveBuffers) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.k.out", 1) = PlaceOf(plan, "l0.q.out", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 4 'l0.qkv': bucket 32: its result 'l0.k.out' [7808, 8832) overlaps 'l0.q.out' [7808, 9856), "
            "which the same step may still be using");
}

TEST(Verify, RejectsOverlapInTheFirstBucketOnly) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.up.out", 0) = PlaceOf(plan, "l0.gate.out", 0) + 64;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 16 'l0.gate_up': bucket 1: its result 'l0.up.out' [1408, 1536) overlaps 'l0.gate.out' [1344, "
            "1472), which the same step may still be using");
}

TEST(Verify, RejectsOverlappingInputs) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "slots", 1) = PlaceOf(plan, "sequence", 1);
  EXPECT_EQ(Refusal(plan), "stage 0: bucket 32: inputs 'slots' [256, 384) and 'sequence' [256, 384) overlap");
}

// Two steps write to one place and nobody reads either: which bytes are left is a matter of luck.
TEST(Verify, RejectsAnOverwriteThatNobodyReads) {
  PlanT plan = TinyPlan();
  StageT& stage = *plan.stages[0];
  const auto at = static_cast<uint32_t>(stage.buffers.size());
  const auto first = static_cast<uint32_t>(stage.steps.size());
  const auto name = static_cast<uint32_t>(plan.names.size());
  plan.names.insert(plan.names.end(), {"one", "other"});
  std::vector<uint64_t> placements;
  for (uint32_t b = 0; b < stage.buckets.size(); ++b) {
    placements.insert(placements.end(), stage.placements.begin() + b * at, stage.placements.begin() + (b + 1) * at);
    placements.insert(placements.end(), 2, stage.activation_arena_bytes);
    stage.buckets[b].mutate_arena_bytes(stage.activation_arena_bytes + 4096);
  }
  stage.placements = placements;
  stage.activation_arena_bytes += 4096;
  for (uint32_t i = 0; i < 2; ++i) {
    stage.buffers.push_back(BufferOf(plan, "cos_sin"));
    stage.buffers.back().mutate_name(name + i);
    stage.steps.emplace_back(name + i, static_cast<uint32_t>(stage.refs.size()), 0,
                             static_cast<uint32_t>(stage.deps.size()), 1, 1, 1, -1, OpKind::rope_angles,
                             Variant::always);
    stage.deps.push_back(0);
    stage.refs.push_back(RefOf(plan, "rope_angles", 0));
    stage.refs.emplace_back(at + i, RefSpace::buffer);
  }
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 28 'other': bucket 1: its result 'other' [38016, 38048) overlaps 'one' [38016, 38048), which step "
      "27 'one' may still be using");
  stage.deps.back() = first;  // in order, it is no fault of theirs
  EXPECT_EQ(Refusal(plan),
            "stage 0: its result of candidates is buffer 33, but the last step of that variant yields buffer 36");
}

TEST(Verify, RejectsOverwrittenInput) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.q.out", 1) = PlaceOf(plan, "logit_rows", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 4 'l0.qkv': bucket 32: its result 'l0.q.out' [576, 2624) overlaps 'logit_rows' [576, 592), "
            "which step 21 'select' may still be using");
}

TEST(Verify, RejectsNormInPlace) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.q_norm.out", 1) = PlaceOf(plan, "l0.q.out", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 5 'l0.q_norm': bucket 32: its result 'l0.q_norm.out' [7808, 9856) overlaps 'l0.q.out' [7808, "
            "9856), which the same step may still be using");
}

TEST(Verify, RejectsInPlaceThatIsShifted) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.o_biased", 1) = PlaceOf(plan, "l0.o.out", 1) + 64;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.o_bias': bucket 32: its result 'l0.o_biased' [17600, 21696) overlaps 'l0.o_sum.out' "
            "[17536, 21632), which the same step may still be using");
}

TEST(Verify, RejectsInPlaceOnAValueStillNeeded) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.o_biased", 1) = PlaceOf(plan, "embedded", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.o_bias': bucket 32: its result 'l0.o_biased' [1664, 5760) overlaps 'embed_sum.out' "
            "[1664, 5760), which step 14 'l0.attn_add' may still be using");
}

TEST(Verify, RejectsOverlapInOneVariantOnly) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "gather_logits.out", 1) = PlaceOf(plan, "logits", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 26 'gather_logits': bucket 32: its result 'gather_logits.out' [6528, 7296) overlaps 'logits' "
            "[6528, 6912), which the same step may still be using");
}

TEST(Verify, RejectsValueWrittenTwice) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.k_norm", 2).mutate_index(BufferNamed(plan, "l0.k.out"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 6 'l0.k_norm': writes 'l0.k.out', which step 4 'l0.qkv' wrote");
}

TEST(Verify, RejectsValueThatNoStepWrites) {
  PlanT plan = TinyPlan();
  plan.stages[0]->buffers.push_back(BufferOf(plan, "logits"));
  const size_t old_count = plan.stages[0]->buffers.size() - 1;
  plan.stages[0]->placements.insert(plan.stages[0]->placements.begin() + static_cast<std::ptrdiff_t>(old_count), 0);
  plan.stages[0]->placements.push_back(0);
  EXPECT_EQ(Refusal(plan), "stage 0 buffer 'logits': no step writes it");
}

TEST(Verify, RejectsReadBeforeWrite) {
  PlanT plan = TinyPlan();
  RefOf(plan, "l0.attn_norm", 0).mutate_index(BufferNamed(plan, "l0.x2"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 3 'l0.attn_norm': reads 'l0.x2' before step 20 'l0.ffn_add' writes it");
}

TEST(Verify, RejectsReadWithoutDependency) {
  PlanT plan = TinyPlan();
  DepOf(plan, "l0.attn_norm") = StepNamed(plan, "embed");
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 3 'l0.attn_norm': reads 'embed_sum.out', but its dependencies do not wait for step 2 'embed_sum'");
}

TEST(Verify, RejectsReuseThatDependenciesAllowToOverlap) {
  PlanT plan = TinyPlan();
  SplitQueriesFromKeys(plan);
  PlaceOf(plan, "l0.k_rope.out", 1) = PlaceOf(plan, "l0.q.out", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 8 'l0.k_rope': bucket 32: its result 'l0.k_rope.out' [7808, 8320) overlaps 'l0.q.out' [7808, "
            "9856), which step 5 'l0.q_norm' may still be using");
}

TEST(Verify, RejectsReadOfAnotherVariant) {
  PlanT plan = TinyPlan();
  StepOf(plan, "lm_head").mutate_variant(Variant::candidates);
  DepOf(plan, "gather_logits") = StepNamed(plan, "norm");
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 26 'gather_logits': reads 'logits', but step 23 'lm_head' does not run whenever it does");
}

TEST(Verify, RejectsAttentionThatDoesNotWaitForItsAppend) {
  PlanT plan = TinyPlan();
  DepOf(plan, "l0.attn") = StepNamed(plan, "l0.k_rope");
  AddDep(plan, "l0.o", "l0.kv_append");
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.attn': does not wait for step 9 'l0.kv_append', which appends what it attends to");
}

TEST(Verify, RejectsAppendInOneVariantOnly) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.kv_append").mutate_variant(Variant::candidates);
  DepOf(plan, "l0.attn") = StepNamed(plan, "l0.k_rope");
  EXPECT_EQ(Refusal(plan), "stage 0 step 9 'l0.kv_append': must run in every forward, not in candidates alone");
}

TEST(Verify, RejectsCollectiveOfUnknownGroup) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_group(1);
  EXPECT_EQ(Refusal(plan), "stage 0 step 12 'l0.o_sum': is of group 1 of 1");
}

TEST(Verify, RejectsCollectiveOfOtherSize) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_row_elements(31);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.o_sum': operand 'l0.o.out' is f32 [tokens, 32], expected f32 [tokens, 31]");
}

TEST(Verify, RejectsCollectiveOfOtherRows) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_rows(Rows::one);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.o_sum': operand 'l0.o.out' is f32 [tokens, 32], expected f32 [one, 32]");
}

TEST(Verify, RejectsCollectiveOfOtherType) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_dtype(DType::i32);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.o_sum': operand 'l0.o.out' is f32 [tokens, 32], expected i32 [tokens, 32]");
}

TEST(Verify, RejectsScheduleOutOfOrder) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_order(2);
  CollectiveOf(plan, "l0.down_sum").mutate_order(1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.o_sum': is number 2 in the schedule of group 0, but 1 in the program of candidates");
}

TEST(Verify, RejectsScheduleWithAGap) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "gather_logits").mutate_order(4);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 26 'gather_logits': is number 4 in the schedule of group 0, but 3 in the program of all_logits");
}

TEST(Verify, RejectsSharedScheduleEntry) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.down_sum").mutate_attr(StepOf(plan, "l0.o_sum").attr());
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 19 'l0.down_sum': uses entry 1 of the schedule, which is step 12 'l0.o_sum''s");
}

TEST(Verify, RejectsScheduleEntryThatNoStepIssues) {
  PlanT plan = TinyPlan();
  plan.stages[0]->collectives.push_back(CollectiveOf(plan, "l0.o_sum"));
  EXPECT_EQ(Refusal(plan), "stage 0: no step issues collective 5");
}

TEST(Verify, RejectsCollectivesInEitherOrder) {
  PlanT plan = TinyPlan();
  StepOf(plan, "candidates").mutate_variant(Variant::always);
  StepOf(plan, "gather_records").mutate_variant(Variant::always);
  CollectiveOf(plan, "gather_logits").mutate_order(4);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 26 'gather_logits': does not wait for step 25 'gather_records', the collective before it: "
            "ranks could issue them in either order");
}

TEST(Verify, RejectsRankOrderInCanonicalPlan) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_algorithm(CollectiveAlgorithm::rank_order);
  EXPECT_EQ(Refusal(plan), "stage 0 step 12 'l0.o_sum': sums in rank order, but numerics.reduction is canonical");
}

TEST(Verify, RejectsReduceByGather) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "l0.o_sum").mutate_algorithm(CollectiveAlgorithm::gather);
  EXPECT_EQ(Refusal(plan), "stage 0 step 12 'l0.o_sum': algorithm gather does not reduce");
}

TEST(Verify, RejectsGatherByDoubling) {
  PlanT plan = TinyPlan();
  CollectiveOf(plan, "gather_logits").mutate_algorithm(CollectiveAlgorithm::doubling);
  EXPECT_EQ(Refusal(plan), "stage 0 step 26 'gather_logits': algorithm doubling does not gather, expected gather");
}

TEST(Verify, AcceptsReuseOfADeadBuffer) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "l0.k_rope.out", 1) = PlaceOf(plan, "l0.q.out", 1);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, AcceptsStepsThatMayOverlap) {
  PlanT plan = TinyPlan();
  SplitQueriesFromKeys(plan);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, AcceptsTheSamePlaceInDifferentVariants) {
  PlanT plan = TinyPlan();
  PlaceOf(plan, "gather_logits.out", 1) = PlaceOf(plan, "records", 1) + 64;
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, AcceptsRankOrderWhereThePlanSaysSo) {
  PlanT plan = TinyPlan();
  plan.numerics->reduction = Reduction::rank_order;
  CollectiveOf(plan, "l0.o_sum").mutate_algorithm(CollectiveAlgorithm::rank_order);
  EXPECT_EQ(Refusal(plan), "");
}

}  // namespace
}  // namespace mrs::testing
