// Each breaks one thing of a plan, in a way that leaves it well-formed, and is told the step and what differs. The plan
// is sealed anew and not verified: what is refused here, the erasure check refuses alone.
#include "planner/erasure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "ir/dialect.h"
#include "mlir/Parser/Parser.h"
#include "planner/erasure_subject_for_test.h"
#include "planner/verify_model.h"
#include "plans/testing/tiny_plan.h"

namespace mrs::planner {
namespace {

using testing::RefOf;
using testing::SourceOf;
using testing::StepOf;
using testing::WeightNamed;

constexpr const char* kMini = "models/mini";
constexpr const char* kBiased = "tests/golden/llama_bias_f32";

TEST(Erasure, PassesWhatIsBuiltOnAnyNumberOfRanks) {
  for (const int64_t tp : {1, 2, 4, 8}) EXPECT_EQ(Subject(kMini, {.tp = tp}).Refusal(), "") << tp;
  for (const int64_t tp : {1, 2, 4}) EXPECT_EQ(Subject(kBiased, {.tp = tp}).Refusal(), "") << tp;
}

// What GPUs do in one step is what the plain steps do.
TEST(Erasure, PassesFusedSteps) {
  for (const Cut& cut : {Cut{1, 1, "2GiB"}, Cut{2, 1, "2x2GiB"}, Cut{2, 2, "4x2GiB"}, Cut{2, 1, "2xH100-SXM", "ipc"}}) {
    Subject s(kMini, cut);
    EXPECT_EQ(s.Refusal(), "") << cut.gpus;
    const size_t layers = 4u / static_cast<size_t>(cut.stages);
    EXPECT_EQ(s.stage().rope_appends.size(), layers) << cut.gpus;
    EXPECT_EQ(std::ranges::count(s.stage().steps, plan::OpKind::matmul_silu_mul, &plan::Step::op), layers) << cut.gpus;
  }
}

TEST(Erasure, NamesWhatAFusedStepDoesOtherwise) {
  const auto refusal = [](auto mutate) {
    Subject s(kMini, {.tp = 2, .gpus = "2x2GiB"});
    mutate(s);
    return s.Refusal();
  };
  const char* const norm = "l0.mlp_add+l1.input_norm";
  const char* const append = "l1.q_rope+k_rope+kv_append";
  EXPECT_EQ(refusal([&](Subject& s) { s.stage().norms[StepOf(s.plan, norm).attr()]->eps = 1e-6f; }),
            "erasure: stage 0 step 13 'l0.mlp_add+l1.input_norm': eps of its rms_norm is 1e-06, expected 1e-05 as in "
            "'l1.input_norm'");
  EXPECT_EQ(refusal([&](Subject& s) { RefOf(s.plan, norm, 1) = RefOf(s.plan, norm, 0); }),
            "erasure: stage 0 step 13 'l0.mlp_add+l1.input_norm': reads 'l0.attention_add', expected 'l0.down_proj' as "
            "'l0.mlp_add' does");
  EXPECT_EQ(refusal([&](Subject& s) { RefOf(s.plan, norm, 2) = RefOf(s.plan, "l0.attention_add+post_norm", 2); }),
            "erasure: stage 0 step 13 'l0.mlp_add+l1.input_norm': reads 'l0.post_norm.weight', expected "
            "'l1.input_norm.weight' as 'l1.input_norm' does");
  EXPECT_EQ(refusal([&](Subject& s) { std::swap(RefOf(s.plan, append, 1), RefOf(s.plan, append, 2)); }),
            "erasure: stage 0 step 15 'l1.q_rope+k_rope+kv_append': reads 'l1.v_proj', expected 'l1.k_proj' as "
            "'l1.k_rope' does");
  const auto told = [&](auto mutate) {
    return refusal([&](Subject& s) { mutate(s.stage().rope_appends[StepOf(s.plan, append).attr()]); });
  };
  EXPECT_EQ(told([](plan::RopeAppendAttr& attr) { attr.mutate_interleaved(true); }),
            "erasure: stage 0 step 15 'l1.q_rope+k_rope+kv_append': interleaved of its rope is true, expected false as "
            "in 'l1.q_rope'");
  EXPECT_EQ(told([](plan::RopeAppendAttr& attr) { attr.mutate_head_dim(64); }),
            "erasure: stage 0 step 15 'l1.q_rope+k_rope+kv_append': head_dim of its rope is 64, expected 32 as in "
            "'l1.q_rope'");
  EXPECT_EQ(told([](plan::RopeAppendAttr& attr) { attr.mutate_kv_layer(0); }),
            "erasure: stage 0 step 16 'l1.attention': nothing was appended to its cache");
  EXPECT_EQ(told([](plan::RopeAppendAttr& attr) { attr.mutate_window(4); }),
            "erasure: stage 0 step 15 'l1.q_rope+k_rope+kv_append': window of its kv_append is 4, expected 0 as in "
            "'l1.kv_append'");
}

TEST(Erasure, NamesWhatGatedProductsDoOtherwise) {
  const auto refusal = [](auto mutate) {
    Subject s(kMini, {.tp = 2, .gpus = "2x2GiB"});
    mutate(s);
    return s.Refusal();
  };
  const char* const gated = "l0.gate_proj+up_proj+silu_mul";
  const std::string at = "erasure: stage 0 step 10 'l0.gate_proj+up_proj+silu_mul': ";
  EXPECT_EQ(refusal([&](Subject& s) { std::swap(RefOf(s.plan, gated, 1), RefOf(s.plan, gated, 3)); }),
            at + "reads 'l0.up_proj', expected 'l0.gate_proj' as 'l0.silu_mul' does");
  EXPECT_EQ(refusal([&](Subject& s) { RefOf(s.plan, gated, 3) = RefOf(s.plan, gated, 1); }),
            at + "reads 'l0.gate_proj', expected 'l0.up_proj' as 'l0.silu_mul' does");
  EXPECT_EQ(refusal([&](Subject& s) { RefOf(s.plan, gated, 4) = RefOf(s.plan, "l0.attention_add+post_norm", 2); }),
            at + "reads what a weight leaves, expected that of no bias 'l0.up_proj'");
  EXPECT_EQ(refusal([&](Subject& s) { RefOf(s.plan, gated, 0) = RefOf(s.plan, "l0.q_proj+k_proj+v_proj", 0); }),
            at + "reads 'l0.input_norm', expected 'l0.post_norm' as 'l0.gate_proj' does");
  EXPECT_EQ(
      refusal([&](Subject& s) {
        StepOf(s.plan, gated).mutate_op(plan::OpKind::matmul_gelu_mul);
        s.stage().glus.push_back(std::make_unique<plan::GluAttrT>());
      }),
      "erasure: stage 0 step 11 'l0.down_proj': reads what a gelu_mul leaves, expected that of silu_mul 'l0.silu_mul'");
}

// What it uses is nobody's to read, and what was there before it has no meaning after it.
TEST(Erasure, NamesWhoReadsWhatGatedProductsUse) {
  const char* const gated = "l0.gate_proj+up_proj+silu_mul";
  const char* const norm = "l0.mlp_add+l1.input_norm";
  for (const uint32_t scratch : {5u, 6u}) {
    Subject s(kMini, {.tp = 2, .gpus = "2x2GiB"});
    RefOf(s.plan, norm, 1) = RefOf(s.plan, gated, scratch);
    EXPECT_EQ(s.Refusal(),
              "erasure: stage 0 step 13 'l0.mlp_add+l1.input_norm': reads a buffer that nothing has written");
    Subject over(kMini, {.tp = 2, .gpus = "2x2GiB"});
    RefOf(over.plan, gated, scratch) = RefOf(over.plan, norm, 0);
    EXPECT_EQ(over.Refusal(),
              "erasure: stage 0 step 13 'l0.mlp_add+l1.input_norm': reads a buffer that nothing has written");
  }
}

TEST(Erasure, NamesFusedWeightsThatAreExchangedWhereTheirProductIsRead) {
  Subject s(kMini);
  std::swap(RefOf(s.plan, "l0.gate_proj+up_proj", 1), RefOf(s.plan, "l0.gate_proj+up_proj", 3));
  EXPECT_EQ(
      s.Refusal(),
      "erasure: stage 0 step 14 'l0.silu_mul': reads 'l0.up_proj', expected 'l0.gate_proj' as 'l0.silu_mul' does");
}

TEST(Erasure, NamesAWeightOfAnotherLayer) {
  Subject s(kMini);
  RefOf(s.plan, "l1.o_proj", 1) = RefOf(s.plan, "l0.o_proj", 1);
  EXPECT_EQ(
      s.Refusal(),
      "erasure: stage 0 step 24 'l1.o_proj': reads 'l0.o_proj.weight', expected 'l1.o_proj.weight' as 'l1.o_proj' "
      "does");
}

TEST(Erasure, NamesResultsOfAFusedProductThatAreExchanged) {
  Subject s(kMini);
  std::swap(RefOf(s.plan, "l0.q_proj+k_proj+v_proj", 8), RefOf(s.plan, "l0.q_proj+k_proj+v_proj", 9));
  EXPECT_EQ(s.Refusal(),
            "erasure: stage 0 step 6 'l0.k_rope': reads 'l0.v_proj', expected 'l0.k_proj' as 'l0.k_rope' does");
}

TEST(Erasure, NamesBiasesThatAreExchanged) {
  Subject s(kBiased);
  std::swap(RefOf(s.plan, "l0.q_proj+k_proj+v_proj", 4), RefOf(s.plan, "l0.q_proj+k_proj+v_proj", 6));
  EXPECT_EQ(s.Refusal(),
            "erasure: stage 0 step 4 'l0.q_proj+k_proj+v_proj': reads 'l0.v_proj.bias', expected 'l0.k_proj.bias' as "
            "'l0.k_proj' does");
}

TEST(Erasure, NamesABiasThatIsLeftOut) {
  Subject s(kBiased);
  RefOf(s.plan, "l0.gate_proj+up_proj", 2) = plan::Ref(0, plan::RefSpace::none);
  EXPECT_EQ(s.Refusal(),
            "erasure: stage 0 step 14 'l0.gate_proj+up_proj': reads what a no bias leaves, expected that of weight "
            "'l0.gate_proj.bias'");
}

TEST(Erasure, NamesATensorsPlaceTypeAndShape) {
  const auto refusal = [](auto mutate) {
    Subject s(kMini);
    mutate(SourceOf(s.plan, "l0.k_proj.weight"));
    return s.Refusal();
  };
  EXPECT_EQ(refusal([](auto& source) { source.mutate_file_offset(64); }),
            "erasure: stage 0 step 4 'l0.q_proj+k_proj+v_proj': offset of its tensor is 64, expected 2842712 as in "
            "'l0.k_proj.weight'");
  EXPECT_EQ(refusal([](auto& source) { source.mutate_dtype(plan::DType::f16); }),
            "erasure: stage 0 step 4 'l0.q_proj+k_proj+v_proj': dtype of its tensor is f16, expected bf16 as in "
            "'l0.k_proj.weight'");
  EXPECT_EQ(refusal([](auto& source) { source.mutate_tensor_rows(256); }),
            "erasure: stage 0 step 4 'l0.q_proj+k_proj+v_proj': rows of its tensor is 256, expected 128 as in "
            "'l0.k_proj.weight'");
}

TEST(Erasure, NamesOffsetsOfTwoTensorsThatAreExchanged) {
  Subject s(kMini);
  auto &gate = SourceOf(s.plan, "l1.gate_proj.weight"), &up = SourceOf(s.plan, "l1.up_proj.weight");
  const uint64_t offset = gate.file_offset();
  gate.mutate_file_offset(up.file_offset());
  up.mutate_file_offset(offset);
  EXPECT_EQ(s.Refusal().substr(0, 70), "erasure: stage 0 step 28 'l1.gate_proj+up_proj': offset of its tensor ");
}

TEST(Erasure, NamesAnotherSumOverK) {
  Subject s(kMini);
  plan::Weight& weight = s.stage().weights[WeightNamed(s.plan, "l0.down_proj.weight")];
  weight.mutate_chunk_count_global(8);
  weight.mutate_chunk_k(64);
  EXPECT_EQ(s.Refusal(),
            "erasure: stage 0 step 15 'l0.down_proj': chunks of its weight is 8, expected 16 as in "
            "'l0.down_proj.weight'");
}

TEST(Erasure, HoldsTheGraphToTheRuleOfCanonicalChunks) {
  Subject s(kMini);
  s.module->walk([](ir::WeightOp op) {
    if (op.getName() == "l0.down_proj.weight") op.setChunks(4);
  });
  EXPECT_EQ(s.Refusal(),
            "erasure: 'l0.down_proj' (mrs.matmul) of the unsharded graph: K is summed in 4 canonical chunks, the rule "
            "gives 16");
}

TEST(Erasure, NamesAttributes) {
  const auto refusal = [](auto mutate) {
    Subject s(kMini);
    mutate(s);
    return s.Refusal();
  };
  EXPECT_EQ(refusal([](Subject& s) { s.stage().norms[StepOf(s.plan, "l0.input_norm").attr()]->eps = 1e-6f; }),
            "erasure: stage 0 step 3 'l0.input_norm': eps of its rms_norm is 1e-06, expected 1e-05 as in "
            "'l0.input_norm'");
  EXPECT_EQ(refusal([](Subject& s) { s.stage().attentions[StepOf(s.plan, "l0.attention").attr()]->scale = 0.125f; }),
            "erasure: stage 0 step 8 'l0.attention': scale of its attention is 0.125, expected 0.17677669 as in "
            "'l0.attention'");
  EXPECT_EQ(refusal([](Subject& s) { s.stage().heads[StepOf(s.plan, "l0.q_rope").attr()]->head_dim = 64; }),
            "erasure: stage 0 step 5 'l0.q_rope': head_dim of its rope is 64, expected 32 as in 'l0.q_rope'");
  EXPECT_EQ(refusal([](Subject& s) {
              s.stage().attentions[StepOf(s.plan, "l1.kv_append").attr()]->kv_layer = 0;
              s.stage().attentions[StepOf(s.plan, "l1.attention").attr()]->kv_layer = 0;
            }),
            "erasure: stage 0 step 22 'l1.kv_append': cache of its kv_append is 0, expected 1 as in 'l1.kv_append'");
  EXPECT_EQ(refusal([](Subject& s) { s.stage().candidates[0].mutate_k(20); }).substr(0, 60),
            "erasure: stage 0 step 66 'top_candidates': k of its top_cand");
}

TEST(Erasure, NamesAnAddThatDoublesASum) {
  Subject s(kMini);
  RefOf(s.plan, "l0.attention_add", 0) = RefOf(s.plan, "l0.attention_add", 1);
  EXPECT_EQ(s.Refusal(),
            "erasure: stage 0 step 11 'l0.attention_add': reads 'l0.o_proj', expected 'embed_tokens' as "
            "'l0.attention_add' does");
}

TEST(Erasure, TakesASumInEitherOrder) {
  Subject s(kMini);
  std::swap(RefOf(s.plan, "l0.attention_add", 0), RefOf(s.plan, "l0.attention_add", 1));
  EXPECT_EQ(s.Refusal(), "");
}

TEST(Erasure, NamesAnOutputThatIsAnotherValue) {
  Subject s(kMini);
  s.stage().logits_buffer = RefOf(s.plan, "lm_head", 3).index();  // one rank's part of it
  EXPECT_EQ(s.Refusal(),
            "erasure: stage 0 step 65 'lm_head': computes matmul, expected gathered as 'output all_logits'");
}

TEST(Erasure, RefusesAnOperationThatItDoesNotKnow) {
  Subject s(kMini);
  StepOf(s.plan, "l0.o_proj.all_reduce").mutate_op(plan::OpKind::reduce_scatter);
  EXPECT_EQ(
      s.Refusal(),
      "erasure: stage 0 step 10 'l0.o_proj.all_reduce': operation reduce_scatter has its place in the format, but this "
      "version does not run it");
}

TEST(Erasure, NamesFactsOfTheModel) {
  const auto refusal = [](auto mutate) {
    Subject s(kMini);
    mutate(s.plan);
    return s.Refusal();
  };
  EXPECT_EQ(refusal([](plan::PlanT& p) { p.model->eos = {7}; }),
            "erasure: fact 'mrs.model.eos' is \"7\", expected \"1, 5\"");
  EXPECT_EQ(refusal([](plan::PlanT& p) { p.model->sampling->temperature = 0.5f; }).substr(0, 53),
            "erasure: fact 'mrs.model.sampling.temperature' is \"0.");
  EXPECT_EQ(refusal([](plan::PlanT& p) { p.ropes[0]->attention_factor = 2; }),
            "erasure: fact 'mrs.model.ropes[0].attention_factor' is \"2\", expected \"1\"");
  EXPECT_EQ(refusal([](plan::PlanT& p) { p.ropes[0]->inv_freq[1] *= 2; }).substr(0, 49),
            "erasure: fact 'mrs.model.ropes[0].inv_freq' is \"1");
  EXPECT_EQ(refusal([](plan::PlanT& p) { p.numerics->chain = plan::Chain::block32; }),
            "erasure: fact 'mrs.chain' is \"block32\", expected \"pair2\"");
  EXPECT_EQ(refusal([](plan::PlanT& p) { p.files[0]->size_bytes += 1; }).substr(0, 36),
            "erasure: fact 'mrs.files[0].size' is");
}

// An all-reduce is left out only where its sum is the same on any number of ranks.
TEST(Erasure, RefusesSumsInTheOrderOfRanks) {
  Subject s(kMini, {.tp = 4});
  s.plan.numerics->reduction = plan::Reduction::rank_order;
  (*s.module)->setAttr("mrs.reduction", mlir::StringAttr::get(s.module->getContext(), "rank_order"));
  EXPECT_EQ(s.Refusal(),
            "erasure: sums over the ranks are in rank_order, so that they depend on how many ranks there are; expected "
            "canonical");

  BuildOptions options = Options(kMini, {.tp = 4});
  options.reduction = "rank_order";
  const Result<Built> built = Build(options);
  ASSERT_TRUE(built) << built.message();
  ASSERT_EQ(built->warnings.size(), 1u);
  EXPECT_EQ(built->warnings[0],
            "--reduction rank_order: sums depend on how many ranks there are, so the plan is not proved to be the "
            "model's and has no certificate of erasure");
  const plan::Plan& plan = *plan::GetPlan(built->plan_bytes.data());
  ASSERT_EQ(plan.certificates()->size(), 1u);
  EXPECT_EQ(plan.certificates()->Get(0)->name()->str(), "plans/verify");
  EXPECT_EQ(VerifyPlanOfModel(plan, options.model_dir).message().substr(0, 47),
            "erasure: sums over the ranks are in rank_order,");
}

TEST(Erasure, NamesARankThatIsElsewhereOrMayUseOtherMemory) {
  const auto refusal = [](const auto& edit) {
    Subject s(kMini);
    edit(s.plan);
    return s.Refusal();
  };
  EXPECT_EQ(refusal([](plan::PlanT& plan) { plan.cluster->memory_bytes[1] = 1 << 20; }),
            "erasure: fact 'mrs.ranks[1].memory' is \"1048576\", expected \"1073741824\"");
  // plans/verify accepts a plan that says nothing of memory.
  EXPECT_EQ(refusal([](plan::PlanT& plan) { plan.cluster->memory_bytes.clear(); }),
            "erasure: fact 'mrs.ranks[0].memory' is \"not said\", expected \"1073741824\"");
  EXPECT_EQ(refusal([](plan::PlanT& plan) { plan.ranks[1].mutate_device(0); }),
            "erasure: fact 'mrs.ranks[1].device' is \"0\", expected \"1\"");
  EXPECT_EQ(refusal([](plan::PlanT& plan) { plan.ranks[0].mutate_node(1); }),
            "erasure: fact 'mrs.ranks[0].node' is \"1\", expected \"0\"");
  EXPECT_EQ(refusal([](plan::PlanT& plan) { plan.ranks[0].mutate_kind(plan::DeviceKind::cuda); }),
            "erasure: fact 'mrs.ranks[0].kind' is \"cuda\", expected \"cpu\"");
}

TEST(Erasure, NamesAFactThatTheGraphDoesNotHave) {
  Subject s(kMini);
  s.plan.model->architecture = "nothing of its kind";
  mlir::NamedAttrList model(mlir::cast<mlir::DictionaryAttr>((*s.module)->getAttr("mrs.model")));
  model.erase("architecture");
  (*s.module)->setAttr("mrs.model", model.getDictionary(s.module->getContext()));
  EXPECT_EQ(s.Refusal(),
            "erasure: fact 'mrs.model.architecture' is \"nothing of its kind\", which the graph does not say");
}

TEST(Erasure, TakesASliceAlongAnAxisOfOneRankForTheWhole) {
  Subject s(kMini);
  plan::WeightSource& norm = SourceOf(s.plan, "l0.input_norm.weight");
  const uint64_t n = norm.rows().size();
  norm.mutable_rows() = plan::Slice(0, static_cast<int64_t>(n), n, 1, plan::Axis::ep);
  EXPECT_EQ(s.Refusal(), "");
}

TEST(Erasure, RefusesAFactThatNothingComparesAndAGraphThatIsSharded) {
  Subject s(kMini);
  mlir::Builder builder(s.module->getContext());
  (*s.module)->setAttr("mrs.news", builder.getI64IntegerAttr(1));
  EXPECT_EQ(s.Refusal(), "erasure: fact 'mrs.news' is not compared with anything");

  Compiler compiler;
  auto module = mlir::parseSourceString<mlir::ModuleOp>(R"(module attributes {mrs.mesh = {tp = 2 : i64}} {
    func.func @forward() {
      %0 = mrs.weight "w" {n_dims = 1 : i64, sources = [{columns = 8 : i64, dtype = "f32", file = 0 : i64, offset = 0 : i64, rows = 8 : i64, tensor = "w"}]} : <[8{tp 4}, 8], f32>
      return
    } })",
                                                        &compiler.context());
  ASSERT_TRUE(module) << compiler.Failure().message;
  EXPECT_EQ(ReadUnsharded(*module).message(),
            "erasure: 'w' (mrs.weight) of the unsharded graph: its result is not whole on one rank");
}

}  // namespace
}  // namespace mrs::planner
