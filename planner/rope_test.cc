#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "planner/rope_config.h"

namespace mrs {
namespace {

struct Golden {
  const char* architecture;
  int64_t head_dim;
  int64_t max_position;
  int64_t max_len;
  const char* rope_parameters;
  float attention_factor;
  std::vector<float> frequencies;
};

const Golden kGolden[] = {
#include "planner/rope_golden.inc"
};

struct Model {
  const char* architecture = "LlamaForCausalLM";
  int64_t head_dim = 4;
  int64_t max_position = 131072;
  int64_t max_len = 8192;
  bool local = false;
};

Result<RopeRead> TryRead(const std::string& json, const Model& model, std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const Json parsed, ParseJson(json, "config.json"));
  const RopeOfModel of_model{*FindFamily(model.architecture), model.head_dim, model.max_position, model.max_len,
                             model.local};
  return ReadRope(parsed, "config.json", of_model, warnings);
}

RopeRead Read(const std::string& json, const Model& model = {}) {
  std::vector<std::string> warnings;
  const Result<RopeRead> read = TryRead(json, model, &warnings);
  EXPECT_TRUE(read.ok()) << read.message();
  EXPECT_THAT(warnings, ::testing::ElementsAre()) << json;
  return read.ok() ? *read : RopeRead();
}

RopeSpec Compute(const std::string& json, const Model& model = {}) { return ComputeRope(Read(json, model).config); }

std::string Error(const std::string& json, const Model& model = {}) {
  std::vector<std::string> warnings;
  const Result<RopeRead> read = TryRead(json, model, &warnings);
  return read.ok() ? "accepted" : read.message();
}

// torch's vector pow is within one unit of the true value, ours is the nearest float; so a unit may lie between them.
TEST(Rope, AgreesWithTransformersWithinTwoUnits) {
  int equal = 0;
  int count = 0;
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.rope_parameters);
    const RopeSpec rope = Compute(fmt::format(R"({{"rope_parameters": {}}})", golden.rope_parameters),
                                  {golden.architecture, golden.head_dim, golden.max_position, golden.max_len});
    ASSERT_EQ(rope.inv_freq.size(), golden.frequencies.size());
    EXPECT_FLOAT_EQ(rope.attention_factor, golden.attention_factor);
    for (size_t i = 0; i < golden.frequencies.size(); ++i) {
      const float expected = golden.frequencies[i];
      // Sums of two such values, in yarn's ramp, round once more.
      EXPECT_LE(rope.inv_freq[i], std::nextafter(std::nextafter(expected, 2.0f), 2.0f)) << i;
      EXPECT_GE(rope.inv_freq[i], std::nextafter(std::nextafter(expected, 0.0f), 0.0f)) << i;
      equal += rope.inv_freq[i] == expected;
      ++count;
    }
  }
  RecordProperty("equal", equal);
  EXPECT_GE(equal * 100, count * 95) << equal << " of " << count;
}

// As torch does it: one division in f32, not a product with the reciprocal.
TEST(Rope, LinearDividesEachFrequencyToTheBit) {
  for (const double theta : {10000.0, 12345.678}) {
    const RopeSpec plain = ComputeRope({.theta = theta, .rotary_dim = 96});
    for (const float factor : {2.5f, 3.0f, 7.0f, 40.0f}) {
      const RopeSpec linear =
          ComputeRope({.theta = theta, .rotary_dim = 96, .scaling = RopeScaling::kLinear, .factor = factor});
      size_t reciprocal = 0;
      for (size_t i = 0; i < plain.inv_freq.size(); ++i) {
        EXPECT_EQ(linear.inv_freq[i], plain.inv_freq[i] / factor) << factor << " " << i;
        reciprocal += linear.inv_freq[i] == plain.inv_freq[i] * (1.0f / factor);
      }
      EXPECT_LT(reciprocal, plain.inv_freq.size()) << factor;  // the two do differ
    }
  }
}

TEST(Rope, ReadsBothSpellings) {
  EXPECT_EQ(Compute("{}").rule, "theta 10000");
  EXPECT_EQ(Compute(R"({"rope_theta": 500000, "rope_scaling": null})").rule, "theta 500000");
  EXPECT_EQ(Compute(R"({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}})").rule, "theta 1000000");
  EXPECT_EQ(Compute(R"({"rope_scaling": {"type": "linear", "factor": 2.5}})").rule, "theta 10000, linear factor 2.5");
  const std::string llama3 = R"("factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0)";
  EXPECT_EQ(Compute(R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", )" + llama3 +
                    R"(, "original_max_position_embeddings": 8192}})")
                .rule,
            "theta 500000, llama3 factor 8 low 1 high 4 original 8192");
  EXPECT_EQ(Read(R"({"rope_scaling": {"type": "llama3", )" + llama3 + "}}").config.original_position, 131072);
  EXPECT_EQ(Read(R"({"original_max_position_embeddings": 77, "rope_scaling": {"type": "llama3", )" + llama3 +
                 R"(, "original_max_position_embeddings": 8192}})")
                .config.original_position,
            77);
}

