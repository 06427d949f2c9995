#include "planner/model_config.h"

#include <gmock/gmock.h>

#include <cmath>

#include "planner/families.h"
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
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ParseModelConfig(config, "config.json", std::nullopt, &warnings);
  EXPECT_TRUE(spec.ok()) << spec.message();
  return spec.ok() ? *spec : ModelSpec();
}

std::string Error(const Json& config) {
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ParseModelConfig(config, "config.json", std::nullopt, &warnings);
  return spec.ok() ? "accepted" : spec.message();
}

std::vector<std::string> Warnings(const Json& config) {
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ParseModelConfig(config, "config.json", std::nullopt, &warnings);
  EXPECT_TRUE(spec.ok()) << spec.message();
  return warnings;
}

std::string LlamaError(const std::string& patch) { return Error(Config("LlamaForCausalLM", patch)); }

TEST(ModelConfig, ReadsALlama) {
  const ModelSpec spec = Spec(Config("LlamaForCausalLM", R"({"rms_norm_eps": 1e-05, "tie_word_embeddings": true,
      "attention_bias": true, "mlp_bias": true, "rope_theta": 500000.0, "torch_dtype": "bfloat16",
      "bos_token_id": 7, "eos_token_id": [9, 3, 9], "pad_token_id": -1})"));
  EXPECT_EQ(spec.architecture, "LlamaForCausalLM");
  EXPECT_EQ(spec.hidden, 64);
  EXPECT_EQ(spec.layers.size(), 3u);
  EXPECT_EQ(spec.layers[0].heads, 8);
  EXPECT_EQ(spec.layers[0].kv_heads, 4);
  EXPECT_EQ(spec.layers[0].head_dim, 8);
  EXPECT_EQ(spec.layers[0].ffn, 172);
  EXPECT_EQ(spec.vocab, 2001);
  EXPECT_EQ(spec.max_position, 512);
  EXPECT_EQ(spec.norm_eps, 1e-5f);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_TRUE(spec.layers[0].qkv_bias);
  EXPECT_TRUE(spec.layers[0].o_bias);
  EXPECT_TRUE(spec.layers[0].mlp_bias);
  EXPECT_EQ(spec.layers[0].qk_norm, QkNorm::kNone);
  EXPECT_EQ(spec.ropes[0].rule, "theta 500000");
  EXPECT_EQ(spec.ropes[0].inv_freq.size(), 4u);
  EXPECT_EQ(spec.bos, 7);
  EXPECT_THAT(spec.eos, ElementsAre(3, 9));
  EXPECT_EQ(spec.pad, -1);
}

TEST(ModelConfig, TakesTheDefaultsOfTransformers) {
  const ModelSpec llama = Spec(Config("LlamaForCausalLM", R"({"num_key_value_heads": "ABSENT"})"));
  EXPECT_EQ(llama.layers[0].kv_heads, 8);
  EXPECT_EQ(llama.norm_eps, 1e-6f);
  EXPECT_EQ(llama.ropes[0].rule, "theta 10000");
  EXPECT_EQ(llama.bos, 1);
  EXPECT_TRUE(llama.eos.empty());  // the default of the family counts only where no file names one
  const LayerSpec& layer = llama.layers[0];
  EXPECT_FALSE(llama.tied_embeddings || layer.qkv_bias || layer.o_bias || layer.mlp_bias);
  EXPECT_EQ(layer.score_scale, 1 / std::sqrt(8.0f));

  const ModelSpec qwen2 = Spec(Config("Qwen2ForCausalLM", R"({"num_key_value_heads": null, "attention_bias": false})"));
  EXPECT_EQ(qwen2.layers[0].kv_heads, 8);
  EXPECT_TRUE(qwen2.layers[0].qkv_bias);
  EXPECT_FALSE(qwen2.layers[0].o_bias);
  EXPECT_EQ(qwen2.bos, -1);
  EXPECT_TRUE(qwen2.eos.empty());

  const ModelSpec qwen3 = Spec(Config("Qwen3ForCausalLM"));
  EXPECT_EQ(qwen3.layers[0].head_dim, 128);
  EXPECT_EQ(qwen3.layers[0].qk_norm, QkNorm::kPerHead);
  EXPECT_FALSE(qwen3.layers[0].qkv_bias);
  EXPECT_TRUE(Spec(Config("Qwen3ForCausalLM", R"({"attention_bias": true})")).layers[0].o_bias);

  const ModelSpec mistral =
      Spec(Config("MistralForCausalLM", R"({"num_key_value_heads": "ABSENT", "mlp_bias": true})"));
  EXPECT_EQ(mistral.layers[0].kv_heads, 8);
  EXPECT_FALSE(mistral.layers[0].mlp_bias);
}

