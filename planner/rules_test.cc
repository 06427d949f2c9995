#include "planner/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "formats/json.h"
#include "planner/layout.h"
#include "planner/legality.h"
#include "plans/contract.h"

namespace mrs {
namespace {

using ::testing::HasSubstr;

ModelSpec Spec(int64_t heads, int64_t kv_heads, int64_t ffn, QkNorm qk_norm = QkNorm::kNone) {
  LayerSpec layer;
  layer.heads = heads;
  layer.kv_heads = kv_heads;
  layer.head_dim = 64;
  layer.ffn = ffn;
  layer.qk_norm = qk_norm;
  ModelSpec spec;
  spec.layers.assign(4, layer);
  return spec;
}

std::string OfTp(const ModelSpec& spec, int64_t tp) { return CheckTp(spec, tp).message(); }
std::string OfLayout(ir::Mesh mesh, const std::vector<LayoutStage>& stages) {
  return CheckLayout(Spec(8, 4, 768), {mesh, stages, {}}).message();
}
std::string OfFlags(int64_t pp, const std::string& map) {
  return DecideLayout({.pp = pp, .device_layers = map}, {.layers = {1, 1, 1, 1}}).message();
}

// What breaks each rule that a model and a layout can break. The rules of options and memory are those of a model
// folder: tests/planner/rules.py breaks them through the program.
std::map<RuleId, std::string> Fired() {
  return {
      {RuleId::kTpPowerOfTwo, OfTp(Spec(8, 4, 768), 3)},
      {RuleId::kTpHeads, OfTp(Spec(6, 2, 768), 4)},
      {RuleId::kTpKvHeads, OfTp(Spec(12, 6, 768), 4)},
      {RuleId::kTpKvNorm, OfTp(Spec(16, 4, 768, QkNorm::kWhole), 8)},
      {RuleId::kTpFfnChunks, OfTp(Spec(16, 8, 172), 8)},
      {RuleId::kTpHeadChunks, OfTp(Spec(32, 32, 768), 32)},
      {RuleId::kEp, OfLayout({.ep = 2}, {{0, 4, 0}})},
      {RuleId::kDp, OfLayout({.dp = 2}, {{0, 4, 0}})},
      {RuleId::kStageCount, OfLayout({.stage = 2}, {{0, 4, 0}})},
      {RuleId::kStageLayers, OfLayout({.stage = 2}, {{0, 2, 0}, {3, 4, 1}})},
      {RuleId::kStageDevice, OfLayout({.stage = 2}, {{0, 2, 0}, {2, 4, 0}})},
      {RuleId::kAllLayers, OfLayout({}, {{0, 3, 0}})},
      {RuleId::kPpLayers, OfFlags(5, "")},
      {RuleId::kPpOrMap, OfFlags(2, "0:2;1:2")},
      {RuleId::kMapForm, OfFlags(0, "0:2,1:2")},
      {RuleId::kMapEmptyStage, OfFlags(0, "0:4;1:0")},
      {RuleId::kMapDeviceTwice, OfFlags(0, "0:2;0:2")},
      {RuleId::kMapDeviceUnknown, OfFlags(0, "0:2;2:2")},
      {RuleId::kMapLayers, OfFlags(0, "0:2;1:3")},
      {RuleId::kMaxBatchedTokens, DecideLayout({.max_seqs = 2, .max_batched_tokens = 1}, {.layers = {1}}).message()},
      {RuleId::kNodeLeft,
       LayoutWarnings(*DecideLayout({.device_layers = "0:1;1:1;2:2"}, {.layers = {1, 1, 1, 1}}), {0, 1, 0}).front()},
  };
}

// The longest run of a message's text without a place.
std::string Core(std::string_view message) {
  std::string best, now;
  for (size_t i = 0; i <= message.size(); ++i) {
    if (i < message.size() && message[i] != '{' && message[i] != '}') {
      now += message[i];
      continue;
    }
    if (now.size() > best.size()) best = now;
    now.clear();
  }
  return best;
}

TEST(Rules, EachCanFire) {
  // Of options, memory and devices: tests/planner/rules.py, planner/visible_devices_test.cc,
  // planner/rank_needs_test.cc.
  const std::set<RuleId> through_the_program = {
      RuleId::kMaxLen,       RuleId::kMaxSeqs,           RuleId::kMemoryRange,  RuleId::kFits,
      RuleId::kWorld,        RuleId::kDevices,           RuleId::kNeedsNccl,    RuleId::kNoDevices,
      RuleId::kOrdinalForm,  RuleId::kOrdinalUnknown,    RuleId::kOrdinalTwice, RuleId::kLocalWorld,
      RuleId::kDeviceMemory, RuleId::kMapDeviceOfCluster};
  const auto fired = Fired();
  for (const Rule& rule : kRules) {
    if (through_the_program.contains(rule.id)) continue;
    SCOPED_TRACE(rule.name);
    ASSERT_TRUE(fired.contains(rule.id));
    EXPECT_THAT(fired.at(rule.id), HasSubstr(Core(rule.message)));
  }
}

TEST(Rules, HaveNamesOfTheirOwnAndSayEverything) {
  std::set<std::string_view> names, messages;
  for (const Rule& rule : kRules) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_TRUE(messages.insert(rule.message).second) << rule.name;
    for (std::string_view fact : {rule.formula, rule.source, rule.remedy, rule.message}) EXPECT_FALSE(fact.empty());
  }
}

TEST(Rules, MessagesHaveTheirNumbers) {
  EXPECT_EQ(Broken<RuleId::kTpHeads>(12, 8), "12 attention heads do not divide by 8");
  EXPECT_EQ(BrokenRule<RuleId::kMapLayers>("--device-layers 0:1", 1, 4).message,
            "--device-layers 0:1: its stages have 1 layers together, the model has 4");
  EXPECT_EQ(BrokenRule<RuleId::kPpLayers>("", 3, 1, "").message,
            "--pp 3: the model has 1 layer, and a stage at least one");
}

TEST(Rules, ArePrintedAsTextAndJson) {
  EXPECT_THAT(RulesText(), HasSubstr("tp.heads (error)\n  holds    heads % tp = 0, in every layer\n  because  a query "
                                     "head is computed by one rank"));
  const Json rules = Json::parse(RulesJson());
  ASSERT_EQ(rules.size(), kRules.size());
  EXPECT_EQ(rules[1]["id"], "tp.heads");
  EXPECT_EQ(rules[1]["severity"], "error");
  EXPECT_EQ(rules[1]["message"], "{} attention heads do not divide by {}");
}

}  // namespace
}  // namespace mrs
