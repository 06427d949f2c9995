// Plans of several stages, and of models whose layers have what Llama's have not: each with one thing wrong.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "planner/erasure_subject_for_test.h"

namespace mrs::planner {
namespace {

using plan::OpKind;

constexpr const char* kFamilies[] = {"Gemma2", "Gemma3",   "Phi3",       "Granite", "Glm4",
                                     "Olmo3",  "StableLm", "Ministral3", "Exaone4"};

// A step of a stage by the end of its name, and what it has.
plan::Step& StepIn(Subject& s, size_t stage, std::string_view name) {
  for (plan::Step& step : s.stage(stage).steps) {
    if (s.plan.names[step.name()].ends_with(name)) return step;
  }
  throw std::runtime_error(fmt::format("no step {} in stage {}", name, stage));
}
plan::AttentionAttrT& AttentionIn(Subject& s, size_t stage, std::string_view name) {
  return *s.stage(stage).attentions[StepIn(s, stage, name).attr()];
}
plan::Ref& RefIn(Subject& s, size_t stage, std::string_view name, uint32_t ref) {
  return s.stage(stage).refs[StepIn(s, stage, name).operand_begin() + ref];
}
plan::WeightSource& SourceIn(Subject& s, size_t stage, std::string_view name) {
  for (const plan::Weight& weight : s.stage(stage).weights) {
    if (s.plan.names[weight.name()].ends_with(name)) return s.stage(stage).sources[weight.source_begin()];
  }
  throw std::runtime_error(fmt::format("no weight {} in stage {}", name, stage));
}

std::string Refusal(const std::string& model, const Cut& cut, const std::function<void(Subject&)>& change) {
  Subject s(model, cut);
  change(s);
  return s.Refusal();
}

// Of "erasure: stage 1 step 3 'l2.x': cap of its y is 1, expected 2 as in 'l2.x'" what it says, without the step's
// number.
::testing::AssertionResult Says(const std::string& said, size_t stage, std::string_view name, std::string_view what) {
  const std::string begin = fmt::format("erasure: stage {} step ", stage);
  const std::string rest = fmt::format(" '{}': {}", name, what);
  if (said.starts_with(begin) && said.find(rest) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << '"' << said << "\" is not " << begin << "N" << rest;
}

TEST(ErasureLayout, PassesEveryFamilyInEveryLayout) {
  for (const char* model : kFamilies) {
    for (const Cut& cut : {Cut{1, 1}, Cut{2, 1}, Cut{4, 1}, Cut{1, 2}, Cut{2, 2}, Cut{2, 4}}) {
      EXPECT_EQ(Subject(model, cut).Refusal(), "") << model << " tp " << cut.tp << " stages " << cut.stages;
    }
  }
  EXPECT_EQ(Subject("models/mini", {.tp = 2, .stages = 4}).Refusal(), "");
}

TEST(ErasureLayout, NamesWhatAStageSends) {
  const Cut cut{.tp = 2, .stages = 2};
  const auto send = [](Subject& s) -> plan::Ref& {
    for (plan::Step& step : s.stage(0).steps) {
      if (step.op() == OpKind::send) return s.stage(0).refs[step.operand_begin()];
    }
    throw std::runtime_error("nothing is sent");
  };
  const std::string other = Refusal("models/mini", cut, [&](Subject& s) { send(s) = RefIn(s, 0, "l1.mlp_add", 0); });
  EXPECT_TRUE(Says(other, 1, "l2.attention_add",
                   "reads 'l1.attention_add', expected 'l1.mlp_add' as "
                   "'l2.attention_add' does"))
      << other;
  EXPECT_NE(Refusal("models/mini", cut, [](Subject& s) { s.stage(1).transfers[0].mutate_order(1); })
                .find("receives transfer 1 of stage 0, which has sent no such to stage 1"),
            std::string::npos);
  EXPECT_NE(Refusal("models/mini", cut, [](Subject& s) { s.stage(0).transfers[0].mutate_peer_stage(0); })
                .find("receives transfer 0 of stage 0, which has sent no such to stage 1"),
            std::string::npos);
}

TEST(ErasureLayout, NamesStagesThatAreExchanged) {
  const std::string said = Refusal("models/mini", {.tp = 2, .stages = 2}, [](Subject& s) {
    for (const char* tensor : {"input_norm.weight", "q_proj.weight", "down_proj.weight"}) {
      std::swap(SourceIn(s, 0, fmt::format("l0.{}", tensor)), SourceIn(s, 1, fmt::format("l2.{}", tensor)));
    }
  });
  EXPECT_TRUE(Says(said, 0, "l0.input_norm",
                   "reads 'l2.input_norm.weight', expected 'l0.input_norm.weight' as "
                   "'l0.input_norm' does"));
  // Whole: the first has nothing to receive.
  const std::string swapped =
      Refusal("models/mini", {.tp = 2, .stages = 2}, [](Subject& s) { std::swap(s.plan.stages[0], s.plan.stages[1]); });
  EXPECT_EQ(swapped.substr(0, 9), "erasure: ") << swapped;
}

TEST(ErasureLayout, NamesAnInputThatIsRenamed) {
  const std::string said = Refusal("models/mini", {.tp = 2, .stages = 2}, [](Subject& s) {
    uint32_t positions = 0, sequence = 0;
    auto& buffers = s.stage(1).buffers;
    for (uint32_t i = 0; i < buffers.size(); ++i) {
      if (s.plan.names[buffers[i].name()] == "positions") positions = i;
      if (s.plan.names[buffers[i].name()] == "sequence") sequence = i;
    }
    const uint32_t name = buffers[positions].name();
    buffers[positions].mutate_name(buffers[sequence].name());
    buffers[sequence].mutate_name(name);
  });
  EXPECT_NE(said.find("reads 'sequence', expected 'positions'"), std::string::npos) << said;
}

TEST(ErasureLayout, NamesTheWindowOfALayerAndOfItsCache) {
  const Cut cut{.tp = 2, .stages = 2};
  const std::string attention = Refusal("Gemma2", cut, [](Subject& s) { ++AttentionIn(s, 0, "l0.attention").window; });
  EXPECT_TRUE(Says(attention, 0, "l0.attention", "window of its attention is 9, expected 8 as in 'l0.attention'"));
  const std::string kv_class = Refusal("Gemma2", cut, [](Subject& s) {
    s.stage(0).kv_classes.back().mutate_window(9);
    for (auto& attr : s.stage(0).attentions) attr->window = 9;
  });
  EXPECT_EQ(kv_class.substr(0, 15), "erasure: stage ") << kv_class;
  const std::string twice =
      Refusal("Gemma2", cut, [](Subject& s) { s.stage(1).kv_classes.push_back(s.stage(1).kv_classes.back()); });
  EXPECT_EQ(twice, "erasure: stage 1: KV classes 1 and 2 both have window 8, expected one class");
}

TEST(ErasureLayout, NamesWhatALayerIsToldOtherwise) {
  const Cut cut{.tp = 2, .stages = 2};
  EXPECT_TRUE(Says(Refusal("Gemma2", cut, [](Subject& s) { AttentionIn(s, 1, "l3.attention").soft_cap = 0; }), 1,
                   "l3.attention", "soft_cap of its attention is 0, expected 5 as in 'l3.attention'"));
  EXPECT_TRUE(Says(Refusal("Gemma2", cut, [](Subject& s) { s.stage(0).glus[0]->approximate ^= true; }), 0,
                   "l0.gelu_mul", "approximate of its gelu_mul is"));
  EXPECT_TRUE(Says(Refusal("Glm4", cut, [](Subject& s) { s.stage(1).heads[0]->interleaved = false; }), 1, "l2.q_rope",
                   "interleaved of its rope is false, expected true as in 'l2.q_rope'"));
  EXPECT_NE(Refusal("Ministral3", cut, [](Subject& s) { s.stage(0).position_scales[0].mutate_beta(0.2f); })
                .find("beta of its position_scale is 0.2, expected 0.1"),
            std::string::npos);
  EXPECT_NE(Refusal("Ministral3", cut, [](Subject& s) { s.stage(0).position_scales[0].mutate_original(64); })
                .find("original of its position_scale is 64, expected 32"),
            std::string::npos);
  EXPECT_NE(Refusal("Olmo3", cut, [](Subject& s) { s.stage(1).rms_scales[0].mutate_total(8); })
                .find("width of its rms_scale is 8, expected "),
            std::string::npos);
  EXPECT_NE(Refusal("Olmo3", cut, [](Subject& s) { s.stage(1).sum_squares[0].mutate_chunk_heads(2); })
                .find("chunk_heads of its sum_squares is 2, expected 1"),
            std::string::npos);
  EXPECT_NE(Refusal("Granite", cut, [](Subject& s) { s.stage(0).scales[0].mutate_factor(5); })
                .find("factor of its scale is 5, expected 6"),
            std::string::npos);
  EXPECT_NE(Refusal("StableLm", cut, [](Subject& s) { s.stage(0).norms[0]->eps = 1; })
                .find("eps of its layer_norm is 1, expected 1e-05"),
            std::string::npos);
}

TEST(ErasureLayout, NamesRowsOfAFusedTensorAndATransform) {
  const Cut cut{.tp = 2, .stages = 2};
  const std::string rows = Refusal("Phi3", cut, [](Subject& s) {
    auto &gate = SourceIn(s, 1, "l2.gate_proj.weight"), &up = SourceIn(s, 1, "l2.up_proj.weight");
    const uint64_t begin = gate.row_begin();
    gate.mutate_row_begin(up.row_begin());
    up.mutate_row_begin(begin);
  });
  EXPECT_TRUE(Says(rows, 1, "l2.silu_mul", "reads 'l2.up_proj', expected 'l2.gate_proj' as 'l2.silu_mul' does"));
  const std::string late = Refusal("Phi3", cut, [](Subject& s) {
    auto& gate = SourceIn(s, 1, "l2.gate_proj.weight");
    gate.mutate_row_begin(gate.row_begin() + 1);
  });
  EXPECT_TRUE(Says(late, 1, "l2.gate_proj+up_proj", "row_begin of its tensor is 1, expected 0 as in"));
  EXPECT_TRUE(
      Says(Refusal("Gemma2", cut,
                   [](Subject& s) { SourceIn(s, 0, "l1.input_norm.weight").mutate_transform(plan::Transform::none); }),
           0, "l1.input_norm", "transform of its tensor is none, expected add_one as in"));
}

}  // namespace
}  // namespace mrs::planner