TEST(ModelConfig, ReadsTheSpellingOfTransformers5) {
  const ModelSpec spec = Spec(Config("LlamaForCausalLM", R"({"dtype": "bfloat16", "head_dim": 8,
      "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 128},
      "layer_types": ["full_attention", "full_attention", "full_attention"]})"));
  EXPECT_EQ(spec.ropes[0].rule, "theta 500000, llama3 factor 8 low 1 high 4 original 128");
}

// Each layer's window, "-" where it does not turn.
std::string Windows(const Json& config) {
  std::string text;
  for (const LayerSpec& layer : Spec(config).layers) {
    text += fmt::format("{}{}{}", text.empty() ? "" : " ", layer.window, layer.rope ? "" : "-");
  }
  return text;
}

TEST(ModelConfig, ReadsWindowsAsTheFamilyStatesThem) {
  EXPECT_EQ(Windows(Config("LlamaForCausalLM", R"({"sliding_window": 64})")), "0 0 0");
  EXPECT_EQ(Windows(Config("MistralForCausalLM")), "0 0 0");
  EXPECT_EQ(Windows(Config("MistralForCausalLM", R"({"sliding_window": "ABSENT"})")), "4096 4096 4096");
  EXPECT_EQ(Windows(Config("Phi3ForCausalLM", R"({"sliding_window": "ABSENT"})")), "0 0 0");
  EXPECT_EQ(Windows(Config("Phi3ForCausalLM", R"({"sliding_window": 64})")), "64 64 64");
  EXPECT_EQ(Windows(Config("Qwen2ForCausalLM", R"({"sliding_window": 64, "max_window_layers": 1})")), "0 0 0");
  EXPECT_EQ(Windows(Config("Qwen2ForCausalLM",
                           R"({"sliding_window": 64, "use_sliding_window": true, "max_window_layers": 1})")),
            "0 64 64");
  EXPECT_EQ(Windows(Config("Qwen3ForCausalLM", R"({"sliding_window": 64, "use_sliding_window": true,
                           "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]})")),
            "64 0 64");
  EXPECT_EQ(Windows(Config("Gemma2ForCausalLM", R"({"sliding_window": 64})")), "64 0 64");
  EXPECT_EQ(Windows(Config("Gemma3ForCausalLM", R"({"sliding_window": 64, "num_hidden_layers": 7})")),
            "64 64 64 64 64 0 64");
  EXPECT_EQ(Windows(Config("Gemma3ForCausalLM", R"({"sliding_window": 64, "sliding_window_pattern": 2})")), "64 0 64");
  EXPECT_EQ(Windows(Config("Olmo3ForCausalLM", R"({"sliding_window": 64, "num_hidden_layers": 5})")), "64 64 64 0 64");
}

TEST(ModelConfig, ReadsWhichLayersTurn) {
  EXPECT_EQ(Windows(Config("SmolLM3ForCausalLM", R"({"num_hidden_layers": 5})")), "0 0 0 0- 0");
  EXPECT_EQ(Windows(Config("SmolLM3ForCausalLM", R"({"no_rope_layers": [0, 1, 0, 1]})")), "0- 0 0-");
  EXPECT_EQ(Windows(Config("SmolLM3ForCausalLM", R"({"no_rope_layer_interval": 2, "use_sliding_window": true,
                                                     "sliding_window": 64})")),
            "0 64- 0");
  EXPECT_EQ(Windows(Config("Exaone4ForCausalLM")), "0 0 0");
  EXPECT_EQ(Windows(Config("Exaone4ForCausalLM", R"({"sliding_window": 64, "sliding_window_pattern": 2})")),
            "64 0- 64");
  EXPECT_EQ(Error(Config("SmolLM3ForCausalLM", R"({"no_rope_layers": [1, 1]})")),
            "config.json: 'no_rope_layers' has 2 entries for 3 layers");
  EXPECT_EQ(Error(Config("SmolLM3ForCausalLM", R"({"no_rope_layers": [1, 2, 1]})")),
            "config.json: no_rope_layers[1]: expected 1 (the layer turns) or 0, got 2");
}

