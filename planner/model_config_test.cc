#include "planner/model_config.h"

#include <gmock/gmock.h>

#include <cmath>

#include "planner/model_folder_for_test.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

// A small config.json of one family, changed by `patch` (null removes nothing: it writes null).
Json Config(const char* architecture, const std::string& patch = "{}") {
  Json config = {{"architectures", {architecture}},
                 {"hidden_size", 64},
                 {"num_hidden_layers", 3},
                 {"num_attention_heads", 8},
                 {"num_key_value_heads", 4},
                 {"intermediate_size", 172},
                 {"vocab_size", 2001},
                 {"max_position_embeddings", 512},
                 {"sliding_window", nullptr}};
  const Result<Json> changes = ParseJson(patch, "patch");
  EXPECT_TRUE(changes.ok()) << changes.message();
  for (const auto& [key, value] : changes->items()) {
    if (value == "ABSENT") {
      config.erase(key);
    } else {
      config[key] = value;
    }
  }
  return config;
}

ModelSpec Spec(const Json& config) {
  const Result<ModelSpec> spec = ParseModelConfig(config, "config.json");
  EXPECT_TRUE(spec.ok()) << spec.message();
  return spec.ok() ? *spec : ModelSpec();
}

std::string Error(const Json& config) {
  const Result<ModelSpec> spec = ParseModelConfig(config, "config.json");
  return spec.ok() ? "accepted" : spec.message();
}

std::string LlamaError(const std::string& patch) { return Error(Config("LlamaForCausalLM", patch)); }

TEST(ModelConfig, ReadsALlama) {
  const ModelSpec spec = Spec(Config("LlamaForCausalLM", R"({"rms_norm_eps": 1e-05, "tie_word_embeddings": true,
      "attention_bias": true, "mlp_bias": true, "rope_theta": 500000.0, "torch_dtype": "bfloat16",
      "bos_token_id": 7, "eos_token_id": [9, 3, 9], "pad_token_id": -1})"));
  EXPECT_EQ(spec.architecture, "LlamaForCausalLM");
  EXPECT_EQ(spec.hidden, 64);
  EXPECT_EQ(spec.layers, 3);
  EXPECT_EQ(spec.heads, 8);
  EXPECT_EQ(spec.kv_heads, 4);
  EXPECT_EQ(spec.head_dim, 8);
  EXPECT_EQ(spec.ffn, 172);
  EXPECT_EQ(spec.vocab, 2001);
  EXPECT_EQ(spec.max_position, 512);
  EXPECT_EQ(spec.norm_eps, 1e-5f);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_TRUE(spec.qkv_bias);
  EXPECT_TRUE(spec.o_bias);
  EXPECT_TRUE(spec.mlp_bias);
  EXPECT_FALSE(spec.qk_norm);
  EXPECT_EQ(spec.rope.rule, "theta 500000");
  EXPECT_EQ(spec.rope.inv_freq.size(), 4u);
  EXPECT_EQ(spec.bos, 7);
  EXPECT_THAT(spec.eos, ElementsAre(3, 9));
  EXPECT_EQ(spec.pad, -1);
}

TEST(ModelConfig, TakesTheDefaultsOfTransformers) {
  const ModelSpec llama = Spec(Config("LlamaForCausalLM", R"({"num_key_value_heads": "ABSENT"})"));
  EXPECT_EQ(llama.kv_heads, 8);
  EXPECT_EQ(llama.norm_eps, 1e-6f);
  EXPECT_EQ(llama.rope.rule, "theta 10000");
  EXPECT_EQ(llama.bos, 1);
  EXPECT_THAT(llama.eos, ElementsAre(2));
  EXPECT_FALSE(llama.tied_embeddings || llama.qkv_bias || llama.o_bias || llama.mlp_bias || llama.qk_norm);

  const ModelSpec qwen2 = Spec(Config("Qwen2ForCausalLM", R"({"num_key_value_heads": null, "attention_bias": false})"));
  EXPECT_EQ(qwen2.kv_heads, 8);
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.o_bias);
  EXPECT_EQ(qwen2.bos, -1);
  EXPECT_TRUE(qwen2.eos.empty());

  const ModelSpec qwen3 = Spec(Config("Qwen3ForCausalLM"));
  EXPECT_EQ(qwen3.head_dim, 128);
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_FALSE(qwen3.qkv_bias);
  EXPECT_TRUE(Spec(Config("Qwen3ForCausalLM", R"({"attention_bias": true})")).o_bias);

  const ModelSpec mistral =
      Spec(Config("MistralForCausalLM", R"({"num_key_value_heads": "ABSENT", "mlp_bias": true})"));
  EXPECT_EQ(mistral.kv_heads, 8);
  EXPECT_FALSE(mistral.mlp_bias);
}

