#include "planner/generation_config.h"

#include <gmock/gmock.h>

#include "planner/model_folder_for_test.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;

struct Outcome {
  ModelSpec spec;
  std::string error;
  std::vector<std::string> warnings;
};

Outcome Read(const std::string& json) {
  ModelFolder folder;
  folder.Write("generation_config.json", json);
  Outcome outcome;
  outcome.spec.vocab = 100;
  outcome.spec.max_position = 512;
  outcome.spec.bos = 3;
  outcome.spec.eos = {6};
  const Status status = ReadGenerationConfig(folder.path(), outcome.spec, &outcome.warnings);
  if (!status.ok()) outcome.error = status.message();
  return outcome;
}

TEST(GenerationConfig, GivesTheDefaultsOfTheSampler) {
  const Outcome outcome = Read(R"({"temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.05,
      "min_p": 0.1, "presence_penalty": 1.5, "frequency_penalty": -0.5, "max_new_tokens": 77, "do_sample": true,
      "stop_strings": ["User:", "\n\n"], "transformers_version": "4.51.0", "_from_model_config": true})");
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(outcome.warnings, ElementsAre());
  const SamplingSpec& sampling = outcome.spec.sampling;
  EXPECT_EQ(sampling.temperature, 0.6f);
  EXPECT_EQ(sampling.top_p, 0.9f);
  EXPECT_EQ(sampling.top_k, 20u);
  EXPECT_EQ(sampling.repetition_penalty, 1.05f);
  EXPECT_EQ(sampling.min_p, 0.1f);
  EXPECT_EQ(sampling.presence_penalty, 1.5f);
  EXPECT_EQ(sampling.frequency_penalty, -0.5f);
  EXPECT_EQ(sampling.max_tokens, 77u);
  EXPECT_THAT(sampling.stop, ElementsAre("User:", "\n\n"));
}

TEST(GenerationConfig, IsNeutralWhereItSaysNothing) {
  const SamplingSpec sampling = Read(R"({"max_new_tokens": null, "min_p": null})").spec.sampling;
  EXPECT_EQ(sampling.temperature, 1.0f);
  EXPECT_EQ(sampling.top_p, 1.0f);
  EXPECT_EQ(sampling.min_p, 0.0f);
  EXPECT_EQ(sampling.max_tokens, 0u);
  EXPECT_EQ(Read(R"({"do_sample": false, "temperature": 0.6})").spec.sampling.temperature, 0.0f);
  EXPECT_GT(Read(R"({"top_p": 0})").spec.sampling.top_p, 0.0f);
  EXPECT_THAT(Read(R"({"stop_strings": "END"})").spec.sampling.stop, ElementsAre("END"));
}

TEST(GenerationConfig, AddsToTheTokensThatEndAnAnswer) {
  EXPECT_THAT(Read(R"({"eos_token_id": [8, 6, 2], "bos_token_id": 5})").spec.eos, ElementsAre(2, 6, 8));
  EXPECT_EQ(Read(R"({"eos_token_id": [8, 6, 2], "bos_token_id": 5})").spec.bos, 5);
  EXPECT_THAT(Read(R"({"eos_token_id": null})").spec.eos, ElementsAre(6));
  EXPECT_THAT(Read(R"({"eos_token_id": 99})").spec.eos, ElementsAre(6, 99));
  EXPECT_EQ(Read(R"({"eos_token_id": -2})").error,
            "generation_config.json: 'eos_token_id': expected an integer from -1 to 99, got -2");
  EXPECT_EQ(Read(R"({"eos_token_id": [1, -1]})").error,
            "generation_config.json: 'eos_token_id': expected integers from 0 to 99, got -1");
  ModelSpec wide;
  EXPECT_EQ(AddEndTokens(std::vector<int32_t>(300, 1), "x", wide).ok(), true);
  std::vector<int32_t> many(257);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int32_t>(i);
  EXPECT_EQ(AddEndTokens(many, "x.json", wide).message(),
            "x.json: makes 257 end-of-text tokens; at most 256 are accepted");
}

