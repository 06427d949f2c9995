#include "planner/model_tensors.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs {
namespace {

ModelSpec Spec(const char* architecture, size_t layers = 2) {
  ModelSpec spec;
  spec.architecture = architecture;
  spec.hidden = 12;
  LayerSpec layer;
  layer.heads = 4;
  layer.kv_heads = 2;
  layer.head_dim = 6;
  layer.ffn = 20;
  spec.layers.assign(layers, layer);
  spec.vocab = 31;
  return spec;
}

// Every tensor as "name [shape]", of layer 0 without its prefix.
std::vector<std::string> Names(const ModelSpec& spec) {
  std::vector<std::string> names;
  for (const ModelTensor& tensor : ExpectedTensors(spec)) {
    std::string name = tensor.name;
    if (tensor.layer == 0) name = name.substr(std::string("model.layers.0.").size());
    names.push_back(fmt::format("{} [{}]{}", name, fmt::join(tensor.shape, ","), tensor.matrix ? "" : " vector"));
  }
  return names;
}

Checkpoint Whole(const ModelSpec& spec) { return ImaginedCheckpoint(spec, ElementType::kBf16); }

std::string Error(const ModelSpec& spec, const Checkpoint& checkpoint) {
  const Result<TensorReport> report = CheckTensors(spec, checkpoint);
  return report.ok() ? "accepted" : report.message();
}

TEST(ModelTensors, ListsTensorsInTheOrderOfTheComputation) {
  EXPECT_THAT(Names(Spec("LlamaForCausalLM", 1)),
              ::testing::ElementsAre("model.embed_tokens.weight [31,12]", "input_layernorm.weight [12] vector",
                                     "self_attn.q_proj.weight [24,12]", "self_attn.k_proj.weight [12,12]",
                                     "self_attn.v_proj.weight [12,12]", "self_attn.o_proj.weight [12,24]",
                                     "post_attention_layernorm.weight [12] vector", "mlp.gate_proj.weight [20,12]",
                                     "mlp.up_proj.weight [20,12]", "mlp.down_proj.weight [12,20]",
                                     "model.norm.weight [12] vector", "lm_head.weight [31,12]"));
}

TEST(ModelTensors, RowsOfOneNameAreOneTensor) {
  EXPECT_THAT(Names(Spec("Phi3ForCausalLM", 1)),
              ::testing::ElementsAre("model.embed_tokens.weight [31,12]", "input_layernorm.weight [12] vector",
                                     "self_attn.qkv_proj.weight [48,12]", "self_attn.o_proj.weight [12,24]",
                                     "post_attention_layernorm.weight [12] vector", "mlp.gate_up_proj.weight [40,12]",
                                     "mlp.down_proj.weight [12,20]", "model.norm.weight [12] vector",
                                     "lm_head.weight [31,12]"));
  const ModelSpec spec = Spec("Phi3ForCausalLM");
  const std::optional<TensorPart> v = FindPart(spec, TensorRole::kV, 1);
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->tensor, "model.layers.1.self_attn.qkv_proj.weight");
  EXPECT_EQ(v->row_begin, 24 + 12);
  EXPECT_THAT(v->out, ::testing::ElementsAre(2, 6));
  EXPECT_THAT(v->in, ::testing::ElementsAre(12));
  EXPECT_EQ(FindPart(spec, TensorRole::kUp, 0)->row_begin, 20);
}

TEST(ModelTensors, NormsStandWhereTheFamilyHasThem) {
  const auto norms = [](const ModelSpec& spec) {
    std::vector<std::string> names = Names(spec);
    std::erase_if(names, [](const std::string& name) { return name.find("norm") == name.npos; });
    return names;
  };
  EXPECT_THAT(
      norms(Spec("Gemma2ForCausalLM", 1)),
      ::testing::ElementsAre("input_layernorm.weight [12] vector", "post_attention_layernorm.weight [12] vector",
                             "pre_feedforward_layernorm.weight [12] vector",
                             "post_feedforward_layernorm.weight [12] vector", "model.norm.weight [12] vector"));
  ModelSpec olmo2 = Spec("Olmo2ForCausalLM", 1);
  olmo2.layers[0].qk_norm = QkNorm::kWhole;
  EXPECT_THAT(norms(olmo2),
              ::testing::ElementsAre("self_attn.q_norm.weight [24] vector", "self_attn.k_norm.weight [12] vector",
                                     "post_attention_layernorm.weight [12] vector",
                                     "post_feedforward_layernorm.weight [12] vector", "model.norm.weight [12] vector"));
  EXPECT_THAT(FindPart(olmo2, TensorRole::kQNorm, 0)->out, ::testing::ElementsAre(4, 6));
  EXPECT_THAT(
      norms(Spec("Glm4ForCausalLM", 1)),
      ::testing::ElementsAre("input_layernorm.weight [12] vector", "post_self_attn_layernorm.weight [12] vector",
                             "post_attention_layernorm.weight [12] vector", "post_mlp_layernorm.weight [12] vector",
                             "model.norm.weight [12] vector"));
  ModelSpec stable = Spec("StableLmForCausalLM", 1);
  stable.norm = NormKind::kLayer;
  EXPECT_THAT(
      norms(stable),
      ::testing::ElementsAre("input_layernorm.weight [12] vector", "input_layernorm.bias [12] vector",
                             "post_attention_layernorm.weight [12] vector", "post_attention_layernorm.bias [12] vector",
                             "model.norm.weight [12] vector", "model.norm.bias [12] vector"));
  stable.layers[0].parallel = true;
  EXPECT_EQ(norms(stable).size(), 4u);
}