TEST(ModelConfig, RefusesLayerTypesThatItDoesNotPlan) {
  EXPECT_EQ(Error(Config("Qwen3ForCausalLM", R"({"layer_types": ["full_attention", "sliding_attention"]})")),
            "config.json: 'layer_types' has 2 entries for 3 layers");
  EXPECT_EQ(Error(Config("Qwen3ForCausalLM",
                         R"({"layer_types": ["full_attention", "sliding_attention", "full_attention"]})")),
            "config.json: layer_types[1] is \"sliding_attention\", but Qwen3ForCausalLM has no sliding window here: "
            "give sliding_window and use_sliding_window");
  EXPECT_EQ(Error(Config("Gemma2ForCausalLM", R"({"layer_types": ["full_attention", "conv", "conv"]})")),
            "config.json: layer_types[1] \"conv\" is not supported yet; supported: full_attention, sliding_attention");
  EXPECT_EQ(Error(Config("MistralForCausalLM", R"({"sliding_window": 64,
                         "layer_types": ["full_attention", "sliding_attention", "full_attention"]})")),
            "config.json: layer_types[1] \"sliding_attention\": MistralForCausalLM has one attention for all layers");
  EXPECT_EQ(Error(Config("Exaone4ForCausalLM", R"({"sliding_window": 64, "sliding_window_pattern": "LLLG"})")),
            "config.json: 'sliding_window_pattern' \"LLLG\" is not supported yet; write it out as layer_types");
}

TEST(ModelConfig, ReadsWhatGemmaAndGraniteAdd) {
  const ModelSpec gemma2 = Spec(Config("Gemma2ForCausalLM", R"({"query_pre_attn_scalar": 16})"));
  EXPECT_EQ(gemma2.norm, NormKind::kRmsOfWeightPlusOne);
  EXPECT_EQ(gemma2.embedding_multiplier, 8.0f);
  EXPECT_TRUE(gemma2.multiplier_as_matrices && gemma2.tied_embeddings);
  EXPECT_EQ(gemma2.logit_cap, 30.0f);
  EXPECT_EQ(gemma2.layers[0].score_cap, 50.0f);
  EXPECT_EQ(gemma2.layers[0].score_scale, 0.25f);
  EXPECT_EQ(gemma2.layers[0].activation, Activation::kGeluTanh);
  const ModelSpec uncapped =
      Spec(Config("Gemma2ForCausalLM", R"({"attn_logit_softcapping": null, "final_logit_softcapping": null})"));
  EXPECT_EQ(uncapped.logit_cap + uncapped.layers[0].score_cap, 0);
  EXPECT_EQ(Spec(Config("GemmaForCausalLM", R"({"hidden_act": "gelu"})")).layers[0].activation, Activation::kGeluTanh);
  EXPECT_EQ(Spec(Config("LlamaForCausalLM", R"({"hidden_act": "gelu"})")).layers[0].activation, Activation::kGelu);
  const ModelSpec granite =
      Spec(Config("GraniteForCausalLM", R"({"embedding_multiplier": 12.0, "residual_multiplier": 0.25,
                                            "attention_multiplier": 0.5, "logits_scaling": 8.0})"));
  EXPECT_EQ(granite.embedding_multiplier, 12.0f);
  EXPECT_FALSE(granite.multiplier_as_matrices);
  EXPECT_EQ(granite.logits_scaling, 8.0f);
  EXPECT_EQ(granite.layers[2].residual_multiplier, 0.25f);
  EXPECT_EQ(granite.layers[2].score_scale, 0.5f);
  EXPECT_EQ(Spec(Config("GraniteForCausalLM")).layers[0].score_scale, 1.0f);
  EXPECT_EQ(Error(Config("GraniteForCausalLM", R"({"logits_scaling": 0})")),
            "config.json: 'logits_scaling': expected a number from 1e-12 to 1000000000000, got 0");
}

