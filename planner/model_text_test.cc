#include "planner/model_text.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "planner/model_config.h"
#include "planner/model_folder_for_test.h"
#include "planner/model_tokenizer.h"

namespace mrs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// A tokenizer of two letters and two special tokens; `post_processor` as JSON.
std::string TokenizerFile(const std::string& post_processor = "null") {
  return R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
      {"id": 3, "content": "<s>", "special": true}, {"id": 4, "content": "</s>", "special": true}],
      "normalizer": null, "pre_tokenizer": null, "post_processor": )" +
         post_processor + R"(, "decoder": null,
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})";
}

struct Outcome {
  ModelSpec spec;
  std::string error;
  std::vector<std::string> warnings;
};

Outcome Read(const ModelFolder& folder, int64_t vocab = 5) {
  Outcome outcome;
  outcome.spec.vocab = vocab;
  const Result<std::optional<ModelTokenizer>> tokenizer = ReadModelTokenizer(folder.path(), &outcome.warnings);
  if (!tokenizer.ok()) {
    outcome.error = tokenizer.message();
    return outcome;
  }
  const Status status = ReadModelText(folder.path(), tokenizer->has_value() ? &(**tokenizer).tokenizer : nullptr,
                                      outcome.spec, &outcome.warnings);
  if (!status.ok()) outcome.error = status.message();
  return outcome;
}

TEST(ModelText, NamesEverySpecialTokenForTheTemplate) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>",
      "pad_token": "<pad>", "unk_token": null, "image_token": "<img>", "add_bos_token": false,
      "extra_special_tokens": {"audio_token": "<audio>", "messages": "no"}, "chat_template": "{{ messages }}"})");
  folder.Write("special_tokens_map.json",
               R"({"unk_token": {"content": "<unk>"}, "pad_token": "<other>", "additional_special_tokens": ["<x>"]})");
  folder.Write("tokenizer.json", TokenizerFile());
  const Outcome outcome = Read(folder);
  EXPECT_EQ(outcome.error, "");
  EXPECT_THAT(outcome.spec.template_tokens,
              ElementsAre(Pair("audio_token", "<audio>"), Pair("bos_token", "<s>"), Pair("eos_token", "</s>"),
                          Pair("image_token", "<img>"), Pair("pad_token", "<pad>"), Pair("unk_token", "<unk>")));
  EXPECT_EQ(outcome.spec.chat_template, "{{ messages }}");
  EXPECT_THAT(outcome.spec.eos, ElementsAre(4));
  EXPECT_THAT(outcome.warnings, ElementsAre());
}

TEST(ModelText, FindsTheTokenThatEndsATurn) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_TRUE(Read(folder).spec.eos.empty());
  EXPECT_THAT(Read(folder).warnings,
              ElementsAre("tokenizer_config.json: eos_token \"</s>\" is no token of this folder, which has no "
                          "tokenizer.json; it ends no answer"));
  folder.Write("tokenizer.json", TokenizerFile());
  EXPECT_THAT(Read(folder).spec.eos, ElementsAre(4));
  folder.Write("tokenizer_config.json", R"({"eos_token": "ab"})");  // a token of the vocabulary does as well
  EXPECT_THAT(Read(folder).spec.eos, ElementsAre(2));
  folder.Write("tokenizer_config.json", R"({"eos_token": "<eot>"})");
  EXPECT_TRUE(Read(folder).spec.eos.empty());
  EXPECT_THAT(
      Read(folder).warnings,
      ElementsAre("tokenizer_config.json: eos_token \"<eot>\" is no token of tokenizer.json; it ends no answer"));
  folder.Write("tokenizer_config.json", "{}");
  folder.Write("special_tokens_map.json", R"({"eos_token": "<eot>"})");
  EXPECT_THAT(Read(folder).warnings,
              ElementsAre("special_tokens_map.json: eos_token \"<eot>\" is no token of tokenizer.json; it ends no "
                          "answer"));
  folder.Write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  const Outcome small = Read(folder, 4);
  EXPECT_TRUE(small.spec.eos.empty());
  EXPECT_THAT(
      small.warnings,
      ElementsAre("tokenizer_config.json: eos_token \"</s>\" is token 4, past the model's vocabulary of 4; it "
                  "ends no answer",
                  "tokenizer.json: has tokens up to 4, past the model's vocabulary of 4; a prompt that holds one "
                  "of them is refused"));
}

