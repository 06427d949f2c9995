// What a layer of each family computes, operation by operation, as the graph has it.
#include "planner/build_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/program.h"
#include "mlir/IR/Verifier.h"
#include "planner/compiler.h"
#include "planner/legality.h"
#include "planner/model_config.h"
#include "planner/model_tensors.h"

namespace mrs::planner {
namespace {

PlanFacts Facts(const char* architecture, const std::string& patch, const char* dtype) {
  Json config = {{"architectures", {architecture}},
                 {"hidden_size", 64},
                 {"num_hidden_layers", 4},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"intermediate_size", 128},
                 {"vocab_size", 100},
                 {"max_position_embeddings", 256}};
  const Result<Json> changes = ParseJson(patch, "patch");
  EXPECT_TRUE(changes.ok()) << changes.message();
  for (const auto& [key, value] : changes->items()) config[key] = value;
  std::vector<std::string> warnings;
  PlanFacts facts;
  Result<ModelSpec> spec = ParseModelConfig(config, "config.json", std::nullopt, &warnings);
  EXPECT_TRUE(spec.ok()) << spec.message();
  if (spec.ok()) facts.model = *std::move(spec);
  facts.model_fingerprint = std::string(64, '0');
  facts.vocab_padded = PaddedVocab(facts.model.vocab);
  facts.weight_dtype = dtype;
  facts.max_len = 256;
  facts.max_seqs = 1;
  return facts;
}

// The operations of `layer` (-1: of none) and what they add to their names, in order; weights and inputs left out.
std::string Operations(const char* architecture, const std::string& patch, int64_t layer, const char* dtype = "bf16") {
  const PlanFacts facts = Facts(architecture, patch, dtype);
  if (facts.model.layers.empty()) return "refused";
  Compiler compiler;
  auto module = BuildGraph(compiler.context(), facts, ImaginedCheckpoint(facts.model, ElementType::kBf16));
  EXPECT_TRUE(mlir::succeeded(mlir::verify(*module))) << compiler.Failure().message;
  std::string text;
  const auto add = [&](std::string_view word) { text.append(text.empty() ? "" : " ").append(word); };
  for (mlir::Operation& op : ir::ProgramsOf(*module).front().getBody().front()) {
    auto of_layer = op.getAttrOfType<mlir::IntegerAttr>("layer");
    if (!ir::IsStep(&op) || (of_layer ? of_layer.getInt() : -1) != layer) continue;
    const std::string name = op.getName().stripDialect().str();
    if (auto x = mlir::dyn_cast<ir::AttentionOp>(op)) {
      add(fmt::format("{}({} {})", name, x.getWindow(), x.getSoftCap().convertToFloat()));
    } else if (auto scale = mlir::dyn_cast<ir::ScaleOp>(op)) {
      add(fmt::format("{}({})", name, scale.getFactor().convertToFloat()));
    } else if (auto cap = mlir::dyn_cast<ir::SoftCapOp>(op)) {
      add(fmt::format("{}({})", name, cap.getCap().convertToFloat()));
    } else if (auto rope = mlir::dyn_cast<ir::RopeOp>(op)) {
      add(fmt::format("{}({}{})", name, rope.getRope(), rope.getInterleaved() ? " interleaved" : ""));
    } else {
      add(name);
    }
  }
  return text;
}

constexpr const char* kQkv = "matmul matmul matmul ";
constexpr const char* kTurnAndAttend = "rope(0) rope(0) kv_append attention(0 0) matmul ";
constexpr const char* kSiluMlp = "matmul matmul silu_mul matmul ";

TEST(BuildGraph, LayersOfTheFamilies) {
  const auto layer = [](const std::string& norm, const std::string& attention, const std::string& mlp) {
    return fmt::format("{0}{1}add {0}{2}add", norm, attention, mlp);
  };
  const std::string attention = fmt::format("{}{}", kQkv, kTurnAndAttend);
  const std::string llama = layer("rms_norm ", attention, kSiluMlp);
  for (const char* same : {"LlamaForCausalLM", "MinistralForCausalLM", "MistralForCausalLM", "Phi3ForCausalLM"}) {
    EXPECT_EQ(Operations(same, R"({"sliding_window": null})", 1), llama) << same;
  }
  EXPECT_EQ(Operations("Qwen3ForCausalLM", "{}", 1),
            layer("rms_norm ", fmt::format("{}rms_norm rms_norm {}", kQkv, kTurnAndAttend), kSiluMlp));
  EXPECT_EQ(Operations("StableLmForCausalLM", "{}", 1), layer("layer_norm ", attention, kSiluMlp));
  EXPECT_EQ(Operations("StableLmForCausalLM", R"({"use_parallel_residual": true})", 1),
            fmt::format("layer_norm {}add {}add", attention, kSiluMlp));
  EXPECT_EQ(Operations("GraniteForCausalLM", R"({"residual_multiplier": 0.5})", 1),
            layer("rms_norm ", attention + "scale(0.5) ", std::string(kSiluMlp) + "scale(0.5) "));
  EXPECT_EQ(
      Operations("GlmForCausalLM", "{}", 1),
      layer("rms_norm ",
            fmt::format("{}rope(0 interleaved) rope(0 interleaved) kv_append attention(0 0) matmul ", kQkv), kSiluMlp));
  EXPECT_EQ(Operations("Ministral3ForCausalLM", "{}", 1),
            layer("rms_norm ", fmt::format("{}rope(0) rope(0) position_scale kv_append attention(0 0) matmul ", kQkv),
                  kSiluMlp));
  EXPECT_EQ(Operations("Gemma2ForCausalLM", R"({"sliding_window": 64})", 0),
            "rms_norm matmul matmul matmul rope(0) rope(0) kv_append attention(64 50) matmul rms_norm add "
            "rms_norm matmul matmul gelu_mul matmul rms_norm add");
  EXPECT_EQ(Operations("Gemma3ForCausalLM", R"({"sliding_window": 64, "sliding_window_pattern": 2})", 1),
            "rms_norm matmul matmul matmul rms_norm rms_norm rope(1) rope(1) kv_append attention(0 0) matmul rms_norm "
            "add rms_norm matmul matmul gelu_mul matmul rms_norm add");
  EXPECT_EQ(Operations("LlamaForCausalLM", R"({"attention_bias": true, "mlp_bias": true})", 1),
            layer("rms_norm ", attention + "add_bias ", std::string(kSiluMlp) + "add_bias "));
}

// What no norm rounds to the type of the matrices is scaled by 1.
TEST(BuildGraph, RoundsWhatNoNormRounds) {
  EXPECT_EQ(Operations("Olmo2ForCausalLM", "{}", 1),
            "scale(1) matmul matmul matmul sum_squares rms_scale sum_squares rms_scale rope(0) rope(0) kv_append "
            "attention(0 0) matmul rms_norm add scale(1) matmul matmul silu_mul matmul rms_norm add");
  EXPECT_EQ(Operations("Olmo2ForCausalLM", "{}", 1, "f32"),
            "matmul matmul matmul sum_squares rms_scale sum_squares rms_scale rope(0) rope(0) kv_append "
            "attention(0 0) matmul rms_norm add matmul matmul silu_mul matmul rms_norm add");
  const char* full =
      "rms_norm matmul matmul matmul scale(1) scale(1) kv_append attention(0 0) matmul add "
      "rms_norm matmul matmul silu_mul matmul add";
  EXPECT_EQ(Operations("SmolLM3ForCausalLM", "{}", 3), full);
  EXPECT_EQ(Operations("SmolLM3ForCausalLM", "{}", 3, "f32"),
            "rms_norm matmul matmul matmul kv_append attention(0 0) matmul add "
            "rms_norm matmul matmul silu_mul matmul add");
}

TEST(BuildGraph, AroundTheLayers) {
  const auto around = [](const char* architecture, const std::string& patch, const char* dtype = "bf16") {
    return Operations(architecture, patch, -1, dtype);
  };
  EXPECT_EQ(around("LlamaForCausalLM", "{}"), "embed rope_angles select_rows rms_norm matmul top_candidates");
  EXPECT_EQ(around("GraniteForCausalLM", R"({"embedding_multiplier": 3, "logits_scaling": 4})"),
            "embed scale(3) rope_angles select_rows rms_norm matmul scale(0.25) top_candidates");
  // sqrt(72) as a bf16 embedding is multiplied by it, and as an f32 one is.
  const char* gemma = R"({"hidden_size": 72, "sliding_window": 64, "head_dim": 16})";
  EXPECT_EQ(around("Gemma2ForCausalLM", gemma),
            "embed scale(8.5) rope_angles select_rows rms_norm matmul soft_cap(30) top_candidates");
  EXPECT_EQ(around("Gemma2ForCausalLM", gemma, "f32"),
            "embed scale(8.485281) rope_angles select_rows rms_norm matmul soft_cap(30) top_candidates");
  EXPECT_EQ(around("Gemma3ForCausalLM", R"({"sliding_window": 64, "sliding_window_pattern": 2})"),
            "embed scale(8) rope_angles rope_angles select_rows rms_norm matmul top_candidates");
}

// A window that no sequence of the plan outgrows is none.
TEST(BuildGraph, AWindowPastTheLongestSequenceIsNone) {
  EXPECT_THAT(Operations("MistralForCausalLM", R"({"sliding_window": 255})", 0),
              ::testing::HasSubstr("attention(255 0)"));
  EXPECT_THAT(Operations("MistralForCausalLM", R"({"sliding_window": 256})", 0),
              ::testing::HasSubstr("attention(0 0)"));
}

}  // namespace
}  // namespace mrs::planner
