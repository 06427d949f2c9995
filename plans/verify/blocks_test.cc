// The operations of the dense families beside Llama's, in a plan that would hold: what each must be like is refused by
// its name.
#include <gtest/gtest.h>

#include "plans/testing/tiny_plan.h"

namespace mrs::testing {
namespace {

using plan::OpKind;
using plan::PlanT;
using plan::Ref;

std::vector<Ref> OperandsOf(const PlanT& plan, const std::string& name) {
  const plan::StageT& stage = *plan.stages[0];
  const plan::Step& step = stage.steps[StepNamed(plan, name)];
  const auto begin = stage.refs.begin() + step.operand_begin();
  return {begin, begin + step.operand_count()};
}

// Turns a step into another operation; the references of the steps behind it move along.
void Become(PlanT& plan, const std::string& name, OpKind op, const std::vector<Ref>& operands) {
  plan::StageT& stage = *plan.stages[0];
  const uint32_t index = StepNamed(plan, name);
  plan::Step& step = stage.steps[index];
  const auto begin = stage.refs.begin() + step.operand_begin();
  const auto delta = static_cast<int64_t>(operands.size()) - static_cast<int64_t>(step.operand_count());
  stage.refs.insert(stage.refs.erase(begin, begin + step.operand_count()), operands.begin(), operands.end());
  for (uint32_t i = index + 1; i < stage.steps.size(); ++i) {
    stage.steps[i].mutate_operand_begin(static_cast<uint32_t>(stage.steps[i].operand_begin() + delta));
  }
  step.mutate_operand_count(static_cast<uint16_t>(operands.size()));
  step.mutate_op(op);
  step.mutate_attr(0);
}

TEST(Verify, ChecksTheAttributeOfAGelu) {
  PlanT plan = TinyPlan();
  StepOf(plan, "l0.silu").mutate_op(OpKind::gelu_mul);
  EXPECT_EQ(Refusal(plan), "stage 0 step 17 'l0.silu': its attribute is entry 0 of 0");
  plan.stages[0]->glus.push_back(std::make_unique<plan::GluAttrT>());
  EXPECT_EQ(Refusal(plan), "");
}

TEST(Verify, ChecksScalesAndCaps) {
  PlanT plan = TinyPlan();
  plan.stages[0]->scales.emplace_back(0.5F);
  Become(plan, "l0.attn_add", OpKind::scale, {OperandsOf(plan, "l0.attn_add")[1]});
  EXPECT_EQ(Refusal(plan), "");
  StepOf(plan, "l0.attn_add").mutate_op(OpKind::soft_cap);
  EXPECT_EQ(Refusal(plan), "");
  plan.stages[0]->scales[0].mutate_factor(0);
  EXPECT_EQ(Refusal(plan), "stage 0 step 14 'l0.attn_add': its cap is 0, expected more than 0");
}

TEST(Verify, ChecksALayerNormsBias) {
  for (const bool right : {true, false}) {
    PlanT plan = TinyPlan();
    std::vector<Ref> operands = OperandsOf(plan, "l0.ffn_norm");
    operands.push_back(OperandsOf(plan, right ? "l0.ffn_norm" : "l0.q_norm")[1]);
    Become(plan, "l0.ffn_norm", OpKind::layer_norm, operands);
    EXPECT_EQ(Refusal(plan), right
                                 ? ""
                                 : "stage 0 step 15 'l0.ffn_norm': weight 'l0.q_norm' is a vector of 8 rows, expected "
                                   "a vector of 32");
  }
}

TEST(Verify, ChecksPositionScales) {
  PlanT plan = TinyPlan();
  plan.stages[0]->position_scales.emplace_back(32, 0.1F);
  Become(plan, "l0.attn_add", OpKind::position_scale,
         {OperandsOf(plan, "l0.attn_add")[1], OperandsOf(plan, "rope_angles")[0]});
  EXPECT_EQ(Refusal(plan), "");
  plan.stages[0]->position_scales[0].mutate_original(0);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 14 'l0.attn_add': grows by 0.1 from token 0 on, expected 0 or more, and a token from 1 on");
}

// A second class needs its own slots and block table, and its steps must read those.
TEST(Verify, GivesEachCacheClassItsInputs) {
  PlanT plan = TinyPlan({.layer_count = 2});
  plan::KvClass& all = plan.stages[0]->kv_classes[0];
  all.mutate_layer_count(1);
  all.mutate_block_bytes(all.block_bytes() / 2);
  plan.stages[0]->kv_classes.push_back(all);
  plan.stages[0]->attentions[1]->kv_class = 1;
  plan.stages[0]->attentions[1]->kv_layer = 0;
  EXPECT_EQ(Refusal(plan), "stage 0: input 'slots.1' is missing");
}

}  // namespace
}  // namespace mrs::testing
