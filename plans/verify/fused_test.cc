// One test a rule of what several operations are as one: each breaks exactly that rule of a valid plan for GPUs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
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

// ---- Gate's and up's product, and what gates them ----

PlanT Gelu() {
  PlanT plan = Fused();
  StepOf(plan, "l0.gated").mutate_op(OpKind::matmul_gelu_mul);
  plan.stages[0]->glus.push_back(std::make_unique<GluAttrT>());
  return plan;
}

TEST(VerifyFused, PassesAGelu) {
  PlanT plan = Gelu();
  EXPECT_EQ(Refusal(plan), "");
  plan.stages[0]->glus.clear();
  EXPECT_EQ(Refusal(plan), "stage 0 step 13 'l0.gated': its attribute is entry 0 of 0");
}

TEST(VerifyFused, RejectsABiasThatIsNotOfItsRows) {
  PlanT plan = Fused();
  RefOf(plan, "l0.gated", 4) = RefOf(plan, "l0.qkv", 2);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': weight 'l0.q_bias' is a vector of 16 rows, expected a vector of 32");
  RefOf(plan, "l0.gated", 4) = RefOf(plan, "l0.o_bias", 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': weight 'l0.o_bias' is whole on every rank, expected cut into parts of 32, one "
            "a rank");
}

TEST(VerifyFused, RejectsGatedProductsOnCpuRanks) {
  PlanT plan = TinyPlan({.tp = 2});
  RefOf(plan, "l0.silu", 0) = RefOf(plan, "l0.silu", 2);
  StepOf(plan, "l0.gate_up").mutate_op(OpKind::matmul_silu_mul);
  StepOf(plan, "l0.gate_up").mutate_result_count(3);
  StepOf(plan, "l0.silu").mutate_operand_begin(StepOf(plan, "l0.silu").operand_begin() + 1);
  StepOf(plan, "l0.silu").mutate_operand_count(1);
  StepOf(plan, "l0.silu").mutate_op(OpKind::scale);
  plan.stages[0]->scales.emplace_back(1.0f);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 16 'l0.gate_up': is matmul_silu_mul, an operation of CUDA ranks alone, but rank 0 is cpu");
}

TEST(VerifyFused, RejectsOtherResultsThanGateUpAndTheirProduct) {
  PlanT plan = Fused();
  StepOf(plan, "l0.gated").mutate_op(OpKind::matmul);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': matmul takes 7 operands and yields 3 results, here are 5 and 3");
  plan = Fused();
  std::swap(RefOf(plan, "l0.gated", 6), RefOf(plan, "l0.gated", 7));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': result 'l0.silu.out' is bf16 [tokens, 32], expected f32 [tokens, 32]");
  plan = Fused();
  BufferOf(plan, "l0.silu.out").mutate_width(16);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': result 'l0.silu.out' is bf16 [tokens, 16], expected bf16 [tokens, 32]");
  plan = Fused();
  BufferOf(plan, "l0.gate.out").mutate_dtype(DType::bf16);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': result 'l0.gate.out' is bf16 [tokens, 32], expected f32 [tokens, 32]");
}

TEST(VerifyFused, RejectsAGateOfAnotherWidthThanUp) {
  PlanT plan = Fused();
  std::swap(RefOf(plan, "l0.gated", 1), RefOf(plan, "lm_head", 1));
  BufferOf(plan, "l0.gate.out").mutate_width(24);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.gated': operand 'l0.up.out' is f32 [tokens, 32], expected f32 [tokens, 24]");
}

TEST(VerifyFused, RejectsAGateThatIsSummedOtherwiseThanUp) {
  PlanT plan = Fused();
  Weight& up = WeightOf(plan, "l0.up");
  up.mutate_chunk_count(8);
  up.mutate_chunk_count_global(8);
  up.mutate_chunk_k(4);
  up.mutate_bytes(up.bytes() / 2);
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 13 'l0.gated': sums 'l0.gate' in 16 chunks of 2, 'l0.up' in 8 of 4, expected the same of both");
}

// Above some rows a device leaves its sums there, below it nothing: a plan cannot know which.
TEST(VerifyFused, RejectsWhoeverReadsWhatItUses) {
  for (const char* scratch : {"l0.gate.out", "l0.up.out"}) {
    PlanT plan = Fused();
    RefOf(plan, "l0.ffn_add", 1).mutate_index(BufferNamed(plan, scratch));
    EXPECT_EQ(Refusal(plan),
              fmt::format("stage 0 step 16 'l0.ffn_add': reads '{}', memory that one step alone uses, of which nobody "
                          "knows what is in it",
                          scratch));
    plan = Fused();
    RefOf(plan, "l0.down_sum", 0).mutate_index(BufferNamed(plan, scratch));
    EXPECT_EQ(
        Refusal(plan),
        fmt::format("stage 0 step 15 'l0.down_sum': sums '{}' over the ranks, which is memory that one step alone "
                    "uses, expected a partial sum",
                    scratch));
  }
}

// X is read, and all three are written, at the same time.
TEST(VerifyFused, RejectsGatedProductsOverEachOther) {
  const std::pair<const char*, const char*> pairs[] = {
      {"l0.silu.out", "l0.gate.out"},     {"l0.silu.out", "l0.up.out"},     {"l0.up.out", "l0.gate.out"},
      {"l0.gate.out", "l0.ffn_norm.out"}, {"l0.up.out", "l0.ffn_norm.out"}, {"l0.silu.out", "l0.ffn_norm.out"}};
  for (const auto& [over, under] : pairs) {
    PlanT plan = Fused();
    PlaceOf(plan, over, 0) = PlaceOf(plan, under, 0);
    const std::string said = Refusal(plan);
    EXPECT_TRUE(said.starts_with(fmt::format("stage 0 step 13 'l0.gated': bucket 1: its result '{}' [", over))) << said;
    EXPECT_NE(said.find(fmt::format("overlaps '{}' [", under)), std::string::npos) << said;
    EXPECT_TRUE(said.ends_with("which the same step may still be using")) << said;
  }
}

// A rank's share of a sum cannot be gated.
TEST(VerifyFused, RejectsAGateThatIsAPartialSum) {
  PlanT plan = TinyPlan({.tp = 2, .layer_count = 3, .fused = true});
  StageT& stage = *plan.stages[0];
  for (size_t bucket = 0; bucket < stage.buckets.size(); ++bucket) {  // so that a layer later it is still there
    PlaceOf(plan, "l0.silu.out", static_cast<uint32_t>(bucket)) = stage.buckets[bucket].arena_bytes();
    stage.buckets[bucket].mutate_arena_bytes(stage.buckets[bucket].arena_bytes() + 64 * 32 * 2);
    stage.activation_arena_bytes = std::max(stage.activation_arena_bytes, stage.buckets[bucket].arena_bytes());
  }
  RefOf(plan, "l1.gated", 0).mutate_index(BufferNamed(plan, "l0.silu.out"));
  std::swap(RefOf(plan, "l1.gated", 1), RefOf(plan, "l1.down", 1));
  std::swap(RefOf(plan, "l1.gated", 3), RefOf(plan, "l2.down", 1));
  EXPECT_EQ(Refusal(plan), "stage 0 step 27 'l1.gated': reads 'l1.gate.out', a partial sum; only an all_reduce may");
}

}  // namespace
}  // namespace mrs::testing