TEST(ModelConfig, ReadsTheSpellingOfTransformers5) {
  const ModelSpec spec = Spec(Config("LlamaForCausalLM", R"({"dtype": "bfloat16", "head_dim": 8,
      "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 128},
      "layer_types": ["full_attention", "full_attention", "full_attention"]})"));
  EXPECT_EQ(spec.rope.rule, "theta 500000, llama3 factor 8 low 1 high 4 original 128");
}

TEST(ModelConfig, AcceptsWindowsThatNoLayerFeels) {
  EXPECT_EQ(Error(Config("MistralForCausalLM", R"({"sliding_window": 512})")), "accepted");
  EXPECT_EQ(Error(Config("Qwen2ForCausalLM", R"({"sliding_window": 64, "use_sliding_window": false})")), "accepted");
  EXPECT_EQ(Error(Config("Qwen2ForCausalLM",
                         R"({"sliding_window": 64, "use_sliding_window": true, "max_window_layers": 3})")),
            "accepted");
}

TEST(ModelConfig, RefusesSlidingWindowsInUse) {
  EXPECT_EQ(Error(Config("MistralForCausalLM", R"({"sliding_window": 64})")),
            "config.json: a sliding window of 64 in a context of 512 is not supported yet");
  EXPECT_EQ(Error(Config("MistralForCausalLM", R"({"sliding_window": "ABSENT", "max_position_embeddings": 32768})")),
            "config.json: 'sliding_window' is absent, which means 4096 for MistralForCausalLM; sliding windows are not "
            "supported yet: write null if the model was trained without");
  EXPECT_EQ(Error(Config("Qwen3ForCausalLM",
                         R"({"sliding_window": 64, "use_sliding_window": true, "max_window_layers": 2})")),
            "config.json: a sliding window of 64 in a context of 512 is not supported yet");
  EXPECT_EQ(Error(Config("Qwen3ForCausalLM", R"({"layer_types": ["full_attention", "sliding_attention"]})")),
            "config.json: layer_types[1] \"sliding_attention\" is not supported yet; supported: full_attention");
}

TEST(ModelConfig, RefusesUnknownArchitecturesByName) {
  const char* supported =
      "is not supported yet; supported: LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM";
  EXPECT_EQ(Error(Config("GptOssForCausalLM")),
            fmt::format("config.json: architecture \"GptOssForCausalLM\" {}", supported));
  EXPECT_EQ(LlamaError(R"({"architectures": "ABSENT"})"), "config.json: 'architectures' is missing; expected an array");
  EXPECT_EQ(LlamaError(R"({"architectures": []})"),
            "config.json: 'architectures': expected the name of an architecture, got an array of 0 values");
}

TEST(ModelConfig, RefusesWhatItDoesNotPlan) {
  EXPECT_EQ(LlamaError(R"({"quantization_config": {"quant_method": "fp8"}})"),
            "config.json: 'quantization_config': quantized checkpoints are not supported yet");
  EXPECT_EQ(LlamaError(R"({"num_local_experts": 8})"),
            "config.json: 'num_local_experts': mixtures of experts are not supported yet");
  EXPECT_EQ(LlamaError(R"({"vision_config": {}})"),
            "config.json: 'vision_config': multimodal models are not supported yet");
  EXPECT_EQ(LlamaError(R"({"final_logit_softcapping": 30.0})"),
            "config.json: 'final_logit_softcapping': capped logits are not supported yet");
  EXPECT_EQ(LlamaError(R"({"num_experts": 0, "quantization_config": null})"), "accepted");
  EXPECT_EQ(LlamaError(R"({"hidden_act": "gelu"})"),
            "config.json: hidden_act \"gelu\" is not supported yet; supported: silu");
  EXPECT_EQ(LlamaError(R"({"rope_scaling": {"type": "yarn"}})"),
            "config.json: rope_scaling type \"yarn\" is not supported yet; supported: default, linear, llama3");
}

