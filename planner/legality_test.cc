#include "planner/legality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plans/contract.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

ModelSpec Spec(int64_t heads, int64_t kv_heads, int64_t ffn) {
  LayerSpec layer;
  layer.heads = heads;
  layer.kv_heads = kv_heads;
  layer.head_dim = 96;
  layer.ffn = ffn;
  ModelSpec spec;
  spec.layers.assign(2, layer);
  return spec;
}

std::vector<int64_t> Legal(const ModelSpec& spec) {
  std::vector<int64_t> sizes;
  for (const TpVerdict& verdict : LegalTp(spec)) {
    EXPECT_EQ(verdict.legal(), CheckTp(spec, verdict.tp).ok());
    if (verdict.legal()) sizes.push_back(verdict.tp);
  }
  return sizes;
}

TEST(Legality, ListsTheLegalSizes) {
  EXPECT_THAT(Legal(Spec(64, 8, 28672)), ElementsAre(1, 2, 4, 8, 16));  // Llama 3 70B
  EXPECT_THAT(Legal(Spec(8, 4, 768)), ElementsAre(1, 2, 4, 8));         // replicated KV at 8
  EXPECT_THAT(Legal(Spec(28, 4, 18944)), ElementsAre(1, 2, 4));         // Qwen2 7B
  EXPECT_THAT(Legal(Spec(24, 8, 8192)), ElementsAre(1, 2, 4, 8));       // Llama 3.2 3B
  EXPECT_THAT(Legal(Spec(16, 1, 172)), ElementsAre(1, 2, 4));           // C of 172 is 4
  EXPECT_THAT(Legal(Spec(16, 2, 173)), ElementsAre(1));
  EXPECT_THAT(Legal(Spec(7, 7, 256)), ElementsAre(1));
  EXPECT_THAT(Legal(Spec(12, 6, 256)), ElementsAre(1, 2));  // 6 KV heads over 4 ranks do neither
  EXPECT_THAT(Legal(Spec(12, 3, 256)), ElementsAre(1));
  EXPECT_THAT(Legal(Spec(128, 8, 53248)), ElementsAre(1, 2, 4, 8, 16));
}

TEST(Legality, NamesTheRuleTheNumbersAndTheLegalSizes) {
  const ModelSpec spec = Spec(8, 4, 768);
  EXPECT_EQ(CheckTp(spec, 3).message(),
            "tp 3: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8");
  EXPECT_EQ(CheckTp(spec, 0).message(),
            "tp 0: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8");
  EXPECT_EQ(CheckTp(spec, -4).message(),
            "tp -4: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8");
  EXPECT_EQ(CheckTp(spec, 16).message(),
            "tp 16: 8 attention heads do not divide by 16; legal tensor-parallel sizes of this model: 1, 2, 4, 8");
  EXPECT_EQ(CheckTp(Spec(12, 6, 256), 4).message(),
            "tp 4: 6 key-value heads neither divide by 4 nor replicate evenly over 4 ranks; legal tensor-parallel "
            "sizes of this model: 1, 2");
  EXPECT_EQ(CheckTp(Spec(16, 8, 172), 8).message(),
            "tp 8: FFN width 172 gives down_proj 4 canonical chunks, fewer than 8 ranks; legal tensor-parallel sizes "
            "of this model: 1, 2, 4");
  EXPECT_EQ(CheckTp(Spec(64, 8, 28672), 32).message(),
            "tp 32: FFN width 28672 gives down_proj 16 canonical chunks, fewer than 32 ranks; legal tensor-parallel "
            "sizes of this model: 1, 2, 4, 8, 16");
}

TEST(Legality, ANormOverAllKeyHeadsForbidsReplicas) {
  ModelSpec spec = Spec(16, 4, 768);
  for (LayerSpec& layer : spec.layers) layer.qk_norm = QkNorm::kWhole;
  EXPECT_THAT(Legal(spec), ElementsAre(1, 2, 4));
  EXPECT_EQ(CheckTp(spec, 8).message(),
            "tp 8: 4 key-value heads, which have a norm over all of them, do not divide by 8; legal tensor-parallel "
            "sizes of this model: 1, 2, 4");
}

TEST(Legality, EveryLayerMustAllowTheSize) {
  ModelSpec spec = Spec(16, 16, 4096);
  spec.layers[1].ffn = 172;
  EXPECT_THAT(Legal(spec), ElementsAre(1, 2, 4));
}

TEST(Legality, ALayoutIsAllLayersInTheirOrderEachStageOnADeviceOfItsOwn) {
  const ModelSpec spec = Spec(8, 4, 768);  // of 2 layers
  const auto said = [&](ir::Mesh mesh, const std::vector<LayoutStage>& stages) {
    return CheckLayout(spec, {mesh, stages, {}}).message();
  };
  EXPECT_TRUE(CheckLayout(spec, {{.tp = 8}, {{0, 2, 0}}, {}}).ok());
  EXPECT_TRUE(CheckLayout(spec, {{.tp = 2, .stage = 2}, {{0, 1, 1}, {1, 2, 0}}, {}}).ok());
  EXPECT_EQ(said({.tp = 3}, {{0, 2, 0}}), CheckTp(spec, 3).message());
  EXPECT_EQ(said({.ep = 2}, {{0, 2, 0}}), "ep 2: this model has no experts");
  EXPECT_EQ(said({.dp = 2}, {{0, 2, 0}}), "dp 2: replicas of a model are not there yet");
  EXPECT_EQ(said({.stage = 2}, {{0, 2, 0}}), "the layout has 1 stages, its mesh 2");
  EXPECT_EQ(said({.stage = 2}, {{0, 1, 0}, {1, 2, 0}}), "stage 1 is on device 0, as an earlier one");
  EXPECT_EQ(said({.stage = 2}, {{0, 1, 0}, {0, 2, 1}}), "stage 1 has layers 0 to 1, expected at least one, from 1");
  EXPECT_EQ(said({.stage = 2}, {{0, 2, 0}, {2, 2, 1}}), "stage 1 has layers 2 to 1, expected at least one, from 2");
  EXPECT_EQ(said({}, {{0, 1, 0}}), "the stages have 1 layers together, the model has 2");
  EXPECT_EQ(said({}, {{0, 3, 0}}), "the stages have 3 layers together, the model has 2");
}

TEST(Legality, CountsCanonicalChunks) {
  EXPECT_EQ(CanonicalChunks(1), 1);
  EXPECT_EQ(CanonicalChunks(172), 4);
  EXPECT_EQ(CanonicalChunks(4096), 16);
  EXPECT_EQ(CanonicalChunks(25600 / 32), 16);  // Qwen3 32B FFN, blocks of 32
  EXPECT_EQ(CanonicalChunks(768 / 32), 8);     // Qwen3 30B-A3B experts
  EXPECT_EQ(CanonicalChunks(2880 / 32), 2);    // gpt-oss
  EXPECT_EQ(CanonicalChunks(24), 8);  // heads of attention's output
  EXPECT_EQ(CanonicalChunks(7), 1);
  static_assert(kMaxChunks == contract::kMaxChunks);
}

TEST(Legality, PadsTheVocabulary) {
  EXPECT_EQ(PaddedVocab(1), 256);
  EXPECT_EQ(PaddedVocab(256), 256);
  EXPECT_EQ(PaddedVocab(2001), 2048);
  EXPECT_EQ(PaddedVocab(128256), 128256);
}

}  // namespace
}  // namespace mrs
