#include "plans/part.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "plans/nearest.h"
#include "plans/reader.h"
#include "plans/testing/tiny_plan.h"
#include "plans/writer.h"

namespace mrs::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

OpenedPlan Opened(const plan::PlanT& plan) {
  const std::string bytes = PackPlan(plan);
  return *OpenPlanBytes(std::as_bytes(std::span(bytes)));
}

json JsonOf(const OpenedPlan& plan, const Selection& selection) {
  const Result<PlanPart> part = SelectPart(plan.plan(), selection);
  EXPECT_TRUE(part.ok()) << part.message();
  return json::parse(PartJson(plan.plan(), plan.name(), *part));
}

std::string TextOf(const OpenedPlan& plan, const Selection& selection) {
  return PartText(plan.plan(), *SelectPart(plan.plan(), selection));
}

std::string RefusalOf(const OpenedPlan& plan, const Selection& selection) {
  const Result<PlanPart> part = SelectPart(plan.plan(), selection);
  return part ? "" : part.message();
}

std::vector<std::string> NamesOf(const json& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry["name"]);
  return names;
}

TEST(SelectPart, ARankHoldsReadsAndDoes) {
  const OpenedPlan plan = Opened(TinyPlan({.tp = 2, .layer_count = 2}));
  const json part = JsonOf(plan, {.rank = 1});
  EXPECT_EQ(part["rank"]["place"]["tp"], 1);
  EXPECT_EQ(part["rank"]["groups"][0]["ranks"], json({0, 1}));
  EXPECT_EQ(part["rank"]["groups"][0]["number"], 1);
  // embed, two a layer, and the gathered records.
  EXPECT_EQ(part["rank"]["groups"][0]["collectives"], 6);
  const plan::Stage& stage = *plan.plan().stages()->Get(0);
  EXPECT_EQ(part["stages"][0]["steps"].size(), stage.steps()->size());
  EXPECT_EQ(part["stages"][0]["weights"].size(), stage.weights()->size());
  // The half of each matrix, the whole of each norm; the embedding and lm_head share a tensor, of 40 rows padded to 48.
  const uint64_t layer = (16 + 8 + 8) * 32 + 32 * 16 + 3 * 32 * 32 + 16 + 32 * 3 + 8 * 2;
  EXPECT_EQ(part["rank"]["checkpoint_bytes"], 2 * (2 * layer + 16 * 32 + 32));
  const std::string text = TextOf(plan, {.rank = 1});
  EXPECT_THAT(text, HasSubstr("rank 1: tp 1, ep 0, stage 0, dp 0; node 0, cpu 1; layers 0 to 1\n"));
  EXPECT_THAT(text, HasSubstr("  group 0: ranks 0 to 1, itself number 1 of them; 6 collectives a forward\n"));
  EXPECT_THAT(text, HasSubstr("rows [24, 40) columns [0, 32), 1024 bytes: bytes ["));
}

TEST(SelectPart, ALayerIsItsStepsWeightsBuffersAndKv) {
  const OpenedPlan plan = Opened(TinyPlan({.tp = 2, .layer_count = 3}));
  const json part = JsonOf(plan, {.layer = 1});
  const json& stage = part["stages"][0];
  EXPECT_EQ(part["rank"], nullptr);
  EXPECT_EQ(part["layer"]["kv"], json::parse(R"([{"kv_class": 0, "kv_layer": 1}])"));
  for (const std::string& name : NamesOf(stage["steps"])) EXPECT_THAT(name, ::testing::StartsWith("l1."));
  EXPECT_THAT(NamesOf(stage["weights"]),
              ElementsAre("l1.attn_norm", "l1.q", "l1.q_bias", "l1.k", "l1.v", "l1.q_norm", "l1.k_norm", "l1.o",
                          "l1.o_bias", "l1.ffn_norm", "l1.gate", "l1.up", "l1.down"));
  EXPECT_EQ(stage["weights"][1]["sources"][0]["ranks"].size(), 2u);
  EXPECT_THAT(TextOf(plan, {.layer = 1}),
              HasSubstr("  KV: layer 1 of 3 of class 0; 1024 bytes of a block of 32 tokens, "
                        "16384 bytes of all 16 blocks\n"));
}

