#include "planner/index_check.h"

#include <gmock/gmock.h>

#include "planner/model_config.h"
#include "planner/model_folder_for_test.h"
#include "planner/model_tensors.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ModelSpec Spec(const std::string& more = "") {
  const Result<Json> config =
      ParseJson(fmt::format(R"({{"architectures": ["LlamaForCausalLM"], "hidden_size": 12, "num_hidden_layers": 2,
                      "num_attention_heads": 3, "intermediate_size": 20, "vocab_size": 31,
                      "max_position_embeddings": 128, "dtype": "bfloat16"{}}})",
                            more),
                "test");
  EXPECT_TRUE(config.ok()) << config.message();
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ParseModelConfig(*config, "config.json", std::nullopt, &warnings);
  EXPECT_TRUE(spec.ok()) << spec.message();
  return spec.ok() ? *spec : ModelSpec();
}

// All tensors of the model in one file.
WeightIndex Whole(const ModelSpec& spec, int64_t bytes_each) {
  WeightIndex index;
  for (const ModelTensor& tensor : ExpectedTensors(spec)) index.file_of[tensor.name] = "m-1.safetensors";
  index.file_names = {"m-1.safetensors"};
  index.total_bytes = bytes_each * CountParameters(spec);
  return index;
}

std::string Error(ModelSpec spec, const WeightIndex& index) {
  const Result<IndexReport> report = CheckIndex(spec, index);
  return report.ok() ? "accepted" : report.message();
}

TEST(IndexCheck, HoldsNamesAndSizeAgainstTheModel) {
  ModelSpec spec = Spec();
  const Result<IndexReport> report = CheckIndex(spec, Whole(spec, 2));
  ASSERT_TRUE(report.ok()) << report.message();
  EXPECT_EQ(report->text, "21 tensors in 1 file, all that the model needs, 2 bytes for each parameter");
  EXPECT_THAT(report->warnings, IsEmpty());
  EXPECT_EQ(spec.config_type, ElementType::kBf16);
}

TEST(IndexCheck, NamesWhatIsMissing) {
  const ModelSpec spec = Spec();
  WeightIndex index = Whole(spec, 2);
  index.file_of.erase("model.layers.1.mlp.up_proj.weight");
  EXPECT_EQ(Error(spec, index),
            "checkpoint: tensor 'model.layers.1.mlp.up_proj.weight' [20, 12] is missing (1 missing in all); it is "
            "incomplete or of another model than config.json");
  index.file_of = {{"language_model.model.embed_tokens.weight", "m-1.safetensors"}};
  EXPECT_EQ(
      Error(spec, index),
      "checkpoint: tensor 'model.embed_tokens.weight' [31, 12] is missing (21 missing in all); it is incomplete or "
      "of another model than config.json: its tensors have names like "
      "\"language_model.model.embed_tokens.weight\"");
}

TEST(IndexCheck, RefusesWhatIsKeptBesideQuantizedWeights) {
  const ModelSpec spec = Spec();
  for (const char* end : {"qweight", "qzeros", "g_idx", "scales", "biases", "weight.absmax", "SCB", "weight_scale",
                          "weight_scale_inv", "weight_packed"}) {
    WeightIndex index = Whole(spec, 2);
    const std::string name = fmt::format("model.layers.0.mlp.down_proj.{}", end);
    index.file_of[name] = "m-1.safetensors";
    EXPECT_EQ(Error(spec, index),
              fmt::format("checkpoint: tensor '{}' is kept beside quantized weights; quantized checkpoints are not "
                          "supported yet; give one in bf16, f16 or f32",
                          name));
  }
}

TEST(IndexCheck, WarnsOfWhatIsNotUsed) {
  ModelSpec spec = Spec();
  WeightIndex index = Whole(spec, 2);
  index.file_of["model.layers.0.self_attn.rotary_emb.inv_freq"] = "m-1.safetensors";
  index.file_of["extra"] = "m-1.safetensors";
  index.total_bytes += 8;
  const Result<IndexReport> report = CheckIndex(spec, index);
  ASSERT_TRUE(report.ok()) << report.message();
  EXPECT_EQ(report->text, "23 tensors in 1 file, of which the model needs 21, 2 bytes for each parameter");
  EXPECT_THAT(report->warnings,
              ElementsAre("checkpoint: tensor \"extra\" is no part of LlamaForCausalLM; it is not used"));
}