// As of a cut of a large model that kept its tokenizer.
TEST(GenerationConfig, WarnsOfTokensPastTheVocabulary) {
  const Outcome one = Read(R"({"bos_token_id": 100, "eos_token_id": 100, "pad_token_id": 18446744073709551615})");
  EXPECT_EQ(one.error, "");
  EXPECT_THAT(one.spec.eos, ElementsAre(6));
  EXPECT_EQ(one.spec.bos, -1);
  EXPECT_EQ(one.spec.pad, -1);
  EXPECT_THAT(
      one.warnings,
      ElementsAre("generation_config.json: 'bos_token_id' 100 is not used: the model has 100 tokens, and prompts "
                  "begin as tokenizer.json has it",
                  "generation_config.json: 'pad_token_id' 18446744073709551615 is not used: the model has 100 "
                  "tokens, and nothing pads",
                  "generation_config.json: 'eos_token_id' 100 ends no answer: the model has 100 tokens"));
  const Outcome list = Read(R"({"eos_token_id": [18446744073709551615, 99, 100]})");
  EXPECT_EQ(list.error, "");
  EXPECT_THAT(list.spec.eos, ElementsAre(6, 99));
  EXPECT_THAT(
      list.warnings,
      ElementsAre("generation_config.json: 'eos_token_id' 18446744073709551615 ends no answer: the model has 100 "
                  "tokens",
                  "generation_config.json: 'eos_token_id' 100 ends no answer: the model has 100 tokens"));
}

TEST(GenerationConfig, WarnsByNameOfWhatTheSamplerHasNot) {
  EXPECT_THAT(
      Read(R"({"num_beams": 4, "no_repeat_ngram_size": 3, "length_penalty": 2.0, "new_trick": 1})").warnings,
      ElementsAre("generation_config.json: 'num_beams' 4 is not used: answers are drawn one by one, without beams",
                  "generation_config.json: 'no_repeat_ngram_size' 3 is not used: the sampler has no such rule",
                  "generation_config.json: mrs does not know \"new_trick\"; nothing of it is used"));
  EXPECT_THAT(Read(R"({"max_length": 511})").warnings,
              ElementsAre("generation_config.json: 'max_length' 511 is not used: --max-len bounds prompt and answer "
                          "together"));
  EXPECT_THAT(Read(R"({"max_length": 512})").warnings, ElementsAre());
  EXPECT_THAT(Read(R"({"max_length": 20, "max_new_tokens": 9})").warnings, ElementsAre());
}

TEST(GenerationConfig, RefusesValuesOutOfRange) {
  EXPECT_EQ(Read(R"({"top_p": 1.5})").error, "generation_config.json: 'top_p': expected a number from 0 to 1, got 1.5");
  EXPECT_EQ(Read(R"({"min_p": 1.5})").error, "generation_config.json: 'min_p': expected a number from 0 to 1, got 1.5");
  EXPECT_EQ(Read(R"({"top_k": -1})").error,
            "generation_config.json: 'top_k': expected an integer from 0 to 2147483647, got -1");
  EXPECT_EQ(Read(R"({"max_new_tokens": 0})").error,
            "generation_config.json: 'max_new_tokens': expected an integer from 1 to 2147483647, got 0");
  EXPECT_EQ(Read(R"({"presence_penalty": 3})").error,
            "generation_config.json: 'presence_penalty': expected a number from -2 to 2, got 3");
  EXPECT_EQ(Read(R"({"stop_strings": ["a", ""]})").error,
            "generation_config.json: 'stop_strings': expected strings of 1 to 1024 bytes, got \"\"");
  EXPECT_EQ(Read(R"({"stop_strings": 7})").error,
            "generation_config.json: 'stop_strings': expected strings of 1 to 1024 bytes, got 7");
  Json many = Json::object();
  many["stop_strings"] = std::vector<std::string>(5, std::string(1000, 'a'));
  EXPECT_EQ(
      Read(many.dump()).error,
      "generation_config.json: 'stop_strings': 5 strings of 5000 bytes; at most 64 of 4096 together are accepted");
  EXPECT_EQ(Read("7").error, "generation_config.json: expected an object, got 7");
}

}  // namespace
}  // namespace mrs