TEST(ModelTensors, FindsTensorsByRole) {
  ModelSpec spec = Spec("Qwen3ForCausalLM");
  for (LayerSpec& layer : spec.layers) layer.qk_norm = QkNorm::kPerHead;
  EXPECT_EQ(FindPart(spec, TensorRole::kQNorm, 1)->tensor, "model.layers.1.self_attn.q_norm.weight");
  EXPECT_FALSE(FindPart(spec, TensorRole::kQBias, 1).has_value());
  EXPECT_EQ(FindPart(spec, TensorRole::kHead)->tensor, "lm_head.weight");
  spec.tied_embeddings = true;
  for (LayerSpec& layer : spec.layers) layer.qkv_bias = true;
  EXPECT_EQ(FindPart(spec, TensorRole::kHead)->tensor, "model.embed_tokens.weight");
  EXPECT_EQ(FindPart(spec, TensorRole::kQBias, 1)->tensor, "model.layers.1.self_attn.q_proj.bias");
  EXPECT_EQ(ExpectedTensors(spec).size(), 1u + 2 * 14 + 1);
  EXPECT_EQ(CountParameters(Spec("LlamaForCausalLM", 1)),
            2 * 31 * 12 + 3 * 12 + 2 * 24 * 12 + 2 * 12 * 12 + 3 * 20 * 12);
}

TEST(ModelTensors, CountsWhatATokenReads) {
  ModelSpec spec = Spec("LlamaForCausalLM", 2);
  const int64_t layer = 2 * 12 + 2 * 24 * 12 + 2 * 12 * 12 + 3 * 20 * 12;
  EXPECT_EQ(ReadsOfAToken(spec).layers, (std::vector<int64_t>{layer, layer}));
  EXPECT_EQ(ReadsOfAToken(spec).head, 31 * 12);
  spec.tied_embeddings = true;  // the head reads the embedding
  EXPECT_EQ(ReadsOfAToken(spec).head, 31 * 12);
  spec = Spec("Phi3ForCausalLM", 1);  // fused qkv and gate_up are read once
  EXPECT_EQ(ReadsOfAToken(spec).layers, (std::vector<int64_t>{layer}));
}

TEST(ModelTensors, AcceptsAWholeCheckpoint) {
  ModelSpec spec = Spec("Qwen3ForCausalLM");
  for (LayerSpec& layer : spec.layers) {
    layer.qkv_bias = layer.o_bias = layer.mlp_bias = true;
    layer.qk_norm = QkNorm::kPerHead;
  }
  Checkpoint checkpoint = Whole(spec);
  EXPECT_EQ(checkpoint.tensors.size(), 1u + 2 * (9 + 7 + 2) + 2);
  checkpoint.tensors.at("model.norm.weight").dtype = ElementType::kF32;
  const Result<TensorReport> report = CheckTensors(spec, checkpoint);
  ASSERT_TRUE(report.ok()) << report.message();
  EXPECT_EQ(report->matrix_type, ElementType::kBf16);
  EXPECT_TRUE(report->warnings.empty());
}

TEST(ModelTensors, RefusesAMissingTensor) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.tensors.erase("model.layers.1.mlp.up_proj.weight");
  checkpoint.tensors.erase("lm_head.weight");
  EXPECT_EQ(Error(spec, checkpoint),
            "checkpoint: tensor 'model.layers.1.mlp.up_proj.weight' [20, 12] is missing (2 missing in all); it is "
            "incomplete or of another model than config.json");
}

TEST(ModelTensors, ATensorThatOnlyTheIndexKnowsIsMissedWhereItIsNeeded) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.only_in_index["model.layers.0.self_attn.rotary_emb.inv_freq"] = "m-1.safetensors";
  EXPECT_EQ(
      CheckTensors(spec, checkpoint)->warnings,
      (std::vector<std::string>{
          "checkpoint: the index puts tensor \"model.layers.0.self_attn.rotary_emb.inv_freq\" into m-1.safetensors, "
          "whose header has no such tensor; the model does not need it"}));
  checkpoint.only_in_index["x"] = "m-2.safetensors";
  EXPECT_THAT(CheckTensors(spec, checkpoint)->warnings,
              testing::ElementsAre(testing::HasSubstr("has no such tensor (2 such tensors in all); the model")));
  checkpoint.tensors.erase("model.norm.weight");
  checkpoint.only_in_index["model.norm.weight"] = "m-2.safetensors";
  EXPECT_EQ(Error(spec, checkpoint),
            "checkpoint: tensor 'model.norm.weight' [12] is missing (1 missing in all): the index puts it into "
            "m-2.safetensors, whose header has no such tensor; index and files are of different checkpoints: download "
            "both again");
}

