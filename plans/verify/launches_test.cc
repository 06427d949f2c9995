// One test a rule of which steps are one launch: each breaks exactly that rule of a valid plan of peer memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

PlanT Joined(uint32_t tp = 2) { return TinyPlan({.tp = tp, .fused = true, .joined = true}); }
std::vector<uint32_t>& Launches(PlanT& plan) { return plan.stages[0]->joined; }

TEST(VerifyLaunches, PassesOnAnyNumberOfRanksAndLayers) {
  for (const uint32_t tp : {2, 4}) {
    EXPECT_EQ(Refusal(Joined(tp)), "") << tp;
    const PlanT plan = TinyPlan({.tp = tp, .layer_count = 3, .fused = true, .joined = true});
    EXPECT_EQ(plan.stages[0]->joined.size(), 3u);
    EXPECT_EQ(Refusal(plan), "") << tp;
  }
  PlanT plan = Joined();
  Launches(plan).clear();  // each by itself
  EXPECT_EQ(Refusal(plan), "");
}

TEST(VerifyLaunches, RejectsNumbersThatAreNoSteps) {
  PlanT plan = Joined();
  const uint32_t joined = Launches(plan)[0];
  const auto with = [&](std::vector<uint32_t> steps) {
    Launches(plan) = std::move(steps);
    return Refusal(plan);
  };
  EXPECT_EQ(with({0}),
            "stage 0: step 0 is listed as one launch with the step before it, expected 1 to 21 in ascending order");
  EXPECT_EQ(with({22}),
            "stage 0: step 22 is listed as one launch with the step before it, expected 1 to 21 in ascending order");
  EXPECT_EQ(
      with({UINT32_MAX}),
      "stage 0: step 4294967295 is listed as one launch with the step before it, expected 1 to 21 in ascending order");
  EXPECT_EQ(with({joined, joined}),
            "stage 0: step 11 is listed as one launch with the step before it, expected 12 to 21 in ascending order");
}

TEST(VerifyLaunches, RejectsStepsThatAreNoKernel) {
  PlanT plan = Joined();
  Launches(plan).push_back(StepNamed(plan, "l0.gated"));
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 12 'l0.gated': is one launch with step 11 'l0.add_norm', but add_rms_norm and matmul_silu_mul "
      "are no kernel; all_reduce and add_rms_norm are");
  plan = Joined();
  Launches(plan)[0] = StepNamed(plan, "l0.o_sum");
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 10 'l0.o_sum': is one launch with step 9 'l0.o', but matmul and all_reduce are no kernel; "
            "all_reduce and add_rms_norm are");
}

TEST(VerifyLaunches, RejectsThemWithoutPeerMemory) {
  PlanT plan = Joined();
  plan.options[0]->value = "staged";
  plan.stages[0]->communicators_bytes = 0;
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.add_norm': is one launch with step 10 'l0.o_sum', which only peer memory allows "
            "(--collectives ipc), not staged");
}

TEST(VerifyLaunches, RejectsANormOfSomethingElse) {
  PlanT plan = Joined();
  RefOf(plan, "l0.add_norm", 1).mutate_index(BufferNamed(plan, "embed_sum.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.add_norm': is one launch with step 10 'l0.o_sum', and does not add its result "
            "'l0.o_sum.out' to another");
  plan = Joined();
  RefOf(plan, "l0.add_norm", 0).mutate_index(BufferNamed(plan, "l0.o_sum.out"));  // to itself
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.add_norm': is one launch with step 10 'l0.o_sum', and does not add its result "
            "'l0.o_sum.out' to another");
  plan = Joined();
  std::swap(RefOf(plan, "l0.add_norm", 0), RefOf(plan, "l0.add_norm", 1));  // either of the two may be the sum
  EXPECT_EQ(Refusal(plan), "");
}

TEST(VerifyLaunches, RejectsAnotherReaderOfWhatIsWrittenNowhere) {
  PlanT plan = Joined();
  RefOf(plan, "l0.ffn_add", 0).mutate_index(BufferNamed(plan, "l0.o_sum.out"));
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 15 'l0.ffn_add': reads 'l0.o_sum.out', which step 10 'l0.o_sum' and step 11 'l0.add_norm' "
            "keep to their launch");
}

TEST(VerifyLaunches, RejectsANormThatDoesNotAlwaysRun) {
  PlanT plan = Joined();
  for (uint32_t step = Launches(plan)[0]; step < plan.stages[0]->steps.size(); ++step) {  // and what waits for it
    plan.stages[0]->steps[step].mutate_variant(Variant::candidates);
  }
  EXPECT_EQ(
      Refusal(plan),
      "stage 0 step 11 'l0.add_norm': is one launch with step 10 'l0.o_sum', which does not run whenever it does");
}

TEST(VerifyLaunches, RejectsAWaitForSomethingElse) {
  PlanT plan = Joined();
  DepOf(plan, "l0.add_norm") = StepNamed(plan, "l0.o");
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 11 'l0.add_norm': is one launch with step 10 'l0.o_sum', and waits for something else than "
            "that alone");
}

// What the first step reads may be read while the second writes.
TEST(VerifyLaunches, RejectsResultsOverWhatTheLaunchReads) {
  PlanT plan = Joined();
  StageT& stage = *plan.stages[0];
  for (uint32_t bucket = 0; bucket < stage.buckets.size(); ++bucket) {  // the ranks' sum not in place
    PlaceOf(plan, "l0.o_sum.out", bucket) = stage.buckets[bucket].arena_bytes();
    stage.buckets[bucket].mutate_arena_bytes(stage.buckets[bucket].arena_bytes() + 64 * 32 * 4);
    stage.activation_arena_bytes = std::max(stage.activation_arena_bytes, stage.buckets[bucket].arena_bytes());
  }
  EXPECT_EQ(Refusal(plan), "");
  PlaceOf(plan, "l0.ffn_norm.out", 0) = PlaceOf(plan, "l0.o.out", 0);
  const std::string refusal = Refusal(plan);
  EXPECT_NE(refusal.find("'l0.add_norm': bucket 1: its result 'l0.ffn_norm.out' ["), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("overlaps 'l0.o.out' ["), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("which step 10 'l0.o_sum' may still be using"), std::string::npos) << refusal;
  Launches(plan).clear();  // one after the other
  EXPECT_EQ(Refusal(plan), "");
}

}  // namespace
}  // namespace mrs::testing
