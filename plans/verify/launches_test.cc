// One test a rule of which steps are one launch: each breaks exactly that rule of a valid plan for GPUs, of one rank
// (products with what follows them) or of peer memory (sums of ranks, too).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

PlanT Joined(uint32_t tp = 2) { return TinyPlan({.tp = tp, .fused = true, .joined = true}); }
std::vector<uint32_t>& Launches(PlanT& plan) { return plan.stages[0]->joined; }

void SetDeps(PlanT& plan, std::string_view step, std::vector<uint32_t> deps) {
  StageT& stage = *plan.stages[0];
  std::vector<uint32_t> all;
  for (Step& s : stage.steps) {
    const auto begin = stage.deps.begin() + s.dep_begin();
    const std::vector<uint32_t> own = &s == &StepOf(plan, step) ? deps : std::vector(begin, begin + s.dep_count());
    s.mutate_dep_begin(static_cast<uint32_t>(all.size()));
    s.mutate_dep_count(static_cast<uint16_t>(own.size()));
    all.insert(all.end(), own.begin(), own.end());
  }
  stage.deps = all;
}

// Operands and results anew.
void SetRefs(PlanT& plan, std::string_view step, std::vector<Ref> operands, std::vector<Ref> results) {
  StageT& stage = *plan.stages[0];
  std::vector<Ref> all;
  for (Step& s : stage.steps) {
    const auto begin = stage.refs.begin() + s.operand_begin();
    std::vector<Ref> own(begin, begin + s.operand_count() + s.result_count());
    if (&s == &StepOf(plan, step)) {
      s.mutate_operand_count(static_cast<uint16_t>(operands.size()));
      s.mutate_result_count(static_cast<uint16_t>(results.size()));
      own = operands;
      own.insert(own.end(), results.begin(), results.end());
    }
    s.mutate_operand_begin(static_cast<uint32_t>(all.size()));
    all.insert(all.end(), own.begin(), own.end());
  }
  stage.refs = all;
}

// As many heads of as many dimensions as have the widths that there are.
void SetHeads(PlanT& plan, uint32_t heads, uint32_t kv_heads, uint32_t head_dim) {
  StageT& stage = *plan.stages[0];
  plan.model->heads = heads;
  plan.model->kv_heads = kv_heads;
  plan.model->head_dim = head_dim;
  stage.attentions[0]->heads = heads / plan.tp;
  stage.attentions[0]->kv_heads = kv_heads / plan.tp;
  stage.attentions[0]->head_dim = head_dim;
  stage.rope_appends[0].mutate_heads(heads / plan.tp);
  stage.rope_appends[0].mutate_kv_heads(kv_heads / plan.tp);
  stage.rope_appends[0].mutate_head_dim(head_dim);
  stage.kv_classes[0].mutate_kv_heads(kv_heads / plan.tp);
  stage.kv_classes[0].mutate_k_dim(head_dim);
  stage.kv_classes[0].mutate_v_dim(head_dim);
}

// To where nothing lies, in each bucket, all of which have `bytes` more for it.
void MoveToEnd(PlanT& plan, std::initializer_list<std::string_view> buffers, uint64_t bytes) {
  StageT& stage = *plan.stages[0];
  for (uint32_t bucket = 0; bucket < stage.buckets.size(); ++bucket) {
    const uint64_t end = (stage.buckets[bucket].arena_bytes() + 63) / 64 * 64;
    for (const std::string_view buffer : buffers) PlaceOf(plan, buffer, bucket) = end;
    stage.buckets[bucket].mutate_arena_bytes(end + bytes);
    stage.activation_arena_bytes = std::max(stage.activation_arena_bytes, end + bytes);
  }
}

TEST(VerifyLaunches, PassesOnAnyNumberOfRanksAndLayers) {
  for (const uint32_t tp : {1, 2, 4}) {
    EXPECT_EQ(Refusal(Joined(tp)), "") << tp;
    const PlanT plan = TinyPlan({.tp = tp, .layer_count = 3, .fused = true, .joined = true});
    EXPECT_EQ(plan.stages[0]->joined.size(), 6u);
    EXPECT_EQ(Refusal(plan), "") << tp;
  }
  PlanT plan = Joined();
  Launches(plan).clear();  // each by itself
  EXPECT_EQ(Refusal(plan), "");
}