TEST(ModelTensors, RefusesAWrongShape) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.tensors.at("model.layers.0.self_attn.k_proj.weight").shape = {24, 12};
  EXPECT_EQ(
      Error(spec, checkpoint),
      "checkpoint: tensor 'model.layers.0.self_attn.k_proj.weight' has shape [24, 12]; config.json makes it [12, 12]");
}

TEST(ModelTensors, RefusesWrongTypes) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.tensors.at("lm_head.weight").dtype = ElementType::kF32;
  EXPECT_EQ(
      Error(spec, checkpoint),
      "checkpoint: tensor 'lm_head.weight' is F32, but 'model.embed_tokens.weight' is BF16; all matrices must share "
      "one type");
  checkpoint.tensors.erase("lm_head.weight");
  checkpoint.other_dtypes["lm_head.weight"] = "F8_E4M3";
  EXPECT_EQ(
      Error(spec, checkpoint),
      "checkpoint: tensor 'lm_head.weight' is F8_E4M3; supported are F32, BF16 and F16 (quantized checkpoints are "
      "not supported yet)");
}

TEST(ModelTensors, ATiedModelWithAHeadOfItsOwnUsesIt) {
  ModelSpec spec = Spec("LlamaForCausalLM");
  spec.tied_embeddings = true;
  Checkpoint checkpoint = Whole(spec);
  std::vector<std::string> warnings;
  ResolveTiedHead(spec, checkpoint, &warnings);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ(Error(spec, checkpoint), "accepted");
  EXPECT_EQ(FindPart(spec, TensorRole::kHead)->tensor, "model.embed_tokens.weight");
  EXPECT_THAT(warnings, ::testing::ElementsAre());

  checkpoint.tensors["lm_head.weight"] = {"lm_head.weight", ElementType::kBf16, {31, 12}, 0, 0, 0};
  ResolveTiedHead(spec, checkpoint, &warnings);
  EXPECT_FALSE(spec.tied_embeddings);
  EXPECT_EQ(FindPart(spec, TensorRole::kHead)->tensor, "lm_head.weight");
  EXPECT_THAT(warnings,
              ::testing::ElementsAre(
                  "config.json: 'tie_word_embeddings' true is not used: the checkpoint holds lm_head.weight beside "
                  "model.embed_tokens.weight, and each is used, as transformers does"));
  EXPECT_EQ(Error(spec, checkpoint), "accepted");
  EXPECT_TRUE(CheckTensors(spec, checkpoint)->warnings.empty());
  checkpoint.tensors.at("lm_head.weight").shape = {32, 12};
  EXPECT_EQ(Error(spec, checkpoint),
            "checkpoint: tensor 'lm_head.weight' has shape [32, 12]; config.json makes it [31, 12]");
}

TEST(ModelTensors, ATiedModelWithAHeadAloneEmbedsWithIt) {
  ModelSpec spec = Spec("LlamaForCausalLM");
  spec.tied_embeddings = true;
  Checkpoint checkpoint = Whole(spec);
  auto tensor = checkpoint.tensors.extract("model.embed_tokens.weight");
  tensor.key() = tensor.mapped().name = "lm_head.weight";
  checkpoint.tensors.insert(std::move(tensor));
  std::vector<std::string> warnings;
  ResolveTiedHead(spec, checkpoint, &warnings);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ(Error(spec, checkpoint), "accepted");
  EXPECT_EQ(checkpoint.tensors.at("model.embed_tokens.weight").name, "lm_head.weight");  // what the file calls it
  EXPECT_TRUE(CheckTensors(spec, checkpoint)->warnings.empty());
  EXPECT_THAT(warnings, ::testing::ElementsAre());
}

TEST(ModelTensors, WarnsOfTensorsItDoesNotKnow) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {};
  checkpoint.other_dtypes["extra"] = "I64";
  EXPECT_THAT(CheckTensors(spec, checkpoint)->warnings,
              ::testing::ElementsAre("checkpoint: tensor \"extra\" is no part of LlamaForCausalLM; it is not used"));
  for (int i = 0; i < 12; ++i) checkpoint.tensors[fmt::format("x{}", i)] = {};
  const std::vector<std::string> warnings = CheckTensors(spec, checkpoint)->warnings;
  ASSERT_EQ(warnings.size(), 11u);
  EXPECT_EQ(warnings.back(), "checkpoint: 3 more tensors are not used");
}

}  // namespace
}  // namespace mrs