TEST(ModelConfig, ReadsWhatTheOthersAdd) {
  const ModelSpec glm = Spec(Config("GlmForCausalLM"));
  EXPECT_TRUE(glm.layers[0].qkv_bias && glm.layers[0].interleaved);
  EXPECT_FALSE(glm.layers[0].o_bias);
  EXPECT_EQ(glm.layers[0].head_dim, 128);
  EXPECT_EQ(glm.norm_eps, 1.5625e-7f);
  const ModelSpec stable = Spec(Config("StableLmForCausalLM",
                                       R"({"use_qkv_bias": true, "use_parallel_residual": true,
                                           "layer_norm_eps": 0.25})"));
  EXPECT_EQ(stable.norm, NormKind::kLayer);
  EXPECT_EQ(stable.norm_eps, 0.25f);
  EXPECT_TRUE(stable.layers[0].qkv_bias && stable.layers[0].parallel);
  EXPECT_EQ(Error(Config("StableLmForCausalLM", R"({"qk_layernorm": true})")),
            "config.json: 'qk_layernorm': layer norms of queries and keys are not supported yet");
  EXPECT_EQ(
      Error(Config("StableLmForCausalLM", R"({"head_dim": 16})")),
      "config.json: head_dim 16: heads of StableLmForCausalLM have hidden_size / num_attention_heads elements, 8");
  EXPECT_EQ(Spec(Config("Olmo2ForCausalLM")).layers[0].qk_norm, QkNorm::kWhole);
  const ModelSpec gemma3 = Spec(Config("Gemma3ForCausalLM", R"({"sliding_window": 64, "num_hidden_layers": 6})"));
  EXPECT_EQ(gemma3.ropes.size(), 2u);
  EXPECT_EQ(gemma3.ropes[*gemma3.layers[5].rope].rule, "theta 1000000");
  EXPECT_EQ(gemma3.ropes[*gemma3.layers[0].rope].rule, "theta 10000");
  const ModelSpec ministral = Spec(Config("Ministral3ForCausalLM", R"({"max_position_embeddings": 262144})"));
  EXPECT_EQ(ministral.layers[0].query_scaling, (QueryScaling{0.1f, 16384}));
  EXPECT_EQ(ministral.longest, 262144);
}

TEST(ModelConfig, RefusesUnknownArchitecturesByName) {
  EXPECT_EQ(Error(Config("GptOssForCausalLM")),
            fmt::format("config.json: architecture \"GptOssForCausalLM\" is not supported yet; supported: {}",
                        SupportedArchitectures()));
  EXPECT_EQ(LlamaError(R"({"architectures": []})"),
            "config.json: 'architectures': expected the name of an architecture, got an array of 0 values");
}

TEST(ModelConfig, TakesTheFamilysLengthWhereNoneIsSaid) {
  const Json config =
      Config("LlamaForCausalLM", R"({"max_position_embeddings": "ABSENT", "max_sequence_length": 512})");
  EXPECT_EQ(Spec(config).max_position, 2048);
  EXPECT_THAT(Warnings(config), ElementsAre("config.json: 'max_position_embeddings' is missing: 2048, the default of "
                                            "LlamaForCausalLM, in transformers, too"));
  EXPECT_EQ(LlamaError(R"({"max_position_embeddings": null})"),
            "config.json: 'max_position_embeddings' is missing; expected an integer from 1 to 1073741824");
  for (const Family& family : Families()) EXPECT_GE(family.default_positions, 2048) << family.architecture;
}

TEST(ModelConfig, APaddingTokenThatIsNoneIsNotUsed) {
  for (const char* id : {"2001", "32000", "-2", "18446744073709551615"}) {
    const Json config = Config("LlamaForCausalLM", fmt::format(R"({{"pad_token_id": {}}})", id));
    EXPECT_EQ(Spec(config).pad, -1);
    EXPECT_THAT(Warnings(config),
                ElementsAre(fmt::format("config.json: 'pad_token_id' {} is not used: the model has 2001 "
                                        "tokens, and nothing pads",
                                        id)));
  }
  EXPECT_EQ(Spec(Config("LlamaForCausalLM", R"({"pad_token_id": 2000})")).pad, 2000);
  EXPECT_EQ(LlamaError(R"({"pad_token_id": "<pad>"})"),
            "config.json: 'pad_token_id': expected an integer from -1 to 2000, got \"<pad>\"");
}

