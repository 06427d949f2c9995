// One test a rule of what several operations are as one: each breaks exactly that rule of a valid plan for GPUs.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

PlanT Fused(uint32_t tp = 2) { return TinyPlan({.tp = tp, .fused = true}); }
RopeAppendAttr& Appends(PlanT& plan) { return plan.stages[0]->rope_appends[0]; }

TEST(VerifyFused, PassesOnAnyNumberOfRanks) {
  for (const uint32_t tp : {1, 2, 4}) EXPECT_EQ(Refusal(Fused(tp)), "") << tp;
}

TEST(VerifyFused, RejectsThemOnCpuRanks) {
  PlanT plan = Fused();
  for (Rank& rank : plan.ranks) rank.mutate_kind(DeviceKind::cpu);
  plan.stages[0]->workspace_bytes = plan.stages[0]->graphs_bytes = 0;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.rope_append': is rope_append, an operation of CUDA ranks alone, but rank 0 is cpu");
  std::erase_if(plan.stages[0]->rope_appends, [](const auto&) { return true; });
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': its attribute is entry 0 of 0");
}

TEST(VerifyFused, RejectsANormOfHeads) {
  PlanT plan = Fused();
  NormAttrT& attr = *plan.stages[0]->norms[StepOf(plan, "l0.add_norm").attr()];
  attr.heads = 2;
  attr.width = 16;
  EXPECT_EQ(Refusal(plan), "stage 0 step 12 'l0.add_norm': norms 2 heads of a row, expected the whole row as one");
  attr.heads = 1;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.add_norm': operand 'embed_sum.out' is f32 [tokens, 32], expected f32 [tokens, 16]");
}

TEST(VerifyFused, RejectsResultsForEachOther) {
  PlanT plan = Fused();
  std::swap(RefOf(plan, "l0.add_norm", 3), RefOf(plan, "l0.add_norm", 4));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.add_norm': result 'l0.ffn_norm.out' is bf16 [tokens, 32], expected f32 [tokens, 32]");
}

TEST(VerifyFused, RejectsANormWithoutEps) {
  PlanT plan = Fused();
  plan.stages[0]->norms[StepOf(plan, "l0.add_norm").attr()]->eps = 0;
  EXPECT_EQ(Refusal(plan), "stage 0 step 12 'l0.add_norm': eps is 0, expected more than 0");
}

TEST(VerifyFused, RejectsASumOfPartialSums) {
  PlanT plan = Fused();
  RefOf(plan, "l0.add_norm", 1).mutate_index(BufferNamed(plan, "l0.o.out"));
  StageT& stage = *plan.stages[0];
  for (size_t bucket = 0; bucket < stage.buckets.size(); ++bucket) {  // so that the sum over the ranks leaves it alone
    PlaceOf(plan, "l0.o.out", static_cast<uint32_t>(bucket)) = stage.buckets[bucket].arena_bytes();
    stage.buckets[bucket].mutate_arena_bytes(stage.buckets[bucket].arena_bytes() + 64 * 32 * 4);
    stage.activation_arena_bytes = std::max(stage.activation_arena_bytes, stage.buckets[bucket].arena_bytes());
  }
  EXPECT_EQ(Refusal(plan), "stage 0 step 12 'l0.add_norm': reads 'l0.o.out', a partial sum; only an all_reduce may");
}

// The norm's row has bytes of its own: elements are read after others of it were written.
TEST(VerifyFused, RejectsANormOverWhatIsAdded) {
  PlanT plan = Fused();
  EXPECT_EQ(PlaceOf(plan, "l0.x1", 0), PlaceOf(plan, "embed_sum.out", 0));  // the sum may lie there
  PlaceOf(plan, "l0.ffn_norm.out", 0) = PlaceOf(plan, "l0.o_biased", 0);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 12 'l0.add_norm': bucket 1: its result 'l0.ffn_norm.out' [1088, 1152) overlaps 'l0.o_biased' "
            "[1088, 1216), which the same step may still be using");
}

TEST(VerifyFused, RejectsARopeOrACacheThatIsNotThere) {
  PlanT plan = Fused();
  Appends(plan).mutate_rope(1);
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': uses rope 1 of 1");
  plan = Fused();
  Appends(plan).mutate_kv_class(1);
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': uses KV class 1 of 1");
  plan = Fused();
  Appends(plan).mutate_kv_layer(1);
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': uses layer 1 of 1 in KV class 0");
  plan = Fused();
  Appends(plan).mutate_window(8);
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': has a window of 8, KV class 0 one of 0");
}

TEST(VerifyFused, RejectsOtherHeadsThanItsValuesHave) {
  PlanT plan = Fused();
  Appends(plan).mutate_heads(3);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.rope_append': operand 'l0.q_norm.out' is f32 [tokens, 16], expected f32 [tokens, 24]");
  plan = Fused();
  Appends(plan).mutate_kv_heads(2);
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': has 2 KV heads of 8, KV class 0 has 1 of 8 and 8");
  plan = Fused();
  Appends(plan).mutate_head_dim(4);
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': has 1 KV heads of 4, KV class 0 has 1 of 8 and 8");
}

TEST(VerifyFused, RejectsSlotsThatAreNotTheInput) {
  PlanT plan = Fused();
  RefOf(plan, "l0.rope_append", 4).mutate_index(BufferNamed(plan, "positions"));
  EXPECT_EQ(Refusal(plan), "stage 0 step 7 'l0.rope_append': operand 4 is 'positions', expected the input 'slots'");
}

TEST(VerifyFused, RejectsAQueryOfAnotherTypeThanTheCache) {
  PlanT plan = Fused();
  BufferOf(plan, "l0.q_rope.out").mutate_dtype(DType::f32);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.rope_append': result 'l0.q_rope.out' is f32 [tokens, 16], expected bf16 [tokens, 16]");
}

TEST(VerifyFused, RejectsAnAttentionThatDoesNotWaitForIt) {
  PlanT plan = Fused();
  DepOf(plan, "l0.attn") = StepNamed(plan, "l0.k_norm");
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 8 'l0.attn': reads 'l0.q_rope.out', but its dependencies do not wait for step 7 "
            "'l0.rope_append'");
}

}  // namespace
}  // namespace mrs::testing
