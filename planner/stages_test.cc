// The plan of two stages passes plans/verify, and none that breaks what holds them together.
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <stdexcept>
#include <utility>

#include "host/source_dir_for_test.h"
#include "mlir/Pass/PassManager.h"
#include "planner/compiler.h"
#include "planner/emit_plan.h"
#include "planner/model_facts.h"
#include "planner/passes/passes.h"
#include "plans/structure.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace mrs::planner {
namespace {

// The bundled model, its layers 0 and 1 on ranks 0 and 1, layers 2 and 3 on ranks 2 and 3.
plan::PlanT TwoStages() {
  BuildOptions options;
  options.model_dir = SourceDir() + "/models/mini";
  options.tp = 2;
  options.pp = 2;
  options.max_len = 256;
  options.memory = uint64_t{1} << 30;
  const Result<ModelFacts> facts = ReadModelFacts(options);
  if (!facts) throw std::runtime_error(facts.error().message);
  Compiler compiler;
  auto module = UnshardedModule(compiler.context(), *facts);
  mlir::PassManager manager(&compiler.context());
  AddPlanPipeline(manager);
  if (mlir::failed(manager.run(*module))) throw std::runtime_error(compiler.Failure().message);
  auto plan = EmitPlan(*module);
  if (!plan) throw std::runtime_error(plan.error().message);
  return *std::move(plan);
}

std::string Refusal(const plan::PlanT& plan) {
  const std::string bytes = PackPlan(plan);
  const Result<SealedPlan> sealed = CheckStructure(std::as_bytes(std::span(bytes)));
  if (!sealed) return sealed.error().message;
  const Status status = VerifyPlan(*sealed->plan);
  return status.ok() ? "" : status.message();
}

plan::Step& StepOf(plan::PlanT& plan, size_t stage, plan::OpKind op) {
  for (plan::Step& step : plan.stages[stage]->steps) {
    if (step.op() == op) return step;
  }
  throw std::runtime_error("no such step");
}

TEST(Stages, AreAPlan) { EXPECT_EQ(Refusal(TwoStages()), ""); }

TEST(Stages, SendToTheNextAndReceiveFromTheOneBefore) {
  plan::PlanT plan = TwoStages();
  plan.stages[0]->transfers[0].mutate_peer_stage(0);
  EXPECT_EQ(Refusal(plan), "stage 0 step 33 'l1.mlp_add.send': sends to stage 0, expected its neighbour 1");
  plan = TwoStages();
  plan.stages[1]->transfers[0].mutate_peer_stage(1);
  EXPECT_EQ(Refusal(plan), "stage 1 step 0 'l1.mlp_add.recv': receives from stage 1, expected its neighbour 0");
  plan = TwoStages();
  plan.stages[1]->transfers[0].mutate_order(1);
  EXPECT_EQ(Refusal(plan), "stage 1 step 0 'l1.mlp_add.recv': is transfer 1 between the two stages, expected 0");
}

TEST(Stages, TransferWhatTheOtherSideTakes) {
  plan::PlanT plan = TwoStages();
  plan.stages[1]->transfers[0].mutate_row_elements(128);
  EXPECT_EQ(
      Refusal(plan),
      "stage 1 step 0 'l1.mlp_add.recv': result 'l1.mlp_add.recv' is f32 [tokens, 256], expected f32 [tokens, 128]");
  plan = TwoStages();
  plan.stages[0]->steps.pop_back();
  plan.stages[0]->refs.pop_back();
  plan.stages[0]->deps.pop_back();
  EXPECT_EQ(Refusal(plan), "stage 0: no step carries out transfer 0");
  plan.stages[0]->transfers.clear();
  EXPECT_EQ(Refusal(plan), "stage 0 sends 0 values, but stage 1 receives 1");
}

// Each is a space of KV blocks in every batch, and batches name so many.
TEST(Stages, HaveFewWindowsTogether) {
  plan::PlanT plan = TwoStages();
  for (uint64_t stage : {0, 1}) {
    for (uint64_t i = 1; i <= 200; ++i) {
      std::vector<plan::KvClass>& classes = plan.stages[stage]->kv_classes;
      classes.push_back(plan::KvClass(classes[0]));
      classes.back().mutate_window(1000 * stage + i);
    }
  }
  EXPECT_EQ(Refusal(plan), "the number of different windows is 401, expected 1 to 256");
}

// The second stage begins with angles of its own, which happen to be as wide as what it would receive.
TEST(Stages, TransferSomething) {
  plan::PlanT plan = TwoStages();
  plan::StageT &first = *plan.stages[0], &second = *plan.stages[1];
  first.steps.pop_back();
  first.refs.pop_back();
  first.deps.pop_back();
  first.transfers.clear();
  second.transfers.clear();
  plan.ropes.push_back(std::make_unique<plan::RopeT>(*plan.ropes[0]));
  plan.ropes.back()->inv_freq.resize(plan.model->hidden / 2, 0.5F);
  plan::Step& received = StepOf(plan, 1, plan::OpKind::recv);
  const plan::Ref positions = second.refs[StepOf(plan, 1, plan::OpKind::rope_angles).operand_begin()];
  ASSERT_EQ(received.operand_begin(), 0u);
  second.refs.insert(second.refs.begin(), positions);
  received.mutate_op(plan::OpKind::rope_angles);
  received.mutate_attr(static_cast<uint32_t>(plan.ropes.size() - 1));
  received.mutate_operand_count(1);
  for (size_t i = 1; i < second.steps.size(); ++i) {
    second.steps[i].mutate_operand_begin(second.steps[i].operand_begin() + 1);
  }
  EXPECT_EQ(Refusal(plan), "stage 0: sends nothing, and only the last stage answers");
}

// The first stage sends its residual stream a second time; the new step waits for what `deps` says.
void SendTwice(plan::StageT& stage, uint32_t dep) {
  plan::Step again = stage.steps.back();
  ASSERT_EQ(again.op(), plan::OpKind::send);
  ASSERT_EQ(again.operand_count(), 1u);
  again.mutate_operand_begin(static_cast<uint32_t>(stage.refs.size()));
  again.mutate_attr(static_cast<uint32_t>(stage.transfers.size()));
  again.mutate_dep_begin(static_cast<uint32_t>(stage.deps.size()));
  again.mutate_dep_count(1);
  stage.refs.push_back(plan::Ref(stage.refs.back()));
  stage.transfers.push_back(plan::Transfer(stage.transfers.back()));
  stage.transfers.back().mutate_order(1);
  stage.deps.push_back(dep);
  stage.steps.push_back(again);
}

TEST(Stages, TransferInOneOrder) {
  plan::PlanT plan = TwoStages();
  const plan::Step sent = plan.stages[0]->steps.back();
  SendTwice(*plan.stages[0], plan.stages[0]->deps[sent.dep_begin()]);  // who makes the value
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 34 'l1.mlp_add.send': does not wait for step 33 'l1.mlp_add.send', the transfer before it: "
            "they could "
            "pass each other");
  plan.stages[0]->deps.back() = 33;  // the first send
  EXPECT_EQ(Refusal(plan), "stage 0 sends 2 values, but stage 1 receives 1");
}