TEST(ModelConfig, RefusesWhatItDoesNotPlan) {
  EXPECT_EQ(
      LlamaError(R"({"quantization_config": {"quant_method": "fp8"}})"),
      "config.json: 'quantization_config' (quant_method \"fp8\"): quantized checkpoints are not supported yet; give "
      "one in bf16, f16 or f32");
  EXPECT_EQ(
      LlamaError(R"({"quantization": {"group_size": 64, "bits": 4}})"),
      "config.json: 'quantization' (bits 4): quantized checkpoints are not supported yet; give one in bf16, f16 or "
      "f32");
  EXPECT_EQ(LlamaError(R"({"num_local_experts": 8})"),
            "config.json: 'num_local_experts': mixtures of experts are not supported yet");
  EXPECT_EQ(LlamaError(R"({"vision_config": {}})"),
            "config.json: 'vision_config': multimodal models are not supported yet");
  EXPECT_EQ(LlamaError(R"({"num_experts": 0, "quantization_config": null})"), "accepted");
  EXPECT_EQ(LlamaError(R"({"hidden_act": "relu"})"),
            "config.json: hidden_act \"relu\" is not supported yet; supported: silu, gelu, gelu_pytorch_tanh");
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
  EXPECT_EQ(LlamaError(R"({"hidden_size": 16777216, "intermediate_size": 16777216, "num_attention_heads": 4096,
                           "head_dim": 4096, "num_hidden_layers": 4096})"),
            "config.json: its sizes make 5766859527446069248 parameters; at most 1125899906842624 are accepted");
  std::vector<std::string> warnings;
  const Json stretched = Config("LlamaForCausalLM", R"({"head_dim": 4, "max_position_embeddings": 2, "rope_theta": 1e12,
                                                        "rope_scaling": {"type": "dynamic", "factor": 1e12}})");
  EXPECT_EQ(ParseModelConfig(stretched, "config.json", 1 << 30, &warnings).message(),
            "config.json: RoPE by theta 1000000000000, dynamic factor 1000000000000 original 2 at 1073741824 gives "
            "frequencies that are not finite numbers");
  EXPECT_EQ(Error(Config("Gemma2ForCausalLM", R"({"final_logit_softcapping": 1e-300})")),
            "config.json: 'final_logit_softcapping': expected 0 or a number from 1e-12 to 1e12, got 1e-300");
  EXPECT_EQ(Error(Config("Gemma2ForCausalLM", R"({"attn_logit_softcapping": 1e-13})")),
            "config.json: 'attn_logit_softcapping': expected 0 or a number from 1e-12 to 1e12, got 1e-13");
  EXPECT_EQ(LlamaError(R"({"tie_word_embeddings": 1})"),
            "config.json: 'tie_word_embeddings': expected true or false, got 1");
  EXPECT_EQ(LlamaError(R"({"bos_token_id": "<s>"})"),
            "config.json: 'bos_token_id': expected an integer from -1 to 2000, got \"<s>\"");
  EXPECT_EQ(LlamaError(R"({"eos_token_id": [5, -1]})"),
            "config.json: 'eos_token_id': expected integers from 0 to 2000, got -1");
}

TEST(ModelConfig, RefusesEachKeyThatChangesTheComputation) {
  const std::pair<const char*, const char*> refused[] = {
      {"quantization_config", "quantized checkpoints are not supported yet; give one in bf16, f16 or f32"},
      {"compression_config", "quantized checkpoints are not supported yet; give one in bf16, f16 or f32"},
      {"quantization", "quantized checkpoints are not supported yet; give one in bf16, f16 or f32"},
      {"text_config", "multimodal models are not supported yet"},
      {"vision_config", "multimodal models are not supported yet"},
      {"audio_config", "multimodal models are not supported yet"},
      {"num_experts", "mixtures of experts are not supported yet"},
      {"num_local_experts", "mixtures of experts are not supported yet"},
      {"n_routed_experts", "mixtures of experts are not supported yet"},
      {"moe_intermediate_size", "mixtures of experts are not supported yet"},
      {"clip_qkv", "clipped projections are not supported yet"},
      {"attn_output_gate", "gated attention is not supported yet"},
      {"attention_chunk_size", "chunked attention is not supported yet"},
      {"use_bidirectional_attention", "attention to later tokens is not supported yet"},
      {"qk_layernorm", "layer norms of queries and keys are not supported yet"},
  };
  for (const auto& [key, what] : refused) {
    Json config = Config("LlamaForCausalLM");
    for (const Json& value : {Json(2), Json(true), Json::object(), Json("x"), Json(0.5)}) {
      config[key] = value;
      EXPECT_EQ(Error(config), fmt::format("config.json: '{}': {}", key, what)) << value;
    }
    for (const Json& value : {Json(0), Json(0.0), Json(false), Json(nullptr)}) {
      config[key] = value;
      EXPECT_EQ(Error(config), "accepted") << key;
      EXPECT_THAT(Warnings(config), ElementsAre()) << key;
    }
  }
}

