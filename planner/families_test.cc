#include "planner/families.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mrs {
namespace {

ModelSpec Spec(const char* architecture) {
  ModelSpec spec;
  spec.architecture = architecture;
  spec.hidden = 12;
  spec.layers = 2;
  spec.heads = 4;
  spec.kv_heads = 2;
  spec.head_dim = 6;
  spec.ffn = 20;
  spec.vocab = 31;
  return spec;
}

Checkpoint Whole(const ModelSpec& spec) {
  Checkpoint checkpoint;
  for (const ModelTensor& tensor : ExpectedTensors(spec)) {
    checkpoint.tensors[tensor.name] = {tensor.name, ElementType::kBf16, tensor.shape, 0, 0, 0};
  }
  return checkpoint;
}

std::string Error(const ModelSpec& spec, const Checkpoint& checkpoint) {
  const Result<TensorReport> report = CheckTensors(spec, checkpoint);
  return report.ok() ? "accepted" : report.message();
}

TEST(Families, ListsTensorsInTheOrderOfTheComputation) {
  std::vector<std::string> texts;
  ModelSpec spec = Spec("LlamaForCausalLM");
  spec.layers = 1;
  for (const ModelTensor& tensor : ExpectedTensors(spec)) {
    texts.push_back(
        fmt::format("{} [{}]{}", tensor.name, fmt::join(tensor.shape, ","), tensor.matrix ? "" : " vector"));
  }
  EXPECT_THAT(
      texts,
      ::testing::ElementsAre(
          "model.embed_tokens.weight [31,12]", "model.layers.0.input_layernorm.weight [12] vector",
          "model.layers.0.self_attn.q_proj.weight [24,12]", "model.layers.0.self_attn.k_proj.weight [12,12]",
          "model.layers.0.self_attn.v_proj.weight [12,12]", "model.layers.0.self_attn.o_proj.weight [12,24]",
          "model.layers.0.post_attention_layernorm.weight [12] vector", "model.layers.0.mlp.gate_proj.weight [20,12]",
          "model.layers.0.mlp.up_proj.weight [20,12]", "model.layers.0.mlp.down_proj.weight [12,20]",
          "model.norm.weight [12] vector", "lm_head.weight [31,12]"));
}

TEST(Families, NamesTensorsByRole) {
  ModelSpec spec = Spec("Qwen3ForCausalLM");
  spec.qk_norm = true;
  EXPECT_EQ(TensorName(spec, TensorRole::kQNorm, 1), "model.layers.1.self_attn.q_norm.weight");
  EXPECT_EQ(TensorName(spec, TensorRole::kQBias, 1), "");
  EXPECT_EQ(TensorName(spec, TensorRole::kHead), "lm_head.weight");
  spec.tied_embeddings = true;
  spec.qkv_bias = true;
  EXPECT_EQ(TensorName(spec, TensorRole::kHead), "model.embed_tokens.weight");
  EXPECT_EQ(TensorName(spec, TensorRole::kQBias, 1), "model.layers.1.self_attn.q_proj.bias");
  EXPECT_EQ(ExpectedTensors(spec).size(), 1u + 2 * 14 + 1);
}

TEST(Families, AcceptsAWholeCheckpoint) {
  ModelSpec spec = Spec("Qwen3ForCausalLM");
  spec.qkv_bias = spec.o_bias = spec.mlp_bias = spec.qk_norm = true;
  Checkpoint checkpoint = Whole(spec);
  EXPECT_EQ(checkpoint.tensors.size(), 1u + 2 * (9 + 7 + 2) + 2);
  checkpoint.tensors.at("model.norm.weight").dtype = ElementType::kF32;
  const Result<TensorReport> report = CheckTensors(spec, checkpoint);
  ASSERT_TRUE(report.ok()) << report.message();
  EXPECT_EQ(report->matrix_type, ElementType::kBf16);
  EXPECT_TRUE(report->warnings.empty());
}

TEST(Families, RefusesAMissingTensor) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.tensors.erase("model.layers.1.mlp.up_proj.weight");
  checkpoint.tensors.erase("lm_head.weight");
  EXPECT_EQ(Error(spec, checkpoint),
            "checkpoint: tensor 'model.layers.1.mlp.up_proj.weight' [20, 12] is missing (2 missing in all); it is "
            "incomplete or of another model than config.json");
}

TEST(Families, ATensorThatOnlyTheIndexKnowsIsMissedWhereItIsNeeded) {
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

TEST(Families, RefusesAWrongShape) {
  const ModelSpec spec = Spec("LlamaForCausalLM");
  Checkpoint checkpoint = Whole(spec);
  checkpoint.tensors.at("model.layers.0.self_attn.k_proj.weight").shape = {24, 12};
  EXPECT_EQ(
      Error(spec, checkpoint),
      "checkpoint: tensor 'model.layers.0.self_attn.k_proj.weight' has shape [24, 12]; config.json makes it [12, 12]");
}

TEST(Families, RefusesWrongTypes) {
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

TEST(Families, ATiedModelWithAHeadOfItsOwnUsesIt) {
  ModelSpec spec = Spec("LlamaForCausalLM");
  spec.tied_embeddings = true;
  Checkpoint checkpoint = Whole(spec);
  std::vector<std::string> warnings;
  ResolveTiedHead(spec, checkpoint, &warnings);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ(Error(spec, checkpoint), "accepted");
  EXPECT_EQ(TensorName(spec, TensorRole::kHead), "model.embed_tokens.weight");
  EXPECT_THAT(warnings, ::testing::ElementsAre());

  checkpoint.tensors["lm_head.weight"] = {"lm_head.weight", ElementType::kBf16, {31, 12}, 0, 0, 0};
  ResolveTiedHead(spec, checkpoint, &warnings);
  EXPECT_FALSE(spec.tied_embeddings);
  EXPECT_EQ(TensorName(spec, TensorRole::kHead), "lm_head.weight");
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

TEST(Families, ATiedModelWithAHeadAloneEmbedsWithIt) {
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

TEST(Families, WarnsOfTensorsItDoesNotKnow) {
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