TEST(ModelText, RefusesTokensThatAreNoText) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"bos_token": 7})");
  EXPECT_EQ(Read(folder).error, "tokenizer_config.json: 'bos_token': expected a string, got 7");
  folder.Write("tokenizer_config.json", R"({"eos_token": {"id": 7}})");
  EXPECT_EQ(Read(folder).error, "tokenizer_config.json: eos_token: 'content' is missing; expected a string");
  folder.Write("tokenizer_config.json", R"({"pad_token": ")" + std::string(1025, 'a') + "\"}");
  EXPECT_EQ(Read(folder).error, "tokenizer_config.json: pad_token: 1025 bytes; at most 1024 are accepted");
  Json many = Json::object();
  for (int i = 0; i < 65; ++i) many[fmt::format("a{}_token", i)] = "x";
  folder.Write("tokenizer_config.json", many.dump());
  EXPECT_EQ(Read(folder).error, "tokenizer_config.json: a64_token: more than 64 special tokens have names");
  folder.Write("tokenizer_config.json", "[]");
  EXPECT_EQ(Read(folder).error, "tokenizer_config.json: expected an object, got an array of 0 values");
}

TEST(ModelText, WarnsWhereTheTwoTokenizerFilesDisagree) {
  const std::string with_bos =
      R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}})";
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true, "add_eos_token": false})");
  folder.Write("tokenizer.json", TokenizerFile(with_bos));
  EXPECT_THAT(Read(folder).warnings, ElementsAre());
  folder.Write("tokenizer.json", TokenizerFile());
  EXPECT_THAT(
      Read(folder).warnings,
      ElementsAre("tokenizer_config.json: 'add_bos_token' true is not used: tokenizer.json decides, and does not "
                  "add \"<s>\""));
  folder.Write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": false,
                                            "add_eos_token": true})");
  folder.Write("tokenizer.json", TokenizerFile(with_bos));
  EXPECT_THAT(
      Read(folder).warnings,
      ElementsAre("tokenizer_config.json: 'add_bos_token' false is not used: tokenizer.json decides, and adds "
                  "\"<s>\"",
                  "tokenizer_config.json: 'add_eos_token' true is not used: tokenizer.json decides, and does not "
                  "add \"</s>\""));
}

TEST(ModelText, WarnsOfUnknownKeysOfEachFile) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"use_magic": true, "tokenizer_class": "X"})");
  folder.Write("special_tokens_map.json", R"({"more_magic": 1})");
  std::string tokenizer = TokenizerFile();
  tokenizer.insert(1, R"("hidden_magic": {}, )");
  folder.Write("tokenizer.json", tokenizer);
  EXPECT_THAT(Read(folder).warnings,
              ElementsAre("tokenizer.json: mrs does not know \"hidden_magic\"; nothing of it is used",
                          "tokenizer_config.json: mrs does not know \"use_magic\"; nothing of it is used",
                          "special_tokens_map.json: mrs does not know \"more_magic\"; nothing of it is used"));
}

TEST(ModelText, PicksTheDefaultOfNamedTemplatesAndParsesAll) {
  ModelFolder folder;
  std::vector<std::string> warnings;
  const auto with = [&](const std::string& templates) {
    folder.Write("tokenizer_config.json", R"({"bos_token": null, "chat_template": )" + templates + "}");
    const Outcome outcome = Read(folder);
    warnings = outcome.warnings;
    return outcome.error.empty() ? outcome.spec.chat_template : outcome.error;
  };
  EXPECT_EQ(with(R"([{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}])"), "D");
  EXPECT_THAT(warnings, ElementsAre("tokenizer_config.json: chat_template: \"tools\" is not used, \"default\" is"));
  EXPECT_EQ(with(R"([{"name": "tools", "template": "T"}])"), "T");
  EXPECT_THAT(warnings, ElementsAre());
  EXPECT_EQ(with("null"), "");
  EXPECT_EQ(with("[]"), "");
  EXPECT_EQ(
      with(R"([{"name": "tools", "template": "T"}, {"name": "rag", "template": "R"}])"),
      "tokenizer_config.json: chat_template: none of the templates \"tools\", \"rag\" is \"default\"; put the one "
      "to use into chat_template.jinja");
  EXPECT_EQ(with("7"), "tokenizer_config.json: 'chat_template': expected a string, got 7");
  // What mrs-exec could not render is refused here, with the reason.
  EXPECT_EQ(with(R"("{% for m in messages %}{{ m.content }}")"),
            "tokenizer_config.json: chat template: line 1: the template ends without 'endfor'");
  EXPECT_EQ(with(R"("a\n{% import 'x' as y %}")"),
            "tokenizer_config.json: chat template: line 2: the tag 'import' is not supported; supported: if, for, set, "
            "macro, break, continue, raw, generation");
  EXPECT_EQ(with(R"([{"name": "default", "template": "D"}, {"name": "rag", "template": "{{ 1 + }}"}])").substr(0, 68),
            "tokenizer_config.json: chat_template: \"rag\": chat template: line 1: ");
}