TEST(Rope, ComputesPlainAndLinearFrequencies) {
  EXPECT_EQ(Compute("{}").inv_freq, (std::vector<float>{1.0f, 0.01f}));
  EXPECT_EQ(Compute(R"({"rope_scaling": {"type": "linear", "factor": 4}})").inv_freq,
            (std::vector<float>{0.25f, 0.0025f}));
  EXPECT_EQ(Compute(R"({"rope_theta": 1})", {.head_dim = 6}).inv_freq, (std::vector<float>{1.0f, 1.0f, 1.0f}));
}

TEST(Rope, TurnsAPartOfAHeadWhereTheFamilyDoes) {
  EXPECT_EQ(Compute("{}", {.architecture = "GlmForCausalLM", .head_dim = 8}).inv_freq.size(), 2u);
  EXPECT_EQ(Compute("{}", {.architecture = "StableLmForCausalLM", .head_dim = 80}).inv_freq.size(), 10u);
  EXPECT_EQ(
      Compute(R"({"partial_rotary_factor": 0.7})", {.architecture = "Phi3ForCausalLM", .head_dim = 12}).inv_freq.size(),
      4u);  // int(8.4) dimensions
  EXPECT_EQ(Compute(R"({"partial_rotary_factor": 0.5, "rope_parameters": {"partial_rotary_factor": 1.0}})",
                    {.architecture = "GlmForCausalLM", .head_dim = 8})
                .inv_freq.size(),
            4u);
  EXPECT_EQ(Error(R"({"partial_rotary_factor": 0.1})", {.architecture = "GlmForCausalLM", .head_dim = 8}),
            "config.json: partial_rotary_factor 0.1 of head_dim 8 are 0 dimensions; RoPE turns pairs of elements");
  EXPECT_EQ(Error(R"({"partial_rotary_factor": 0.75})"),
            "config.json: partial_rotary_factor 0.75 is not supported yet in LlamaForCausalLM");
  EXPECT_EQ(Error(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})"),
            "config.json: rope_parameters: partial_rotary_factor 0.5 is not supported yet in LlamaForCausalLM");
}

TEST(Rope, LayersWithAWindowHaveARuleOfTheirOwn) {
  const Model full{.architecture = "Gemma3ForCausalLM"}, local{.architecture = "Gemma3ForCausalLM", .local = true};
  EXPECT_EQ(Compute("{}", full).rule, "theta 1000000");
  EXPECT_EQ(Compute("{}", local).rule, "theta 10000");
  const char* legacy = R"({"rope_theta": 5e5, "rope_local_base_freq": 2e4,
                           "rope_scaling": {"rope_type": "linear", "factor": 8.0}})";
  EXPECT_EQ(Compute(legacy, full).rule, "theta 500000, linear factor 8");
  EXPECT_EQ(Compute(legacy, local).rule, "theta 20000");
  const char* nested = R"({"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4, "rope_theta": 3},
                                               "sliding_attention": {"rope_type": "default", "rope_theta": 7}}})";
  EXPECT_EQ(Compute(nested, full).rule, "theta 3, linear factor 4");
  EXPECT_EQ(Compute(nested, local).rule, "theta 7");
  // transformers gives OLMo 3's rope_theta to full attention alone.
  const Model olmo{.architecture = "Olmo3ForCausalLM"}, near{.architecture = "Olmo3ForCausalLM", .local = true};
  EXPECT_EQ(Compute(R"({"rope_theta": 7})", olmo).rule, "theta 7");
  EXPECT_EQ(Compute(R"({"rope_theta": 7})", near).rule, "theta 500000");
}

TEST(Rope, IsFixedAtThePlansLongestSequence) {
  const char* dynamic = R"({"rope_scaling": {"type": "dynamic", "factor": 4.0}})";
  EXPECT_EQ(Compute(dynamic, {.head_dim = 64, .max_position = 64, .max_len = 64}).inv_freq,
            Compute("{}", {.head_dim = 64}).inv_freq);
  EXPECT_LT(Compute(dynamic, {.head_dim = 64, .max_position = 64, .max_len = 65}).inv_freq[31],
            Compute("{}", {.head_dim = 64}).inv_freq[31]);
  EXPECT_EQ(Read(dynamic, {.max_position = 64, .max_len = 64}).longest, 256);
  EXPECT_EQ(Read(R"({"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32}})").longest,
            128);
  EXPECT_EQ(Read("{}").longest, 0);
  const char* longrope = R"({"original_max_position_embeddings": 32, "rope_scaling":
                             {"type": "su", "short_factor": [1, 1], "long_factor": [2, 4]}})";
  Model phi{.architecture = "Phi3ForCausalLM", .max_position = 64, .max_len = 32};
  EXPECT_EQ(Compute(longrope, phi).inv_freq, (std::vector<float>{1.0f, 0.01f}));
  phi.max_len = 33;
  EXPECT_EQ(Compute(longrope, phi).inv_freq, (std::vector<float>{0.5f, 0.0025f}));
  EXPECT_FLOAT_EQ(Compute(longrope, phi).attention_factor, std::sqrt(1.2f));  // 1 + log 2 / log 32
}