TEST(ModelConfig, WarnsOfFactsOfOtherFamiliesAndRules) {
  EXPECT_THAT(
      Warnings(Config("LlamaForCausalLM", R"({"sliding_window": 4096, "use_sliding_window": true})")),
      ElementsAre("config.json: 'sliding_window' 4096 is not used: LlamaForCausalLM has no sliding windows",
                  "config.json: 'use_sliding_window' true is not used: LlamaForCausalLM has no switch for sliding "
                  "windows"));
  EXPECT_THAT(
      Warnings(Config("LlamaForCausalLM", R"({"attn_logit_softcapping": 50.0, "logits_scaling": 1.0,
                                                      "embedding_multiplier": 12.0, "hidden_activation": "gelu"})")),
      ElementsAre("config.json: 'attn_logit_softcapping' 50.0 is not used: LlamaForCausalLM does not cap "
                  "attention scores",
                  "config.json: 'embedding_multiplier' 12.0 is not used: LlamaForCausalLM does not read it",
                  "config.json: 'hidden_activation' \"gelu\" is not used: LlamaForCausalLM goes by hidden_act"));
  EXPECT_THAT(
      Warnings(
          Config("MistralForCausalLM", R"({"use_sliding_window": true, "attention_bias": true, "mlp_bias": true})")),
      ElementsAre(
          "config.json: 'use_sliding_window' true is not used: MistralForCausalLM has no switch for sliding windows",
          "config.json: 'attention_bias' true is not used: MistralForCausalLM has no such biases",
          "config.json: 'mlp_bias' true is not used: MistralForCausalLM has no such biases"));
  EXPECT_THAT(Warnings(Config("Qwen2ForCausalLM", R"({"model_type": "llama", "attention_bias": false})")),
              ElementsAre("config.json: 'model_type' \"llama\" is not used: architectures says Qwen2ForCausalLM, whose "
                          "type is \"qwen2\""));
  EXPECT_THAT(Warnings(Config("LlamaForCausalLM", R"({"rope_theta": 5, "rope_scaling": {"rope_type": "default",
                  "rope_theta": 6, "factor": 8, "low_freq_factor": 1, "turns": 2}})")),
              ElementsAre("config.json: rope_scaling: mrs does not know \"turns\"; nothing of it is used",
                          "config.json: rope_scaling: 'factor' 8 is not used: the rule is default",
                          "config.json: rope_scaling: 'low_freq_factor' 1 is not used: the rule is default",
                          "config.json: 'rope_theta' 5 is not used: that of rope_scaling wins"));
  EXPECT_THAT(Warnings(Config("LlamaForCausalLM", R"({"rope_scaling": {"type": "linear", "factor": 2},
                                                     "rope_parameters": {"type": "default"}})")),
              ElementsAre("config.json: 'rope_parameters' is not used: rope_scaling is there, and wins"));
  EXPECT_THAT(Warnings(Config("LlamaForCausalLM", R"({"rope_parameters": {"type": "default", "factor": 1.0}})")),
              ElementsAre());
  // One rule for all layers, of a family with a rule for each layer type.
  EXPECT_THAT(
      Warnings(Config("Gemma3ForCausalLM", R"({"rope_parameters": {"rope_type": "linear", "factor": 8.0}})")),
      ElementsAre("config.json: rope_parameters: nothing of \"rope_type\", \"factor\" is used: Gemma3ForCausalLM "
                  "reads the rules of full_attention and sliding_attention alone"));
  EXPECT_THAT(Warnings(Config("MistralForCausalLM", R"({"sliding_window": 64,
                  "layer_types": ["full_attention", "full_attention", "full_attention"]})")),
              ElementsAre("config.json: 'layer_types' \"full_attention\" is not used: sliding_window 64 holds for "
                          "every layer of MistralForCausalLM"));
  EXPECT_THAT(Warnings(Config("LlamaForCausalLM", R"({"rope_interleaved": true})")),
              ElementsAre("config.json: 'rope_interleaved' true is not used: RoPE turns the halves of a head, as "
                          "transformers does"));
}

