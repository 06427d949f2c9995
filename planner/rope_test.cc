#include "planner/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mrs {
namespace {

struct Golden {
  int64_t head_dim;
  const char* rope_parameters;
  std::vector<float> frequencies;
};

const Golden kGolden[] = {
#include "planner/rope_golden.inc"
};

RopeConfig Config(const std::string& json) {
  const Result<Json> parsed = ParseJson(json, "config.json");
  EXPECT_TRUE(parsed.ok()) << parsed.message();
  const Result<RopeConfig> config = ReadRopeConfig(*parsed, "config.json", 131072);
  EXPECT_TRUE(config.ok()) << config.message();
  return config.ok() ? *config : RopeConfig();
}

std::string Error(const std::string& json) {
  const Result<Json> parsed = ParseJson(json, "config.json");
  if (!parsed.ok()) return parsed.message();
  const Result<RopeConfig> config = ReadRopeConfig(*parsed, "config.json", 131072);
  return config.ok() ? "accepted" : config.message();
}

// torch's vector pow is within one unit of the true value, ours is the nearest float; so a unit may lie between them.
TEST(Rope, AgreesWithTransformersWithinOneUnit) {
  int equal = 0;
  int count = 0;
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.rope_parameters);
    const RopeConfig config = Config(fmt::format(R"({{"rope_parameters": {}}})", golden.rope_parameters));
    const RopeSpec rope = ComputeRope(config, golden.head_dim);
    ASSERT_EQ(rope.inv_freq.size(), golden.frequencies.size());
    EXPECT_EQ(rope.attention_factor, 1.0f);
    for (size_t i = 0; i < golden.frequencies.size(); ++i) {
      const float expected = golden.frequencies[i];
      EXPECT_LE(rope.inv_freq[i], std::nextafter(expected, 2.0f)) << i;
      EXPECT_GE(rope.inv_freq[i], std::nextafter(expected, 0.0f)) << i;
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
    const RopeSpec plain = ComputeRope({.theta = theta}, 96);
    for (const float factor : {2.5f, 3.0f, 7.0f, 40.0f}) {
      const RopeSpec linear = ComputeRope({.theta = theta, .scaling = RopeScaling::kLinear, .factor = factor}, 96);
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
  EXPECT_EQ(ComputeRope(Config("{}"), 4).rule, "theta 10000");
  EXPECT_EQ(ComputeRope(Config(R"({"rope_theta": 500000, "rope_scaling": null})"), 4).rule, "theta 500000");
  EXPECT_EQ(
      ComputeRope(Config(R"({"rope_theta": 5, "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}})"), 4)
          .rule,
      "theta 1000000");
  EXPECT_EQ(ComputeRope(Config(R"({"rope_scaling": {"type": "linear", "factor": 2.5}})"), 4).rule,
            "theta 10000, linear factor 2.5");
  const std::string llama3 = R"("factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0)";
  EXPECT_EQ(ComputeRope(Config(R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", )" + llama3 +
                               R"(, "original_max_position_embeddings": 8192}})"),
                        4)
                .rule,
            "theta 500000, llama3 factor 8 low 1 high 4 original 8192");
  EXPECT_EQ(Config(R"({"rope_scaling": {"type": "llama3", )" + llama3 + "}}").original_position, 131072);
  EXPECT_EQ(Config(R"({"original_max_position_embeddings": 77, "rope_scaling": {"type": "llama3", )" + llama3 +
                   R"(, "original_max_position_embeddings": 8192}})")
                .original_position,
            77);
}

TEST(Rope, ComputesPlainAndLinearFrequencies) {
  EXPECT_EQ(ComputeRope(Config("{}"), 4).inv_freq, (std::vector<float>{1.0f, 0.01f}));
  EXPECT_EQ(ComputeRope(Config(R"({"rope_scaling": {"type": "linear", "factor": 4}})"), 4).inv_freq,
            (std::vector<float>{0.25f, 0.0025f}));
  EXPECT_EQ(ComputeRope(Config(R"({"rope_theta": 1})"), 6).inv_freq, (std::vector<float>{1.0f, 1.0f, 1.0f}));
}

TEST(Rope, RefusesOtherRulesByName) {
  EXPECT_EQ(Error(R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})"),
            "config.json: rope_scaling type \"yarn\" is not supported yet; supported: default, linear, llama3");
  EXPECT_EQ(Error(R"({"rope_scaling": {"type": "dynamic", "factor": 4.0}})"),
            "config.json: rope_scaling type \"dynamic\" is not supported yet; supported: default, linear, llama3");
  EXPECT_EQ(Error(R"({"rope_parameters": {"rope_type": "longrope"}})"),
            "config.json: rope_parameters type \"longrope\" is not supported yet; supported: default, linear, llama3");
  EXPECT_EQ(Error(R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})"),
            "config.json: rope_parameters: a rule of its own for \"full_attention\" is not supported yet");
  EXPECT_EQ(Error(R"({"partial_rotary_factor": 0.75})"),
            "config.json: partial_rotary_factor 0.75 is not supported yet");
  EXPECT_EQ(Error(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})"),
            "config.json: rope_parameters: partial_rotary_factor 0.5 is not supported yet");
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
}

}  // namespace
}  // namespace mrs
