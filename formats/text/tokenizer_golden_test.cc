// Every flavour against what Hugging Face `tokenizers` makes of the same file (golden/make_golden.py).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/json.h"
#include "formats/text/detokenizer.h"
#include "formats/text/tokenizer.h"
#include "formats/text/utf8.h"
#include "host/source_dir_for_test.h"

namespace mrs::text {
namespace {

std::string GoldenPath(const std::string& name) { return SourceDir() + "/formats/text/golden/" + name; }

class TokenizerGolden : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    Result<Tokenizer> tokenizer = LoadTokenizer(GoldenPath(GetParam() + ".tokenizer.json"));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.message();
    tokenizer_ = *std::move(tokenizer);
    const Result<std::string> text = ReadFile(GoldenPath(GetParam() + ".cases.json"), 1 << 20);
    ASSERT_TRUE(text.ok()) << text.message();
    Result<Json> cases = ParseJson(*text, "cases");
    ASSERT_TRUE(cases.ok()) << cases.message();
    cases_ = *std::move(cases);
  }

  // Decodes one id at a time, and checks that every part is whole characters.
  std::string Stream(const std::vector<int32_t>& ids, bool skip) {
    Detokenizer detokenizer(tokenizer_, skip);
    std::string all;
    for (const int32_t id : ids) {
      const Result<std::string> part = detokenizer.Push(id);
      EXPECT_TRUE(part.ok());
      EXPECT_EQ(FindInvalidUtf8(*part), std::string::npos);
      all += *part;
    }
    return all + *detokenizer.Finish();
  }

  Tokenizer tokenizer_;
  Json cases_;
};

TEST_P(TokenizerGolden, EncodesAsHuggingFace) {
  for (const Json& one : cases_["encode"]) {
    const auto text = one[0].get<std::string>();
    const auto plain = one[1].get<std::vector<int32_t>>();
    const auto whole = one[2].is_null() ? plain : one[2].get<std::vector<int32_t>>();
    const Result<std::vector<int32_t>> ids = Encode(tokenizer_, text, false);
    ASSERT_TRUE(ids.ok()) << ids.message();
    EXPECT_EQ(*ids, plain) << one[0];
    EXPECT_EQ(*Encode(tokenizer_, text, true), whole) << one[0];
    EXPECT_EQ(*Decode(tokenizer_, *ids, false), one[3].get<std::string>()) << one[0];
  }
}

TEST_P(TokenizerGolden, DecodesAsHuggingFaceWholeAndInParts) {
  for (const Json& one : cases_["decode"]) {
    const auto ids = one[0].get<std::vector<int32_t>>();
    EXPECT_EQ(*Decode(tokenizer_, ids, false), one[1].get<std::string>()) << one[0];
    EXPECT_EQ(*Decode(tokenizer_, ids, true), one[2].get<std::string>()) << one[0];
    EXPECT_EQ(Stream(ids, false), one[1].get<std::string>()) << one[0];
    EXPECT_EQ(Stream(ids, true), one[2].get<std::string>()) << one[0];
  }
}

INSTANTIATE_TEST_SUITE_P(Flavours, TokenizerGolden,
                         ::testing::Values("gpt2", "llama3", "qwen", "deepseek", "starcoder", "llama2", "metaspace",
                                           "whitespace", "merged_previous", "merged_next", "contiguous",
                                           "removed_inverted", "contiguous_inverted"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace mrs::text
