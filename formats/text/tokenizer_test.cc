#include "formats/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/json.h"
#include "formats/text/regex.h"
#include "formats/text/unicode.h"
#include "formats/text/utf8.h"
#include "host/source_dir_for_test.h"

namespace mrs::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kSmall = R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
  "added_tokens": [{"id": 3, "content": "<x>", "special": true}], "decoder": {"type": "ByteLevel"}})";

Json Small() { return *ParseJson(kSmall, "small"); }

std::string ErrorOf(const Json& file) {
  const Result<Tokenizer> tokenizer = ParseTokenizer(DumpJson(file), "t.json");
  return tokenizer.ok() ? "accepted" : tokenizer.message();
}

TEST(ParseTokenizer, ReadsASmallFile) {
  const Result<Tokenizer> tokenizer = ParseTokenizer(kSmall, "t.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.message();
  EXPECT_THAT(*Encode(*tokenizer, "ab<x>ba", true), ElementsAre(2, 3, 1, 0));
  EXPECT_EQ(*Decode(*tokenizer, std::vector<int32_t>{2, 3, 99, -5, 0}, false), "ab<x>a");
  EXPECT_EQ(*Decode(*tokenizer, std::vector<int32_t>{2, 3, 0}, true), "aba");
  EXPECT_EQ(VocabSize(*tokenizer), 4);
  EXPECT_EQ(TokenToId(*tokenizer, "<x>"), 3);
  EXPECT_EQ(IdToToken(*tokenizer, 2), "ab");
  EXPECT_EQ(IdToToken(*tokenizer, 4), std::nullopt);
}

TEST(ParseTokenizer, RefusesUnsupportedPartsByName) {
  const auto with = [](const char* part, const char* value) {
    Json file = Small();
    file[part] = *ParseJson(value, "part");
    return ErrorOf(file);
  };
  EXPECT_EQ(with("pre_tokenizer", R"({"type": "BertPreTokenizer"})"),
            "t.json: pre_tokenizer type 'BertPreTokenizer' is not supported; supported: ByteLevel, Split, Digits, "
            "Punctuation, Whitespace, WhitespaceSplit, Metaspace, Sequence");
  EXPECT_THAT(with("normalizer", R"({"type": "Precompiled"})"),
              HasSubstr("t.json: normalizer type 'Precompiled' is not supported"));
  EXPECT_THAT(with("decoder", R"({"type": "WordPiece"})"),
              HasSubstr("t.json: decoder type 'WordPiece' is not supported"));
  EXPECT_THAT(with("post_processor", R"({"type": "BertProcessing"})"),
              HasSubstr("t.json: post_processor type 'BertProcessing' is not supported"));
  EXPECT_THAT(with("model", R"({"type": "Unigram", "vocab": []})"),
              HasSubstr("t.json: model type 'Unigram' is not supported; supported: BPE"));
  EXPECT_THAT(with("decoder", R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})"),
              HasSubstr("'ByteFallback' after Fuse or ByteLevel is not supported"));
}

TEST(ParseTokenizer, RefusesMalformedFiles) {
  const auto model = [](const char* key, const char* value) {
    Json file = Small();
    file["model"][key] = *ParseJson(value, "part");
    return ErrorOf(file);
  };
  EXPECT_EQ(ErrorOf(Json::object()), "t.json: 'model' is missing; expected an object");
  EXPECT_THAT(model("vocab", R"({"a": 0, "b": 0})"), HasSubstr("vocab: id 0 belongs to two tokens, \"a\" and \"b\""));
  EXPECT_THAT(model("vocab", R"({"a": -1})"), HasSubstr("token \"a\": expected an id from 0 to 4194303, got -1"));
  EXPECT_THAT(model("vocab", R"({"a": 4000000})"), HasSubstr("id 4000000 in a vocabulary of 1 tokens"));
  EXPECT_THAT(model("vocab", "7"), HasSubstr("'vocab': expected an object, got 7"));
  EXPECT_THAT(model("merges", R"(["a b", "a c"])"), HasSubstr("merges[1]: token \"c\" is not in the vocabulary"));
  EXPECT_THAT(model("merges", R"(["b a"])"), HasSubstr("merges[0]: token \"ba\" is not in the vocabulary"));
  EXPECT_THAT(model("merges", R"([["a"]])"), HasSubstr("merges[0]: expected \"left right\""));
  EXPECT_THAT(model("merges", "null"), HasSubstr("'merges' is missing"));
  EXPECT_THAT(model("dropout", "0.5"), HasSubstr("dropout 0.5 is not supported"));
  Json file = Small();
  file["added_tokens"][0]["id"] = 1;
  EXPECT_THAT(ErrorOf(file), HasSubstr("added_tokens[0]: token \"<x>\" has id 1, which the vocabulary gives to \"b\""));
  file["added_tokens"][0] = {{"id", 7}, {"content", "ab"}};
  EXPECT_THAT(ErrorOf(file), HasSubstr("token \"ab\" has id 7, but id 2 in the vocabulary"));
  file["added_tokens"][0] = "x";
  EXPECT_THAT(ErrorOf(file), HasSubstr("added_tokens[0]: expected an object with 'content', got \"x\""));
}