TEST(Rope, QueriesOfMinistralGrowWithTheirPosition) {
  const Model ministral{.architecture = "Ministral3ForCausalLM"};
  EXPECT_EQ(Read("{}", ministral).query_scaling, (QueryScaling{0.1f, 16384}));
  EXPECT_EQ(Compute("{}", ministral).rule, "theta 1000000, yarn factor 16 fast 32 slow 1 original 16384");
  EXPECT_EQ(Compute("{}", ministral).attention_factor, 1.0f);
  EXPECT_EQ(Error(R"({"rope_parameters": {"rope_type": "default"}})", ministral),
            "config.json: rope_parameters: 'llama_4_scaling_beta' is missing; expected a number");
}

TEST(Rope, RefusesOtherRulesByName) {
  const char* known = "is not supported yet; supported: default, dynamic, linear, llama3, longrope, yarn";
  EXPECT_EQ(Error(R"({"rope_scaling": {"rope_type": "proportional", "factor": 4.0}})"),
            fmt::format("config.json: rope_scaling type \"proportional\" {}", known));
  EXPECT_EQ(Error(R"({"rope_parameters": {"rope_type": "su"}})"),
            fmt::format("config.json: rope_parameters type \"su\" {}", known));
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "linear", "factor": 2}})", {.architecture = "Phi3ForCausalLM"}),
            "config.json: rope_scaling type \"linear\" is not supported yet; supported in Phi3ForCausalLM: default, "
            "longrope");
  EXPECT_EQ(Error(R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})"),
            "config.json: rope_parameters: a rule of its own for \"full_attention\" is not supported yet in "
            "LlamaForCausalLM");
}

TEST(Rope, WarnsOfWhatTheRuleDoesNotRead) {
  std::vector<std::string> warnings;
  ASSERT_TRUE(TryRead(R"({"rope_theta": 5, "rope_scaling": {"rope_type": "default", "rope_theta": 6, "factor": 8,
                          "beta_fast": 32, "turns": 2, "llama_4_scaling_beta": 0.1}})",
                      {}, &warnings)
                  .ok());
  EXPECT_THAT(
      warnings,
      ::testing::ElementsAre(
          "config.json: rope_scaling: mrs does not know \"turns\"; nothing of it is used",
          "config.json: rope_scaling: 'factor' 8 is not used: the rule is default",
          "config.json: rope_scaling: 'beta_fast' 32 is not used: the rule is default",
          "config.json: rope_scaling: 'llama_4_scaling_beta' 0.1 is not used: LlamaForCausalLM does not read it",
          "config.json: 'rope_theta' 5 is not used: that of rope_scaling wins"));
}

TEST(Rope, RefusesValuesOutOfRange) {
  EXPECT_EQ(Error(R"({"rope_scaling": "linear"})"), "config.json: 'rope_scaling': expected an object, got \"linear\"");
  EXPECT_EQ(Error(R"({"rope_theta": 0})"), "config.json: 'rope_theta': expected a number from 1 to 1e12, got 0");
  EXPECT_EQ(Error(R"({"rope_theta": "10000"})"), "config.json: 'rope_theta': expected a number, got \"10000\"");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "linear"}})"),
            "config.json: rope_scaling: 'factor' is missing; expected a number");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "linear", "factor": 0.5}})"),
            "config.json: rope_scaling: 'factor': expected a number from 1 to 1e12, got 0.5");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}})"),
            "config.json: rope_scaling: high_freq_factor 4 must be greater than low_freq_factor 4");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                      "original_max_position_embeddings": 0}})"),
            "config.json: rope_scaling: 'original_max_position_embeddings': expected an integer from 1 to 1073741824, "
            "got 0");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1], "long_factor": [1, "2"]}})"),
            "config.json: rope_scaling: 'long_factor': expected 2 positive numbers, got an array of 2 values");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": -1}})"),
            "config.json: rope_scaling: 'beta_fast': expected a number from 0 to 1e6, got -1");
}

}  // namespace
}  // namespace mrs