TEST(ModelText, ReadsATemplateOfItsOwnFile) {
  ModelFolder folder;
  folder.Write("tokenizer_config.json", R"({"chat_template": "{{ from_config }}"})");
  folder.Write("chat_template.jinja", "{{ from_file }}");
  EXPECT_EQ(Read(folder).spec.chat_template, "{{ from_file }}");
  EXPECT_THAT(
      Read(folder).warnings,
      ElementsAre("tokenizer_config.json: 'chat_template' is not used: chat_template.jinja is there, and wins"));
  folder.Write("tokenizer_config.json", R"({"chat_template": "{{ from_file }}"})");
  EXPECT_THAT(Read(folder).warnings, ElementsAre());
  folder.Write("chat_template.jinja", "{% block x %}");
  EXPECT_EQ(Read(folder).error,
            "chat_template.jinja: chat template: line 1: the tag 'block' is not supported; supported: if, for, set, "
            "macro, break, continue, raw, generation");
  folder.Write("chat_template.jinja", std::string(1048577, ' '));
  EXPECT_EQ(Read(folder).error, folder.path() + "/chat_template.jinja: 1048577 bytes, at most 1048576 are accepted");
  folder.Remove("chat_template.jinja");
  std::filesystem::create_symlink("nothing", folder.path() + "/chat_template.jinja");
  EXPECT_EQ(Read(folder).error,
            folder.path() + "/chat_template.jinja: is a symbolic link to nothing, where nothing is");
  folder.Remove("chat_template.jinja");
  folder.Write("tokenizer_config.json", "{}");
  folder.Write("chat_template.json", R"({"chat_template": "x"})");
  EXPECT_THAT(
      Read(folder).warnings,
      ElementsAre("chat_template.json: not used, it is for processors of images and sound; if chats are to have "
                  "this template, put it into chat_template.jinja"));
  std::filesystem::create_directory(folder.path() + "/additional_chat_templates");
  EXPECT_THAT(Read(folder).warnings[0], "additional_chat_templates: not used, chats have one template");
}

TEST(ModelTokenizer, HashesTheBytesThatItParsed) {
  ModelFolder folder;
  folder.Write("tokenizer.json", TokenizerFile());
  std::vector<std::string> warnings;
  const Result<std::optional<ModelTokenizer>> read = ReadModelTokenizer(folder.path(), &warnings);
  ASSERT_TRUE(read.ok() && read->has_value());
  const CheckpointFile& file = (**read).file;
  EXPECT_EQ(file.name, "tokenizer.json");
  EXPECT_EQ(file.size_bytes, TokenizerFile().size());
  EXPECT_EQ(file.header_bytes, TokenizerFile().size());
  EXPECT_EQ(file.header_sha256.size(), 32u);
  EXPECT_EQ(text::TokenToId((**read).tokenizer, "</s>"), 4);
  EXPECT_THAT(warnings, ElementsAre());
}

TEST(ModelTokenizer, RefusesWhatIsMalformedOrUnsupported) {
  ModelFolder folder;
  const auto error = [&](const std::string& text) {
    folder.Write("tokenizer.json", text);
    return Read(folder).error;
  };
  EXPECT_THAT(error("{\"model\": {"), ::testing::StartsWith("tokenizer.json: line 1, column 12: "));
  EXPECT_EQ(error("{}"), "tokenizer.json: 'model' is missing; expected an object");
  EXPECT_EQ(error(R"({"model": {"type": "Unigram", "vocab": []}})"),
            "tokenizer.json: model type 'Unigram' is not supported; supported: BPE");
  EXPECT_EQ(error(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})"),
            "tokenizer.json: model: merges[0]: token \"b\" is not in the vocabulary");
  EXPECT_THAT(error("{\"a\": NaN}"), HasSubstr("NaN is Python, not JSON"));  // as transformers: another reader
  folder.Remove("tokenizer.json");
  std::filesystem::create_symlink("../blobs/nothing", folder.path() + "/tokenizer.json");
  EXPECT_EQ(Read(folder).error,
            folder.path() + "/tokenizer.json: is a symbolic link to ../blobs/nothing, where nothing is");
}

TEST(ModelTokenizer, SaysSoOfAFolderWithATokenizerOfAnotherForm) {
  for (const char* name : {"tokenizer.model", "tekken.json", "vocab.json"}) {
    ModelFolder folder;
    folder.Write(name, "x");
    EXPECT_THAT(
        Read(folder).warnings,
        ElementsAre(fmt::format(
            "{}: has {}, but no tokenizer.json, the only form of tokenizer that mrs reads: this plan serves token "
            "ids alone; write one with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
            folder.path(), name)));
    folder.Write("tokenizer.json", TokenizerFile());
    EXPECT_THAT(Read(folder).warnings, ElementsAre());
  }
  EXPECT_THAT(Read(ModelFolder()).warnings, ElementsAre());
}

}  // namespace
}  // namespace mrs