TEST(VerifyLaunches, RejectsNumbersThatAreNoSteps) {
  PlanT plan = Joined();
  const auto with = [&](std::vector<uint32_t> steps) {
    Launches(plan) = std::move(steps);
    return Refusal(plan);
  };
  EXPECT_EQ(with({0}),
            "stage 0: step 0 is listed as one launch with the step before it, expected 1 to 19 in ascending order");
  EXPECT_EQ(with({20}),
            "stage 0: step 20 is listed as one launch with the step before it, expected 1 to 19 in ascending order");
  EXPECT_EQ(
      with({UINT32_MAX}),
      "stage 0: step 4294967295 is listed as one launch with the step before it, expected 1 to 19 in ascending order");
  EXPECT_EQ(with({9, 9}),
            "stage 0: step 9 is listed as one launch with the step before it, expected 10 to 19 in ascending order");
}

// Of three steps one launch has two that are no kernel.
TEST(VerifyLaunches, RejectsStepsThatAreNoKernel) {
  const std::string kernels =
      " are no kernel; add_rms_norm is one with an all_reduce or a matmul before it, rope_append with a matmul";
  PlanT plan = Joined();
  Launches(plan).push_back(StepNamed(plan, "l0.gated"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.gated': is one launch with step 9 'l0.add_norm', but add_rms_norm and "
            "matmul_silu_mul" +
                kernels);
  plan = Joined();
  Launches(plan) = {StepNamed(plan, "l0.o_sum"), StepNamed(plan, "l0.add_norm")};
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 8 'l0.o_sum': is one launch with step 7 'l0.o', but matmul and all_reduce" + kernels);
  plan = Joined();
  Launches(plan) = {StepNamed(plan, "l0.rope_append"), StepNamed(plan, "l0.attn")};
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 6 'l0.attn': is one launch with step 5 'l0.rope_append', but rope_append and attention" + kernels);
  plan = Joined(1);
  Launches(plan) = {StepNamed(plan, "l0.ffn_add")};  // a sum, but no norm
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.ffn_add': is one launch with step 9 'l0.down', but matmul and add" + kernels);
}

TEST(VerifyLaunches, RejectsSumsOfRanksWithoutPeerMemory) {
  PlanT plan = Joined();
  plan.options[0]->value = "staged";
  plan.stages[0]->communicators_bytes = 0;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 9 'l0.add_norm': is one launch with step 8 'l0.o_sum', which only peer memory allows "
            "(--collectives ipc), not staged");
  Launches(plan) = {StepNamed(plan, "l0.rope_append")};  // of products, whatever sums them
  EXPECT_EQ(Refusal(plan), "");
}

TEST(VerifyLaunches, RejectsANormOfSomethingElse) {
  PlanT plan = Joined();
  RefOf(plan, "l0.add_norm", 1).mutate_index(BufferNamed(plan, "embed_sum.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 9 'l0.add_norm': is one launch with step 8 'l0.o_sum', and does not add its result "
            "'l0.o_sum.out' to another");
  plan = Joined();
  RefOf(plan, "l0.add_norm", 0).mutate_index(BufferNamed(plan, "l0.o_sum.out"));  // to itself
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 9 'l0.add_norm': is one launch with step 8 'l0.o_sum', and does not add its result "
            "'l0.o_sum.out' to another");
  plan = Joined();
  std::swap(RefOf(plan, "l0.add_norm", 0), RefOf(plan, "l0.add_norm", 1));  // either of the two may be the sum
  EXPECT_EQ(Refusal(plan), "");
  plan = Joined(1);
  RefOf(plan, "l0.add_norm", 1).mutate_index(BufferNamed(plan, "embedded"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.add_norm': is one launch with step 6 'l0.o', and does not add its result 'l0.o.out' to "
            "another");
}

TEST(VerifyLaunches, RejectsANormOfOneOfSeveralProducts) {
  PlanT plan = Joined(1);
  const Ref x = RefOf(plan, "l0.o", 0), weight = RefOf(plan, "l0.o", 1), none = RefOf(plan, "l0.o", 2);
  SetRefs(plan, "l0.o", {x, weight, none, weight, none},
          {RefOf(plan, "l0.o", 3), Ref(BufferNamed(plan, "l0.down.out"), RefSpace::buffer)});
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 7 'l0.add_norm': is one launch with step 6 'l0.o', which has 2 results, expected one, to be "
            "added");
}