TEST(ModelConfig, RefusesValuesOutOfRange) {
  EXPECT_EQ(LlamaError(R"({"hidden_size": "ABSENT"})"),
            "config.json: 'hidden_size' is missing; expected an integer from 1 to 16777216");
  EXPECT_EQ(LlamaError(R"({"hidden_size": "64"})"),
            "config.json: 'hidden_size': expected an integer from 1 to 16777216, got \"64\"");
  EXPECT_EQ(LlamaError(R"({"num_hidden_layers": 0})"),
            "config.json: 'num_hidden_layers': expected an integer from 1 to 4096, got 0");
  EXPECT_EQ(LlamaError(R"({"vocab_size": 99999999999})"),
            "config.json: 'vocab_size': expected an integer from 1 to 16777216, got 99999999999");
  EXPECT_EQ(LlamaError(R"({"num_attention_heads": 6})"),
            "config.json: num_attention_heads 6 does not divide by num_key_value_heads 4");
  EXPECT_EQ(LlamaError(R"({"num_attention_heads": 12})"),
            "config.json: hidden_size 64 does not divide by num_attention_heads 12, and there is no head_dim");
  EXPECT_EQ(LlamaError(R"({"head_dim": 7})"), "config.json: head_dim 7 is odd; RoPE turns pairs of elements");
  EXPECT_EQ(LlamaError(R"({"hidden_size": 16777216})"), "config.json: head_dim 2097152; at most 4096 is accepted");
  EXPECT_EQ(LlamaError(R"({"rms_norm_eps": 0})"),
            "config.json: 'rms_norm_eps': expected a number from 1e-30 to 1, got 0");
  EXPECT_EQ(LlamaError(R"({"tie_word_embeddings": 1})"),
            "config.json: 'tie_word_embeddings': expected true or false, got 1");
  EXPECT_EQ(LlamaError(R"({"bos_token_id": 2001})"),
            "config.json: 'bos_token_id': expected an integer from -1 to 2000, got 2001");
  EXPECT_EQ(LlamaError(R"({"eos_token_id": [5, -1]})"),
            "config.json: 'eos_token_id': expected at most 1024 integers from 0 to 2000, got -1");
}

Result<ModelSpec> Read(const ModelFolder& folder) { return ReadModelConfig(folder.path()); }

TEST(ModelConfig, ReadsAFolder) {
  ModelFolder folder;
  folder.Write("config.json", Config("LlamaForCausalLM", R"({"bos_token_id": 5, "eos_token_id": 6})").dump());
  Result<ModelSpec> spec = Read(folder);
  ASSERT_TRUE(spec.ok()) << spec.message();
  EXPECT_EQ(spec->name, "model");
  EXPECT_EQ(spec->chat_template, "");
  EXPECT_EQ(spec->sampling.temperature, 1.0f);

  folder.Write(
      "generation_config.json",
      R"({"eos_token_id": [8, 6], "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.05})");
  folder.Write("tokenizer_config.json", R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>",
                                           "chat_template": "{{ messages }}"})");
  spec = ReadModelConfig(folder.path(), {.name = "mini"});
  ASSERT_TRUE(spec.ok()) << spec.message();
  EXPECT_EQ(spec->name, "mini");
  EXPECT_EQ(spec->bos, 5);
  EXPECT_THAT(spec->eos, ElementsAre(6, 8));
  EXPECT_EQ(spec->sampling.temperature, 0.6f);
  EXPECT_EQ(spec->sampling.top_p, 0.9f);
  EXPECT_EQ(spec->sampling.top_k, 20u);
  EXPECT_EQ(spec->sampling.repetition_penalty, 1.05f);
  EXPECT_EQ(spec->template_bos, "<s>");
  EXPECT_EQ(spec->template_eos, "</s>");
  EXPECT_EQ(spec->chat_template, "{{ messages }}");

  folder.Write("generation_config.json", R"({"do_sample": false, "temperature": 0.6})");
  folder.Write("chat_template.jinja", "{{ from_file }}");
  spec = Read(folder);
  ASSERT_TRUE(spec.ok()) << spec.message();
  EXPECT_THAT(spec->eos, ElementsAre(6));
  EXPECT_EQ(spec->sampling.temperature, 0.0f);
  EXPECT_EQ(spec->chat_template, "{{ from_file }}");
}