TEST(IndexCheck, AHeadBesideTiedEmbeddingsIsUsed) {
  ModelSpec tied = Spec(R"(, "tie_word_embeddings": true)");
  const Result<IndexReport> report = CheckIndex(tied, Whole(Spec(), 2));
  ASSERT_TRUE(report.ok()) << report.message();
  EXPECT_FALSE(tied.tied_embeddings);
  EXPECT_EQ(report->text, "21 tensors in 1 file, all that the model needs, 2 bytes for each parameter");
  EXPECT_EQ(report->warnings.size(), 1u);
}

TEST(IndexCheck, ItsSizeTellsTheType) {
  ModelSpec spec = Spec();
  const int64_t parameters = CountParameters(spec);
  const Result<IndexReport> four = CheckIndex(spec, Whole(spec, 4));
  ASSERT_TRUE(four.ok()) << four.message();
  EXPECT_EQ(spec.config_type, ElementType::kF32);
  EXPECT_THAT(
      four->warnings,
      ElementsAre(fmt::format(
          "model.safetensors.index.json: 'total_size' {} makes the checkpoint F32, and config.json has BF16: F32 "
          "is what holds, since a build goes by the tensors",
          4 * parameters)));
  const Result<IndexReport> two = CheckIndex(spec, Whole(spec, 2));
  ASSERT_TRUE(two.ok()) << two.message();
  EXPECT_EQ(spec.config_type, ElementType::kF32);
  EXPECT_THAT(two->warnings,
              ElementsAre(fmt::format(
                  "model.safetensors.index.json: 'total_size' {} makes the checkpoint BF16 or F16, and config.json has "
                  "F32, or nothing, which means it: F16 is computed as f32, BF16 as bf16, which --dtype bf16 shows",
                  2 * parameters)));
}

TEST(IndexCheck, ASizeThatFitsNoTypeIsToldOf) {
  ModelSpec spec = Spec();
  const int64_t parameters = CountParameters(spec);
  const auto warning = [&](int64_t total) {
    WeightIndex index = Whole(spec, 2);
    index.total_bytes = total;
    const Result<IndexReport> report = CheckIndex(spec, index);
    EXPECT_TRUE(report.ok()) << report.message();
    EXPECT_EQ(report->text, "21 tensors in 1 file, all that the model needs");
    return report->warnings.empty() ? "" : report->warnings.front();
  };
  EXPECT_EQ(
      warning(parameters),
      fmt::format("model.safetensors.index.json: 'total_size' {} is 1.000 bytes for each of the {} parameters that "
                  "config.json makes, neither 2 nor 4: the checkpoint is quantized, or of another model, or the "
                  "size is wrong",
                  parameters, parameters));
  EXPECT_EQ(
      warning(3 * parameters),
      fmt::format("model.safetensors.index.json: 'total_size' {} is 3.000 bytes for each of the {} parameters that "
                  "config.json makes, neither 2 nor 4: it is of another model, or the size is wrong",
                  3 * parameters, parameters));
  EXPECT_EQ(warning(0), "");  // not said
}

TEST(IndexCheck, AFolderMayHaveNone) {
  ModelSpec spec = Spec();
  ModelFolder folder;
  EXPECT_FALSE(CheckWithoutHeaders(folder.path(), spec)->has_value());
  folder.Write("model.safetensors.index.json", "{}");
  EXPECT_EQ(CheckWithoutHeaders(folder.path(), spec).message(),
            "model.safetensors.index.json: 'weight_map' is missing; expected an object");
  folder.Write("hf_quant_config.json", "{}");
  EXPECT_EQ(CheckWithoutHeaders(folder.path(), spec).message(),
            "hf_quant_config.json: quantized checkpoints are not supported yet; give one in bf16, f16 or f32");
  folder.Write("model.safetensors", "whose header says more");
  EXPECT_FALSE(CheckWithoutHeaders(folder.path(), spec)->has_value());
}

}  // namespace
}  // namespace mrs