TEST(VerifyLaunches, RejectsAnotherReaderOfWhatIsWrittenNowhere) {
  PlanT plan = Joined();
  RefOf(plan, "l0.ffn_add", 0).mutate_index(BufferNamed(plan, "l0.o_sum.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 13 'l0.ffn_add': reads 'l0.o_sum.out', which step 8 'l0.o_sum' and step 9 'l0.add_norm' "
            "keep to their launch");
  plan = Joined(1);
  RefOf(plan, "l0.ffn_add", 0).mutate_index(BufferNamed(plan, "l0.o.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.ffn_add': reads 'l0.o.out', which step 6 'l0.o' and step 7 'l0.add_norm' keep to "
            "their launch");
  for (const char* made : {"l0.k.out", "l0.v.out"}) {  // as wide as the residual, one head of 32
    plan = Joined();
    RefOf(plan, "l0.ffn_add", 0).mutate_index(BufferNamed(plan, made));
    EXPECT_EQ(Refusal(plan), fmt::format("stage 0 step 13 'l0.ffn_add': reads '{}', which step 4 'l0.qkv' and step 5 "
                                         "'l0.rope_append' keep to their launch",
                                         made));
  }
}

TEST(VerifyLaunches, RejectsAnAppendOfOthersThanTheProducts) {
  const std::string refusal =
      "stage 0 step 5 'l0.rope_append': is one launch with step 4 'l0.qkv', and reads others than its results as q, k "
      "and v, or these otherwise";
  PlanT plan = Joined();
  std::swap(RefOf(plan, "l0.rope_append", 1), RefOf(plan, "l0.rope_append", 2));
  EXPECT_EQ(Refusal(plan), refusal);
  plan = Joined();
  RefOf(plan, "l0.rope_append", 2).mutate_index(BufferNamed(plan, "embed_sum.out"));  // as wide as v
  EXPECT_EQ(Refusal(plan), refusal);
  plan = Joined();
  RefOf(plan, "l0.rope_append", 3).mutate_index(BufferNamed(plan, "l0.k.out"));  // as wide as cos_sin
  EXPECT_EQ(Refusal(plan), refusal);
  plan = Joined();  // a fourth product
  const auto ref = [&](uint32_t at) { return RefOf(plan, "l0.qkv", at); };
  SetRefs(plan, "l0.qkv", {ref(0), ref(1), ref(2), ref(3), ref(4), ref(5), ref(6), ref(5), ref(6)},
          {ref(7), ref(8), ref(9), Ref(BufferNamed(plan, "l0.down.out"), RefSpace::buffer)});
  EXPECT_EQ(Refusal(plan), refusal);
}

TEST(VerifyLaunches, RejectsHeadsThatTheKernelDoesNotTurn) {
  const auto refusal = [](const char* turned) {
    return fmt::format(
        "stage 0 step 5 'l0.rope_append': is one launch with step 4 'l0.qkv', and turns {}, expected all, by halves "
        "that are multiples of 16",
        turned);
  };
  PlanT plan = Joined();
  plan.stages[0]->rope_appends[0].mutate_interleaved(true);
  EXPECT_EQ(Refusal(plan), refusal("32 of 32 dimensions of a head, interleaved"));
  plan = Joined();
  plan.ropes[0]->inv_freq.resize(8);
  BufferOf(plan, "cos_sin").mutate_width(16);
  EXPECT_EQ(Refusal(plan), refusal("16 of 32 dimensions of a head"));
  SetHeads(plan, 8, 4, 16);  // half as large, all of whose dimensions it turns
  EXPECT_EQ(Refusal(plan), refusal("16 of 16 dimensions of a head"));
  Launches(plan) = {StepNamed(plan, "l0.add_norm")};  // an append of its own turns any
  EXPECT_EQ(Refusal(plan), "");
  plan = Joined(1);
  SetHeads(plan, 2, 1, 64);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 4 'l0.rope_append': is one launch with step 3 'l0.qkv', and turns 32 of 64 dimensions of a "
            "head, expected all, by halves that are multiples of 16");
}

TEST(VerifyLaunches, RejectsASecondThatDoesNotRunWheneverTheFirstDoes) {
  PlanT plan = Joined();
  for (uint32_t step = StepNamed(plan, "l0.add_norm"); step < plan.stages[0]->steps.size();
       ++step) {  // and its readers
    plan.stages[0]->steps[step].mutate_variant(Variant::candidates);
  }
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 9 'l0.add_norm': is one launch with step 8 'l0.o_sum', which does not run whenever it does");
}

// Angles that are made beside the embedding: what the append alone waits for, its launch would not.
TEST(VerifyLaunches, RejectsAWaitForWhatTheFirstDoesNotWaitFor) {
  PlanT plan = Joined();
  SetDeps(plan, "embed", {});
  SetDeps(plan, "l0.rope_append", {StepNamed(plan, "rope_angles"), StepNamed(plan, "l0.qkv")});
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 5 'l0.rope_append': is one launch with step 4 'l0.qkv', and waits for step 0 'rope_angles', "
            "which that does not");
  SetDeps(plan, "l0.attn_norm", {StepNamed(plan, "rope_angles"), StepNamed(plan, "embed_sum")});
  EXPECT_EQ(Refusal(plan), "");
}

