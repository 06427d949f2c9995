#include "planner/fact_keys.h"

#include <gmock/gmock.h>

#include "host/source_dir_for_test.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Warnings(FactFile file, const std::string& facts) {
  const Result<Json> json = ParseJson(facts, "facts");
  EXPECT_TRUE(json.ok()) << json.message();
  std::vector<std::string> warnings;
  WarnOfKeys(file, *json, "x.json", &warnings);
  return warnings;
}

constexpr FactFile kFiles[] = {FactFile::kConfig,           FactFile::kRope,
                               FactFile::kGeneration,       FactFile::kTokenizerConfig,
                               FactFile::kSpecialTokensMap, FactFile::kTokenizer};

TEST(FactKeys, WarnsOfUnknownKeysByNameInEveryFile) {
  for (const FactFile file : kFiles) {
    EXPECT_THAT(Warnings(file, R"({"logit_scale": 2, "a\nb": [1], "nothing": null})"),
                ElementsAre("x.json: mrs does not know \"logit_scale\", \"a\\nb\"; nothing of them is used"));
    EXPECT_THAT(Warnings(file, R"({"logit_multiplier": 12})"),
                ElementsAre("x.json: mrs does not know \"logit_multiplier\"; nothing of it is used"));
    EXPECT_THAT(Warnings(file, "{}"), ElementsAre());
  }
}

TEST(FactKeys, NamesAtMostFiftyUnknownKeys) {
  Json facts = Json::object();
  for (int i = 0; i < 1000; ++i) facts[fmt::format("key {}", i)] = i;
  std::vector<std::string> warnings;
  WarnOfKeys(FactFile::kConfig, facts, "x.json", &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], ::testing::EndsWith("\"key 49\" and 950 more; nothing of them is used"));
}

TEST(FactKeys, WarnsOfValuesThatHaveAnEffectElsewhere) {
  EXPECT_THAT(Warnings(FactFile::kConfig, R"({"use_mrope": true, "is_encoder_decoder": false, "pruned_heads": {}})"),
              ElementsAre("x.json: 'use_mrope' true is not used: positions are those of text"));
  EXPECT_THAT(
      Warnings(FactFile::kConfig, R"({"pruned_heads": {"0": [1]}})"),
      ElementsAre("x.json: 'pruned_heads' an object of 1 keys is not used: every model here is a decoder alone, "
                  "with all its heads"));
  EXPECT_THAT(Warnings(FactFile::kConfig, R"({"temperature": 0.6, "top_p": 1.0, "do_sample": false})"),
              ElementsAre("x.json: 'temperature' 0.6 is not used: how to draw is said by generation_config.json"));
  EXPECT_THAT(
      Warnings(FactFile::kGeneration, R"({"typical_p": 0.9, "num_beams": 4, "epsilon_cutoff": 0.0003, "min_length": 0,
          "suppress_tokens": [5], "bad_words_ids": null, "guidance_scale": 1.0})"),
      ElementsAre("x.json: 'typical_p' 0.9 is not used: the sampler has no such rule",
                  "x.json: 'num_beams' 4 is not used: answers are drawn one by one, without beams",
                  "x.json: 'epsilon_cutoff' 0.0003 is not used: the sampler has no such rule",
                  "x.json: 'suppress_tokens' an array of 1 values is not used: the sampler has no such rule"));
  EXPECT_THAT(Warnings(FactFile::kTokenizerConfig, R"({"split_special_tokens": true})"),
              ElementsAre("x.json: 'split_special_tokens' true is not used: tokenizer.json alone says how text becomes "
                          "tokens"));
}

TEST(FactKeys, KnowsNamedTokensWhateverTheirNames) {
  const char* named = R"({"bos_token": "<s>", "image_token": {"content": "<img>"}})";
  EXPECT_THAT(Warnings(FactFile::kTokenizerConfig, named), ElementsAre());
  EXPECT_THAT(Warnings(FactFile::kSpecialTokensMap, named), ElementsAre());
  EXPECT_THAT(Warnings(FactFile::kTokenizerConfig, R"({"image_token": 7})"),
              ElementsAre("x.json: mrs does not know \"image_token\"; nothing of it is used"));
}

// No key stands in two rows: the second would never be read. Nor does a key of one file count in another.
TEST(FactKeys, TheTableIsTheOneInTheReadme) {
  const Result<std::string> readme = ReadFile(SourceDir() + "/planner/README.md", 1 << 20);
  ASSERT_TRUE(readme.ok()) << readme.message();
  EXPECT_NE(readme->find(fmt::format("\n{}", KeysWithoutEffect())), std::string::npos)
      << "put this into planner/README.md:\n"
      << KeysWithoutEffect();
}

}  // namespace
}  // namespace mrs