TEST(SelectPart, ATensorsPartsLieWhereTheFileHasThem) {
  const OpenedPlan plan = Opened(TinyPlan({.tp = 2}));
  // o [32, 32] is cut along its columns: 32 ranges of 16 elements.
  const json of_o = JsonOf(plan, {.tensor = "l0.o.tensor"});
  const json& o = of_o["stages"][0]["weights"][0]["sources"][0];
  const uint64_t at = o["facts"]["file_offset"];
  EXPECT_EQ(o["ranks"][1], json({{"rank", 1},
                                 {"rows", {0, 32}},
                                 {"columns", {16, 32}},
                                 {"bytes", 1024},
                                 {"first_byte", at + 32},
                                 {"end_byte", at + 2048},
                                 {"range_count", 32},
                                 {"range_bytes", 32},
                                 {"stride_bytes", 64}}));
  EXPECT_THAT(NamesOf(of_o["stages"][0]["steps"]), ElementsAre("l0.o"));
  EXPECT_THAT(
      TextOf(plan, {.tensor = "l0.o.tensor"}),
      HasSubstr(fmt::format("rank 1: rows [0, 32) columns [16, 32), 1024 bytes: 32 ranges of 32 bytes, every 64, "
                            "in [{}, {})\n",
                            at + 32, at + 2048)));
  // gate [64, 32] along its rows: one range.
  EXPECT_THAT(TextOf(plan, {.tensor = "l0.gate.tensor"}),
              HasSubstr("rank 1: rows [32, 64) columns [0, 32), 2048 bytes: bytes ["));
  // One tensor fills two weights.
  EXPECT_THAT(NamesOf(JsonOf(plan, {.tensor = "embed.tensor"})["stages"][0]["weights"]),
              ElementsAre("embed", "lm_head"));
  // A weight by its own name.
  EXPECT_THAT(NamesOf(JsonOf(plan, {.tensor = "lm_head"})["stages"][0]["weights"]), ElementsAre("lm_head"));
}

TEST(SelectPart, ThePartsOfARankAreAllThatItsWeightsHold) {
  for (const uint32_t tp : {1u, 2u, 4u}) {
    const OpenedPlan plan = Opened(TinyPlan({.tp = tp, .layer_count = 2}));
    std::map<std::string, uint64_t> bytes;  // of all ranks, by tensor of one weight
    for (uint32_t rank = 0; rank < tp; ++rank) {
      const json part = JsonOf(plan, {.rank = rank});
      for (const auto& weight : part["stages"][0]["weights"]) {
        for (const auto& source : weight["sources"])
          bytes[weight["name"]] += source["ranks"][0]["bytes"].get<uint64_t>();
      }
    }
    EXPECT_EQ(bytes["l0.q"], 32u * 32 * 2) << "each row on one rank";
    EXPECT_EQ(bytes["embed"], 40u * 32 * 2) << "padding is not read";
    EXPECT_EQ(bytes["l1.k"], 16u * 32 * 2 * (tp == 4 ? 2 : 1)) << "two ranks have each head at tp 4";
    EXPECT_EQ(bytes["norm"], 32u * 2 * tp) << "each rank has all of a norm";
  }
}

TEST(SelectPart, SaysWhichStepsAreOneLaunch) {
  const OpenedPlan plan = Opened(TinyPlan({.tp = 2, .fused = true, .joined = true}));
  std::vector<std::string> joined;
  const json part = JsonOf(plan, {.layer = 0});
  for (const auto& step : part["stages"][0]["steps"]) {
    if (step["joined"].get<bool>()) joined.push_back(step["name"]);
  }
  EXPECT_THAT(joined, ElementsAre("l0.rope_append", "l0.add_norm"));
}