// What it received, it passes on to a stage that is not there.
TEST(Stages, SendNothingPastTheLast) {
  for (const uint32_t peer : {0u, 1u, 2u}) {
    plan::PlanT plan = TwoStages();
    plan::StageT& last = *plan.stages[1];
    plan::Step send = last.steps[0];
    ASSERT_EQ(send.op(), plan::OpKind::recv);
    ASSERT_EQ(send.dep_count(), 0u);
    for (plan::Step& step : last.steps) {
      step.mutate_operand_begin(step.operand_begin() + (step.operand_begin() > 0 ? 1 : 0));
      step.mutate_dep_begin(step.dep_begin() + (step.dep_count() > 0 ? 1 : 0));
    }
    for (uint32_t& dep : last.deps) ++dep;  // who waited for the value waits for the new step, which waits for it
    send.mutate_op(plan::OpKind::send);
    send.mutate_operand_begin(1);
    send.mutate_operand_count(1);
    send.mutate_result_count(0);
    send.mutate_attr(1);
    send.mutate_dep_begin(0);
    send.mutate_dep_count(1);
    last.refs.insert(last.refs.begin() + 1, plan::Ref(last.refs[0]));
    last.deps.insert(last.deps.begin(), 0);
    last.steps.insert(last.steps.begin() + 1, send);
    last.transfers.push_back(plan::Transfer(last.transfers[0]));
    last.transfers.back().mutate_peer_stage(peer);
    EXPECT_EQ(Refusal(plan), "stage 1 step 1 'l1.mlp_add.recv': sends past stage 1, which is the last one") << peer;
  }
}

TEST(Stages, TransferInEveryForward) {
  plan::PlanT plan = TwoStages();
  StepOf(plan, 0, plan::OpKind::send).mutate_variant(plan::Variant::candidates);
  EXPECT_EQ(Refusal(plan),
            "stage 0 step 33 'l1.mlp_add.send': runs only in candidates; stages do not know of each other's variants");
}

TEST(Stages, AnswerAtTheEndAlone) {
  plan::PlanT plan = TwoStages();
  plan.stages[0]->candidates_buffer = 0;
  EXPECT_EQ(Refusal(plan),
            "stage 0: names buffers 0 and 4294967295 as its results, expected none: only the last stage answers");
}

TEST(Stages, HaveTheSameBatches) {
  plan::PlanT plan = TwoStages();
  plan.stages[1]->buckets[0].mutate_logit_rows(15);
  EXPECT_EQ(Refusal(plan),
            "stage 1 bucket 0: (16 tokens, 16 sequences, 15 logit rows), that of stage 0 is (16, 16, 16)");
}

TEST(Stages, HaveTheSameBlocks) {
  plan::PlanT plan = TwoStages();
  plan::KvClass& cache = plan.stages[1]->kv_classes[0];
  cache.mutate_block_count(cache.block_count() - 1);
  plan.stages[1]->kv_arena_bytes -= cache.block_bytes();
  EXPECT_EQ(Refusal(plan), "stage 1: 127 KV blocks for window 0, stage 0 has 128; one block table is good for all");
}

TEST(Stages, HaveRanksAndGroupsOfTheirOwn) {
  plan::PlanT plan = TwoStages();
  plan.stages[1]->collectives[0].mutate_group(0);
  EXPECT_EQ(Refusal(plan), "stage 1 step 9 'l2.o_proj.all_reduce': runs over group 0, expected the stage's group 1");
  plan = TwoStages();
  plan.stages[1]->tp_group = 0;
  EXPECT_EQ(Refusal(plan), "stage 1: its ranks start at 0 by 1, expected [2, 4)");
}

}  // namespace
}  // namespace mrs::planner