TEST(Encode, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = *ParseTokenizer(kSmall, "t.json");
  EXPECT_EQ(Encode(tokenizer, "ab\xffz", true).message(), "the text is not UTF-8 at byte 2");
}

TEST(Encode, NamesACharacterThatNothingCanWrite) {
  Json file = Small();
  file["model"]["unk_token"] = "<unk>";
  const Tokenizer tokenizer = *ParseTokenizer(DumpJson(file), "t.json");
  EXPECT_THAT(Encode(tokenizer, "aZ", true).message(), HasSubstr("has neither \"Z\" nor the unknown token \"<unk>\""));
}

TEST(Encode, TakesALongLineOfAnyOneThingInBoundedTime) {
  const std::string folder = SourceDir() + "/formats/text/golden/";
  for (const char* name : {"gpt2", "llama3", "qwen", "deepseek", "llama2", "metaspace"}) {
    const Result<Tokenizer> tokenizer = LoadTokenizer(folder + name + ".tokenizer.json");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.message();
    for (const std::string unit :
         {"a", " ", "\n", " \n", "1", "!", "日", "\xCC\x81", "\xCC\xA7\xCC\x81", "'s", "<|en"}) {
      std::string text;
      while (text.size() < (1 << 18)) text += unit;
      const Result<std::vector<int32_t>> ids = Encode(*tokenizer, text + "a", false);
      ASSERT_TRUE(ids.ok()) << name << " " << unit << ": " << ids.message();
      EXPECT_FALSE(ids->empty());
    }
  }
}

TEST(TokenBytes, GivesHalvesOfCharacters) {
  const std::string folder = SourceDir() + "/formats/text/golden/";
  for (const char* name : {"gpt2", "llama2"}) {
    const Tokenizer tokenizer = *LoadTokenizer(folder + name + ".tokenizer.json");
    std::string bytes;
    const std::vector<int32_t> ids = *Encode(tokenizer, "𝄞 ok", false);
    for (const int32_t id : ids) bytes += *TokenBytes(tokenizer, id);
    EXPECT_THAT(bytes, HasSubstr("𝄞 ok"));
    EXPECT_GT(ids.size(), 4u);
  }
}

TEST(Regex, RefusesWhatTheEnginesReadDifferently) {
  const auto error = [](const char* pattern) {
    const Result<Regex> regex = CompileRegex(pattern, "w");
    return regex.ok() ? "accepted" : regex.message();
  };
  EXPECT_EQ(error("a\\h"), "w: regex 'a\\h': the escape '\\h' at byte 1 is not supported");
  EXPECT_THAT(error("(a)\\1"), HasSubstr("the escape '\\1'"));
  EXPECT_THAT(error("[a&&b]"), HasSubstr("an intersection of classes"));
  EXPECT_THAT(error("[a[b]]"), HasSubstr("a class inside a class"));
  EXPECT_THAT(error("(?R)"), HasSubstr("the group '(?R)'"));
  EXPECT_THAT(error("(*LIMIT_MATCH=1)a"), HasSubstr("'(*'"));
  EXPECT_THAT(error("a{1,3}+"), HasSubstr("after '{...}'"));
  EXPECT_THAT(error("a{,3}"), HasSubstr("opens no {n}"));
  EXPECT_THAT(error("(a"), HasSubstr("does not compile: missing closing parenthesis"));
}

TEST(Regex, StopsAtTheMatchLimit) {
  const Regex regex = *CompileRegex("(a+)+$", "w");
  const Result<std::vector<Span>> spans = FindAll(regex, std::string(64, 'a') + "b");
  ASSERT_FALSE(spans.ok());
  EXPECT_THAT(spans.message(), HasSubstr("match limit exceeded"));
}

TEST(Utf8, ReplacesEachMaximalMalformedPart) {
  const auto lossy = [](std::string_view bytes) {
    std::string out;
    AppendLossy(bytes, &out);
    return out;
  };
  EXPECT_EQ(lossy("a\xff"), "a\uFFFD");
  EXPECT_EQ(lossy("\xE2\x82"), "\uFFFD");
  EXPECT_EQ(lossy("\xE2\x82x"), "\uFFFDx");
  EXPECT_EQ(lossy("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(lossy("\xF0\x90\x80\xF0\x9F\x98\x80"), "\uFFFD😀");
  EXPECT_EQ(lossy("\xC0\x80"), "\uFFFD\uFFFD");
  EXPECT_EQ(lossy("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(Normalize, SortsLongRunsOfMarksToTheSameForm) {
  std::string mixed = "a";
  std::string sorted = "a";
  for (int i = 0; i < 100; ++i) mixed += "\u0301\u0327";
  for (int i = 0; i < 100; ++i) sorted += "\u0327";
  for (int i = 0; i < 100; ++i) sorted += "\u0301";
  EXPECT_EQ(*Normalize(NormalForm::kNfd, mixed), sorted);
}

}  // namespace
}  // namespace mrs::text
