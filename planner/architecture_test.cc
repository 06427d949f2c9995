#include "planner/architecture.h"

#include <gmock/gmock.h>

namespace mrs {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Family(const std::string& text, std::vector<std::string>* warnings) {
  const Result<Json> config = ParseJson(text, "test");
  EXPECT_TRUE(config.ok()) << config.message();
  const Result<const mrs::Family*> family = ReadFamily(*config, "config.json", warnings);
  return family.ok() ? std::string((*family)->architecture) : family.message();
}

// Without the list of what is supported, which ends every refusal.
std::string Refusal(const std::string& text) {
  std::vector<std::string> warnings;
  const std::string message = Family(text, &warnings);
  EXPECT_THAT(warnings, IsEmpty());
  const std::string end = "; supported: " + SupportedArchitectures();
  EXPECT_THAT(message, ::testing::EndsWith(end));
  return message.substr(0, message.size() - std::min(end.size(), message.size()));
}

TEST(Architecture, IsTheFirstOfTheList) {
  std::vector<std::string> warnings;
  EXPECT_EQ(Family(R"({"architectures": ["Qwen3ForCausalLM", "Other"], "model_type": "llama"})", &warnings),
            "Qwen3ForCausalLM");
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(Architecture, HasAnOlderName) {
  std::vector<std::string> warnings;
  EXPECT_EQ(Family(R"({"architectures": ["LLaMAForCausalLM"]})", &warnings), "LlamaForCausalLM");
  EXPECT_THAT(warnings, IsEmpty());
}

TEST(Architecture, FollowsFromTheTypeWhereItIsMissing) {
  std::vector<std::string> warnings;
  EXPECT_EQ(Family(R"({"model_type": "gemma3_text"})", &warnings), "Gemma3ForCausalLM");
  EXPECT_EQ(Family(R"({"architectures": null, "model_type": "mistral"})", &warnings), "MistralForCausalLM");
  EXPECT_THAT(warnings, ElementsAre("config.json: 'architectures' is missing; 'model_type' \"gemma3_text\" means "
                                    "Gemma3ForCausalLM, as in transformers",
                                    "config.json: 'architectures' is missing; 'model_type' \"mistral\" means "
                                    "MistralForCausalLM, as in transformers"));
}

TEST(Architecture, EachTypeMeansOne) {
  for (const mrs::Family& family : Families()) {
    std::vector<std::string> warnings;
    EXPECT_EQ(Family(fmt::format(R"({{"model_type": "{}"}})", family.model_type), &warnings), family.architecture);
  }
}

TEST(Architecture, MustBeSaid) {
  constexpr const char* kMissing = "config.json: 'architectures' is missing; expected an array with the name of one";
  EXPECT_EQ(Refusal("{}"), kMissing);
  EXPECT_EQ(Refusal(R"({"model_type": "mixtral", "num_local_experts": 8})"),
            fmt::format("{}, and 'model_type' \"mixtral\" is no supported one (mixtures of experts: "
                        "'num_local_experts')",
                        kMissing));
  EXPECT_EQ(Refusal(R"({"model_type": 7})"), fmt::format("{}, and 'model_type' 7 is no supported one", kMissing));
  std::vector<std::string> warnings;
  EXPECT_EQ(Family(R"({"dim": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 32000})", &warnings),
            "config.json: 'architectures' is missing; 'dim' and 'n_layers' are those of a params.json, of a checkpoint "
            "in its maker's own format; give one converted to Hugging Face's");
  EXPECT_EQ(Family(R"({"architectures": []})", &warnings),
            "config.json: 'architectures': expected the name of an architecture, got an array of 0 values");
  EXPECT_EQ(Family(R"({"architectures": "LlamaForCausalLM"})", &warnings),
            "config.json: 'architectures': expected an array, got \"LlamaForCausalLM\"");
}

TEST(Architecture, SaysWhatStandsInTheWay) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"architectures": ["NewForCausalLM"]})", R"("NewForCausalLM" is not supported yet)"},
      {R"({"architectures": ["NewForCausalLM"], "num_experts": 0, "kv_lora_rank": null, "qk_layernorm": false})",
       R"("NewForCausalLM" is not supported yet)"},
      {R"({"architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "moe_intermediate_size": 5})",
       R"("MixtralForCausalLM" is not supported yet (mixtures of experts: 'num_local_experts'))"},
      {R"({"architectures": ["DeepseekV3ForCausalLM"], "n_routed_experts": 256, "kv_lora_rank": 512,
           "quantization_config": {"quant_method": "fp8"}})",
       R"("DeepseekV3ForCausalLM" is not supported yet (quantized checkpoints: 'quantization_config' (quant_method "fp8");)"
       R"( mixtures of experts: 'n_routed_experts'; latent attention: 'kv_lora_rank'))"},
      {R"({"architectures": ["Qwen3_5MoeForConditionalGeneration"], "vision_config": {},
           "text_config": {"num_experts": 512, "linear_num_key_heads": 16}})",
       R"("Qwen3_5MoeForConditionalGeneration" is not supported yet (multimodal models: 'text_config';)"
       R"( mixtures of experts: 'text_config.num_experts';)"
       R"( state-space and linear-attention layers: 'text_config.linear_num_key_heads'))"},
      {R"({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": true})",
       R"("T5ForConditionalGeneration" is not supported yet (encoders with decoders: 'is_encoder_decoder'))"},
      {R"({"architectures": ["BertForMaskedLM"]})", R"("BertForMaskedLM" is not supported yet (encoders))"},
      {R"({"architectures": ["LlamaForSequenceClassification"]})",
       R"("LlamaForSequenceClassification" is not supported yet (classifiers))"},
      {R"({"architectures": ["MistralModel"]})", R"("MistralModel" is not supported yet (models without a head))"},
      {R"({"architectures": ["ChatGLMModel"]})", R"("ChatGLMModel" is not supported yet)"},
  };
  for (const auto& [config, message] : cases) {
    EXPECT_EQ(Refusal(config), fmt::format("config.json: architecture {}", message));
  }
}

}  // namespace
}  // namespace mrs