std::string ReadError(const ModelFolder& folder, const std::string& name = "m") {
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ReadModelConfig(folder.path(), {.name = name}, &warnings);
  return spec.ok() ? "accepted" : spec.message();
}

struct ReadFolder {
  ModelSpec spec;
  std::vector<std::string> warnings;
};

ReadFolder Read(const ModelFolder& folder) {
  ReadFolder read;
  Result<ModelSpec> spec = ReadModelConfig(folder.path(), {.name = "m"}, &read.warnings);
  EXPECT_TRUE(spec.ok()) << spec.message();
  if (spec.ok()) read.spec = *std::move(spec);
  return read;
}

TEST(ModelConfig, ReadsAFolder) {
  ModelFolder folder;
  folder.Write("config.json", Config("LlamaForCausalLM", R"({"bos_token_id": 5, "eos_token_id": 6})").dump());
  const ReadFolder facts = Read(folder);
  EXPECT_EQ(facts.spec.name, "m");
  EXPECT_EQ(facts.spec.chat_template, "");
  EXPECT_EQ(facts.spec.sampling.temperature, 1.0f);
  EXPECT_FALSE(facts.spec.tokenizer.has_value());
  EXPECT_THAT(facts.warnings, ElementsAre());
}

TEST(ModelConfig, IsCalledAfterItsFolderUnlessToldOtherwise) {
  ModelFolder folder;
  folder.Write("config.json", Config("LlamaForCausalLM", R"({"eos_token_id": 6})").dump());
  const std::string last = folder.path().substr(folder.path().rfind('/') + 1);
  std::vector<std::string> warnings;
  EXPECT_EQ(ReadModelConfig(folder.path(), {}, &warnings)->name, last);
  EXPECT_EQ(ReadModelConfig(folder.path() + "/", {}, &warnings)->name, last);
  EXPECT_EQ(ReadModelConfig(folder.path(), {.name = "Mini 2"}, &warnings)->name, "Mini 2");
  EXPECT_EQ(ReadError(folder, "a\nb"),
            "model name: expected 1 to 255 bytes of UTF-8 without control characters, got \"a\\nb\"");
  EXPECT_EQ(ReadError(folder, std::string(256, 'x')).substr(0, 73),
            "model name: expected 1 to 255 bytes of UTF-8 without control characters, ");
  const std::string odd = folder.path() + "/a\xff";
  std::filesystem::create_directory(odd);
  std::filesystem::copy_file(folder.path() + "/config.json", odd + "/config.json");
  EXPECT_EQ(ReadModelConfig(odd, {}, &warnings).message(),
            "model name: expected 1 to 255 bytes of UTF-8 without control characters, got \"a\xEF\xBF\xBD\"; give "
            "another with --name");
}

// config.json as transformers reads it: with Python's json.
TEST(ModelConfig, ReadsInfinityAndNaNWhereTransformersDoes) {
  ModelFolder folder;
  std::string config = Config("LlamaForCausalLM", R"({"eos_token_id": 6})").dump();
  config.insert(1, R"("time_step_limit": [0.0, Infinity], "a": {"b": NaN, "c": -Infinity}, )");
  folder.Write("config.json", config);
  EXPECT_THAT(Read(folder).warnings,
              ElementsAre("config.json: mrs does not know \"time_step_limit\", \"a\"; nothing of them is used"));
  config.insert(1, R"("rms_norm_eps": Infinity, )");
  folder.Write("config.json", config);
  EXPECT_EQ(ReadError(folder), "config.json: 'rms_norm_eps': expected a number from 1e-30 to 1, got inf");
  config.insert(1, R"("head_dim": NaN, )");
  folder.Write("config.json", config);
  EXPECT_EQ(ReadError(folder), "config.json: 'head_dim': expected an integer from 1 to 4096, got NaN");
  folder.Write("config.json", Config("LlamaForCausalLM", R"({"eos_token_id": 6})").dump());
  folder.Write("generation_config.json", R"({"temperature": NaN})");
  EXPECT_EQ(ReadError(folder), "generation_config.json: 'temperature': expected a number from 0 to 100, got NaN");
  folder.Write("generation_config.json", R"({"max_time": Infinity})");
  folder.Write("tokenizer_config.json", R"({"model_max_length": Infinity})");
  EXPECT_THAT(Read(folder).warnings,
              ElementsAre("generation_config.json: 'max_time' Infinity is not used: the sampler has no such rule"));
}