// What the first step reads may be read while the second writes.
TEST(VerifyLaunches, RejectsResultsOverWhatTheLaunchReads) {
  struct Case {
    uint32_t tp;
    std::vector<std::string_view> apart;  // what is moved first
    uint64_t bytes;
    std::string_view result, operand, first, second;
  };
  for (const Case& c :
       {Case{2, {"l0.o_sum.out"}, 64 * 32 * 4, "l0.ffn_norm.out", "l0.o.out", "l0.o_sum", "l0.add_norm"},
        Case{1, {}, 0, "l0.ffn_norm.out", "l0.attn.out", "l0.o", "l0.add_norm"},
        Case{1, {"l0.attn_norm.out"}, 64 * 128 * 2, "l0.q_rope.out", "l0.attn_norm.out", "l0.qkv", "l0.rope_append"}}) {
    PlanT plan = Joined(c.tp);
    for (const std::string_view buffer : c.apart) MoveToEnd(plan, {buffer}, c.bytes);
    EXPECT_EQ(Refusal(plan), "") << c.result;
    for (uint32_t bucket = 0; bucket < plan.stages[0]->buckets.size(); ++bucket) {
      PlaceOf(plan, c.result, bucket) = PlaceOf(plan, c.operand, bucket);
    }
    const std::string refusal = Refusal(plan);
    EXPECT_NE(refusal.find(fmt::format("'{}': bucket 1: its result '{}' [", c.second, c.result)), std::string::npos)
        << refusal;
    EXPECT_NE(refusal.find(fmt::format("overlaps '{}' [", c.operand)), std::string::npos) << refusal;
    EXPECT_NE(refusal.find(fmt::format("'{}' may still be using", c.first)), std::string::npos) << refusal;
    Launches(plan).clear();  // one after the other
    EXPECT_EQ(Refusal(plan), "") << c.result;
  }
}

TEST(VerifyLaunches, RejectsASumInPlaceOfWhatIsWrittenNowhere) {
  PlanT plan = Joined(1);
  MoveToEnd(plan, {"l0.x1", "l0.o.out"}, 64 * 32 * 4);
  for (uint32_t bucket = 0; bucket < plan.stages[0]->buckets.size(); ++bucket) {  // which is in place of it
    PlaceOf(plan, "l0.x2", bucket) = PlaceOf(plan, "l0.x1", bucket);
  }
  const std::string refusal = Refusal(plan);
  EXPECT_NE(refusal.find("'l0.add_norm': bucket 1: its result 'l0.x1' ["), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("which step 6 'l0.o' may still be using"), std::string::npos) << refusal;
  Launches(plan) = {StepNamed(plan, "l0.rope_append")};
  EXPECT_EQ(Refusal(plan), "");
}

}  // namespace
}  // namespace mrs::testing