TEST(ModelConfig, PicksTheDefaultOfNamedTemplates) {
  ModelFolder folder;
  folder.Write("config.json", Config("LlamaForCausalLM").dump());
  const auto with = [&](const std::string& templates) {
    folder.Write("tokenizer_config.json", R"({"bos_token": null, "chat_template": )" + templates + "}");
    const Result<ModelSpec> spec = Read(folder);
    return spec.ok() ? spec->chat_template : spec.message();
  };
  EXPECT_EQ(with(R"([{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}])"), "D");
  EXPECT_EQ(with(R"([{"name": "tools", "template": "T"}])"), "T");
  EXPECT_EQ(with("null"), "");
  EXPECT_EQ(
      with(R"([{"name": "tools", "template": "T"}, {"name": "rag", "template": "R"}])"),
      "tokenizer_config.json: chat_template: none of the templates \"tools\", \"rag\" is \"default\"; put the one "
      "to use into chat_template.jinja");
  EXPECT_EQ(with("7"), "tokenizer_config.json: 'chat_template': expected a string, got 7");
}

TEST(ModelConfig, RefusesBrokenFoldersByFile) {
  ModelFolder folder;
  EXPECT_EQ(
      Read(folder).message(),
      folder.path() +
          "/config.json: cannot be opened: No such file or directory; give the folder of a Hugging Face checkpoint");
  folder.Write("config.json", "[1]");
  EXPECT_EQ(Read(folder).message(), "config.json: expected an object with 'architectures', got an array of 1 values");
  folder.Write("config.json", "{\"architectures\":\n [");
  EXPECT_THAT(Read(folder).message(), ::testing::StartsWith("config.json: line 2, column "));
  folder.Write("config.json", Config("LlamaForCausalLM").dump());
  EXPECT_EQ(ReadModelConfig(folder.path(), {.name = "a\nb"}).message(),
            "model name: expected 1 to 255 bytes without control characters, got \"a\\nb\"");
  folder.Write("generation_config.json", R"({"top_p": 1.5})");
  EXPECT_EQ(Read(folder).message(), "generation_config.json: 'top_p': expected a number from 0 to 1, got 1.5");
  folder.Write("generation_config.json", R"({"top_k": -1})");
  EXPECT_EQ(Read(folder).message(),
            "generation_config.json: 'top_k': expected an integer from 0 to 2147483647, got -1");
  folder.Write("generation_config.json", "7");
  EXPECT_EQ(Read(folder).message(), "generation_config.json: expected an object, got 7");
  folder.Remove("generation_config.json");
  folder.Write("tokenizer_config.json", R"({"bos_token": 7})");
  EXPECT_EQ(Read(folder).message(), "tokenizer_config.json: 'bos_token': expected a string, got 7");
  folder.Write("tokenizer_config.json", R"({"eos_token": {"id": 7}})");
  EXPECT_EQ(Read(folder).message(), "tokenizer_config.json: eos_token: 'content' is missing; expected a string");
  folder.Remove("tokenizer_config.json");
  folder.Write("chat_template.jinja", std::string(1048577, ' '));
  EXPECT_EQ(Read(folder).message(),
            folder.path() + "/chat_template.jinja: 1048577 bytes, at most 1048576 are accepted");
}

}  // namespace
}  // namespace mrs