// A checkout without git-lfs: enough for a layout, and for no plan.
TEST(ModelConfig, ATokenizerThatIsAPointerIsNoneOnlyWhereNoPlanIsMade) {
  ModelFolder folder;
  folder.Write("config.json", Config("LlamaForCausalLM", R"({"eos_token_id": 6})").dump());
  folder.Write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  folder.Write("tokenizer.json",
               fmt::format("version https://git-lfs.github.com/spec/v1\noid sha256:{:064}\nsize 9\n", 7));
  const std::string what = "tokenizer.json: is a git-lfs pointer, not the file that it stands for";
  EXPECT_EQ(ReadError(folder), fmt::format("{}/{}; run 'git lfs pull' where it was cloned", folder.path(), what));
  std::vector<std::string> warnings;
  const Result<ModelSpec> spec = ReadModelConfig(folder.path(), {.layout_alone = true}, &warnings);
  ASSERT_TRUE(spec.ok()) << spec.message();
  EXPECT_FALSE(spec->tokenizer.has_value());
  EXPECT_THAT(warnings,
              ElementsAre(what + "; layout and memory need none, and a plan does: run 'git lfs pull' where it "
                                 "was cloned"));
  folder.Write("tokenizer.json", "[]");
  EXPECT_THAT(ReadModelConfig(folder.path(), {.layout_alone = true}, &warnings).message(),
              ::testing::HasSubstr("tokenizer.json: "));
}

TEST(ModelConfig, EndsWhereAllFilesTogetherSay) {
  ModelFolder folder;
  const auto config = [&](const std::string& eos) {
    folder.Write("config.json", Config("LlamaForCausalLM", R"({"eos_token_id": )" + eos + "}").dump());
  };
  config("6");
  folder.Write("generation_config.json", R"({"eos_token_id": [9, 6]})");
  folder.Write("tokenizer_config.json",
               R"({"eos_token": "<|im_end|>", "added_tokens_decoder": {"7": {"content": "<|im_end|>"}}})");
  EXPECT_THAT(Read(folder).spec.eos, ElementsAre(6, 7, 9));
  EXPECT_THAT(Read(folder).warnings, ElementsAre());
  config("null");
  folder.Remove("generation_config.json");
  EXPECT_THAT(Read(folder).spec.eos, ElementsAre(7));
  EXPECT_THAT(Read(folder).warnings, ElementsAre());
}

TEST(ModelConfig, WarnsWhereNoFileNamesAnEnd) {
  ModelFolder folder;
  const std::string none =
      "no file names an end-of-text token (eos_token_id of config.json or generation_config.json, eos_token of "
      "tokenizer_config.json): ";
  folder.Write("config.json", Config("LlamaForCausalLM", R"({"eos_token_id": null})").dump());
  EXPECT_TRUE(Read(folder).spec.eos.empty());
  EXPECT_THAT(Read(folder).warnings, ElementsAre(none + "nothing ends an answer but a stop string and its length"));
  folder.Write("config.json", Config("LlamaForCausalLM").dump());
  EXPECT_THAT(Read(folder).spec.eos, ElementsAre(2));
  EXPECT_THAT(Read(folder).warnings, ElementsAre(none + "answers end at token 2, the default of LlamaForCausalLM"));
  folder.Write("config.json", Config("Qwen3ForCausalLM").dump());
  EXPECT_TRUE(Read(folder).spec.eos.empty());
  EXPECT_THAT(Read(folder).warnings, ElementsAre(none + "nothing ends an answer but a stop string and its length"));
}

TEST(ModelConfig, RefusesBrokenFoldersByFile) {
  ModelFolder folder;
  EXPECT_EQ(
      ReadError(folder),
      folder.path() +
          "/config.json: cannot be opened: No such file or directory; give the folder of a Hugging Face checkpoint");
  folder.Write("config.json", "[1]");
  EXPECT_EQ(ReadError(folder), "config.json: expected an object with 'architectures', got an array of 1 values");
  folder.Write("config.json", "{\"architectures\":\n [");
  EXPECT_THAT(ReadError(folder), ::testing::StartsWith("config.json: line 2, column "));
}

}  // namespace
}  // namespace mrs
