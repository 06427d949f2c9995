// The rules of the sum of squares over split heads, each on a valid plan that gained one or two steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using namespace plan;

uint32_t AddBuffer(PlanT& plan, const char* name, uint64_t width) {
  StageT& stage = *plan.stages[0];
  plan.names.emplace_back(name);
  stage.buffers.emplace_back(width, static_cast<uint32_t>(plan.names.size() - 1), DType::f32, Rows::tokens, false);
  std::vector<uint64_t> placements;
  for (size_t b = 0; b < stage.buckets.size(); ++b) {
    const size_t before = stage.buffers.size() - 1;
    placements.insert(placements.end(), stage.placements.begin() + static_cast<ptrdiff_t>(b * before),
                      stage.placements.begin() + static_cast<ptrdiff_t>((b + 1) * before));
    Bucket& bucket = stage.buckets[b];
    placements.push_back((bucket.arena_bytes() + 63) / 64 * 64);
    bucket.mutate_arena_bytes(placements.back() + (bucket.tokens() * width * 4 + 63) / 64 * 64);
    stage.activation_arena_bytes = std::max(stage.activation_arena_bytes, bucket.arena_bytes());
  }
  stage.placements = placements;
  return static_cast<uint32_t>(stage.buffers.size() - 1);
}

// Puts a step of one result before the one of that name, in the same chain of dependencies.
void Insert(PlanT& plan, std::string_view before, OpKind op, std::vector<Ref> operands, uint32_t result) {
  StageT& stage = *plan.stages[0];
  const uint32_t at = StepNamed(plan, before);
  Step step = stage.steps[at];
  step.mutate_op(op);
  step.mutate_attr(0);
  step.mutate_operand_count(static_cast<uint16_t>(operands.size()));
  step.mutate_result_count(1);
  operands.emplace_back(result, RefSpace::buffer);
  for (uint32_t& dep : stage.deps) dep += dep + 1 >= at ? 1 : 0;
  stage.deps.insert(stage.deps.begin() + step.dep_begin(), at - 1);
  stage.refs.insert(stage.refs.begin() + step.operand_begin(), operands.begin(), operands.end());
  for (uint32_t i = at; i < stage.steps.size(); ++i) {
    stage.steps[i].mutate_operand_begin(stage.steps[i].operand_begin() + static_cast<uint32_t>(operands.size()));
    stage.steps[i].mutate_dep_begin(stage.steps[i].dep_begin() + 1);
  }
  stage.steps.insert(stage.steps.begin() + at, step);
}

// x is squared and summed over heads of 8.
uint32_t SumSquares(PlanT& plan, std::string_view x, uint64_t heads, uint64_t chunk_heads) {
  const uint32_t sum = AddBuffer(plan, "sum", 1);
  plan.stages[0]->sum_squares.emplace_back(heads, 8, chunk_heads);
  Insert(plan, "l0.attn_add", OpKind::sum_squares, {Ref(BufferNamed(plan, x), RefSpace::buffer)}, sum);
  return sum;
}

void RmsScale(PlanT& plan, uint32_t sum, uint64_t width, uint64_t total) {
  const uint32_t y = AddBuffer(plan, "scaled", width);
  plan.stages[0]->rms_scales.emplace_back(width, total, 1e-5F);
  Insert(plan, "l0.ffn_norm", OpKind::rms_scale,
         {Ref(BufferNamed(plan, "l0.q.out"), RefSpace::buffer), Ref(sum, RefSpace::buffer),
          Ref(WeightNamed(plan, "l0.q_bias"), RefSpace::weight)},
         y);
}

TEST(VerifySumSquares, AcceptsWholeAndSplitHeads) {
  for (const uint32_t tp : {1, 2, 4}) {
    PlanT plan = TinyPlan({.tp = tp});
    SumSquares(plan, "l0.q.out", 4 / tp, 1);
    EXPECT_EQ(Refusal(plan), "") << tp;
  }
  PlanT plan = TinyPlan({.tp = 1});
  RmsScale(plan, SumSquares(plan, "l0.q.out", 4, 1), 32, 32);
  EXPECT_EQ(Refusal(plan), "");
}

TEST(VerifySumSquares, RejectsHeadsThatSeveralRanksHave) {
  PlanT plan = TinyPlan({.tp = 4});
  SumSquares(plan, "l0.k.out", 1, 1);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 14 'l0.attn_add': sums the squares of 'l0.k.out', which is cut into parts of 8, each on 2 "
            "ranks: the sum over the ranks would count it so often");
}

TEST(VerifySumSquares, RejectsASumThatIsNotComplete) {
  PlanT plan = TinyPlan({.tp = 2});
  RmsScale(plan, SumSquares(plan, "l0.q.out", 2, 1), 16, 32);
  EXPECT_EQ(Refusal(plan), "stage 0 step 16 'l0.ffn_norm': reads 'sum', a partial sum; only an all_reduce may");
}

TEST(VerifySumSquares, RejectsAnotherCountOfElements) {
  PlanT plan = TinyPlan({.tp = 1});
  RmsScale(plan, SumSquares(plan, "l0.q.out", 4, 1), 32, 64);
  EXPECT_THAT(Refusal(plan),
              ::testing::EndsWith("divides its sum by 64 elements, the ranks have 32 of 'l0.q.out' in all"));
}

TEST(VerifySumSquares, RejectsChunksThatAreNoSubtree) {
  for (const uint64_t chunk_heads : {uint64_t{0}, uint64_t{3}, uint64_t{8}}) {
    PlanT plan = TinyPlan({.tp = 1});
    SumSquares(plan, "l0.q.out", 4, chunk_heads);
    EXPECT_THAT(Refusal(plan), ::testing::HasSubstr("sums 4 heads in chunks of")) << chunk_heads;
  }
}

}  // namespace
}  // namespace mrs::testing