TEST(SelectPart, FiltersCombine) {
  const OpenedPlan plan = Opened(TinyPlan({.tp = 2, .layer_count = 2}));
  const json part = JsonOf(plan, {.rank = 0, .layer = 1, .tensor = "l1.up.tensor"});
  EXPECT_EQ(part["rank"]["checkpoint_bytes"], 32 * 32 * 2);
  EXPECT_THAT(NamesOf(part["stages"][0]["weights"]), ElementsAre("l1.up"));
  EXPECT_EQ(part["stages"][0]["weights"][0]["sources"][0]["ranks"].size(), 1u);
  EXPECT_THAT(NamesOf(part["stages"][0]["steps"]), ElementsAre("l1.gate_up"));
  const json layer = JsonOf(plan, {.rank = 1, .layer = 0});
  EXPECT_EQ(layer["stages"][0]["ranks"], json({1}));
  EXPECT_EQ(layer["stages"][0]["weights"][0]["sources"][0]["ranks"][0]["rank"], 1);
}

TEST(SelectPart, RefusesWhatIsNotThere) {
  const OpenedPlan plan = Opened(TinyPlan({.tp = 2, .layer_count = 2}));
  EXPECT_EQ(RefusalOf(plan, {.rank = 2}), "rank 2: there is no such rank; the plan has ranks 0 to 1, the nearest is 1");
  EXPECT_EQ(RefusalOf(plan, {.rank = UINT32_MAX, .layer = 0}),
            "rank 4294967295: there is no such rank; the plan has ranks 0 to 1, the nearest is 1");
  EXPECT_EQ(RefusalOf(plan, {.layer = 2}),
            "layer 2: there is no such layer; the plan has layers 0 to 1, the nearest is 1");
  EXPECT_EQ(RefusalOf(Opened(TinyPlan({.tp = 1})), {.rank = 1}),
            "rank 1: there is no such rank; the plan has rank 0 only, the nearest is 0");
  EXPECT_EQ(RefusalOf(plan, {.tensor = "l0.gat.tensor"}),
            "tensor \"l0.gat.tensor\": no weight of the plan reads a tensor of that name; the nearest are "
            "\"l0.gate.tensor\", \"l1.gate.tensor\", \"l0.k.tensor\"");
  EXPECT_EQ(RefusalOf(plan, {.layer = 1, .tensor = "l0.o.tensor"}),
            "tensor \"l0.o.tensor\": no step of layer 1 uses it; its layers are: 0");
  EXPECT_EQ(RefusalOf(plan, {.layer = 1, .tensor = "embed.tensor"}),
            "tensor \"embed.tensor\": no step of layer 1 uses it; its layers are: none");
}

TEST(RanksText, IsShort) {
  EXPECT_EQ(RanksText({}), "no rank");
  EXPECT_EQ(RanksText({3}), "rank 3");
  EXPECT_EQ(RanksText({3, 4, 5}), "ranks 3 to 5");
  EXPECT_EQ(RanksText({0, 2, 4}), "ranks 0, 2, 4");
  EXPECT_EQ(RanksText({0, 2, 4, 6, 8, 10, 12, 14, 16}), "ranks 0, 2, 4, 6, 8, 10, 12, 14, ...");
}

TEST(Nearest, PutsWhatContainsTheTextFirst) {
  EXPECT_THAT(Nearest("q_proj", {"a.k_proj.weight", "a.q_proj.weight", "q_prok", "q_prok"}),
              ElementsAre("a.q_proj.weight", "q_prok", "a.k_proj.weight"));
  EXPECT_THAT(Nearest("x", {}), ElementsAre());
  EXPECT_THAT(Nearest("", {"b", "aa"}), ElementsAre("b", "aa"));
  EXPECT_THAT(Nearest("x", {std::string_view("long"), std::string(300, 'x')}), ElementsAre("long"));
}

}  // namespace
}  // namespace mrs::testing
