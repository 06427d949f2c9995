#include "runtime/engine/answer.h"

#include <gtest/gtest.h>

#include "formats/text/tokenizer.h"
#include "host/source_dir_for_test.h"

namespace mrs {
namespace {

// The text of an answer, as a client joins it.
std::string TextOf(const text::Tokenizer& tokenizer, Request request, const std::vector<int32_t>& ids) {
  std::string text;
  request.sampling.max_tokens = static_cast<uint32_t>(ids.size());
  Answer answer(
      1, std::move(request),
      [&text](const Event& event) {
        text += event.token.has_value() ? event.token->text : std::string();
        text += event.finish.has_value() ? event.finish->text : std::string();
      },
      &tokenizer);
  for (const int32_t id : ids) answer.Append({.token = {.id = id}, .top = {}}, {});
  return text;
}

class AnswerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string golden = SourceDir() + "/formats/text/golden/";
    Result<text::Tokenizer> tokenizer = text::LoadTokenizer(golden + GetParam() + ".tokenizer.json");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.message();
    tokenizer_.emplace(std::move(*tokenizer));
  }
  std::vector<int32_t> Ids(const std::string& text) {
    Result<std::vector<int32_t>> ids = text::Encode(*tokenizer_, text, /*add_special_tokens=*/false);
    EXPECT_TRUE(ids.ok()) << ids.message();
    return ids.ok() ? *ids : std::vector<int32_t>();
  }
  std::optional<text::Tokenizer> tokenizer_;
};

// Of tokenizers that have tokens of single bytes.
class AnswerOfBytesTest : public AnswerTest {};

// A decoder that takes the space off a text's start must not take it off an answer that goes on inside one.
TEST_P(AnswerTest, GoesOnWhereThePromptEnds) {
  const bool knows_bytes = GetParam() != std::string("metaspace");
  const std::string text =
      std::string("over the lazy dog. it was here") + (knows_bytes ? " \xe6\x97\xa5\xe6\x9c\xac." : "");
  const std::vector<int32_t> ids = Ids(text);
  ASSERT_EQ(*text::Decode(*tokenizer_, ids, true), text);
  for (size_t cut = 1; cut < ids.size(); ++cut) {
    const std::vector<int32_t> prompt(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(cut));
    const std::vector<int32_t> answer(ids.begin() + static_cast<std::ptrdiff_t>(cut), ids.end());
    const std::string before = *text::Decode(*tokenizer_, prompt, true);
    if (before.ends_with("\xef\xbf\xbd")) continue;  // half a character: its text is not a start of the whole
    EXPECT_EQ(before + TextOf(*tokenizer_, {.prompt = prompt, .goes_on = true}, answer), text) << "cut at " << cut;
    EXPECT_EQ(TextOf(*tokenizer_, {.prompt = prompt}, answer), *text::Decode(*tokenizer_, answer, true));
  }
}

// A run of bytes is read as a whole, however long it is.
TEST_P(AnswerOfBytesTest, GoesOnInALongRunOfBytes) {
  std::string text = "x";
  for (int i = 0; i < 12; ++i) text += "\xe1\x88\x8b";
  const std::vector<int32_t> ids = Ids(text + "\xe1\x88\x9d.");
  const std::vector<int32_t> prompt = Ids(text);
  ASSERT_GT(prompt.size(), 36u);
  const std::vector<int32_t> answer(ids.begin() + static_cast<std::ptrdiff_t>(prompt.size()), ids.end());
  EXPECT_EQ(TextOf(*tokenizer_, {.prompt = prompt, .goes_on = true}, answer), "\xe1\x88\x9d.");
}

// A character that the prompt leaves half is whole in the answer.
TEST_P(AnswerOfBytesTest, CompletesTheCharacterThatThePromptLeftHalf) {
  std::vector<int32_t> ids = Ids("x\xf0\x9f\x98\x83");
  ASSERT_GT(ids.size(), 2u) << "the tokenizer has no token of that character alone";
  const int32_t last = ids.back();
  ids.pop_back();
  const std::string text = TextOf(*tokenizer_, {.prompt = ids, .goes_on = true}, {last});
  EXPECT_EQ(text, "\xf0\x9f\x98\x83");
}

// Where the answer does not complete it, the half is the prompt's, as in the text of both together.
TEST_P(AnswerOfBytesTest, LeavesThePromptTheHalfThatNothingCompletes) {
  std::vector<int32_t> ids = Ids("x\xf0\x9f\x98\x83");
  ids.pop_back();
  const int32_t letter = Ids("xyxyx").back();
  const std::string before = *text::Decode(*tokenizer_, ids, true);
  ASSERT_TRUE(before.ends_with("\xef\xbf\xbd")) << before;
  const std::string text = TextOf(*tokenizer_, {.prompt = ids, .goes_on = true}, {letter});
  ids.push_back(letter);
  EXPECT_EQ(before + text, *text::Decode(*tokenizer_, ids, true));
}

// Half a character at the end is shown as U+FFFD, which may be what a stop string was waiting for.
TEST_P(AnswerOfBytesTest, AStopMayBeCompletedByTheRest) {
  std::vector<int32_t> ids = Ids("x\xf0\x9f\x98\x83");
  ids.pop_back();
  const std::string all = *text::Decode(*tokenizer_, ids, true);
  Request request{.prompt = {1}, .sampling = {.max_tokens = static_cast<uint32_t>(ids.size()), .stop = {all}}};
  std::string text;
  std::optional<FinishEvent> finish;
  Answer answer(
      1, request,
      [&](const Event& event) {
        if (event.token.has_value()) text += event.token->text;
        if (event.finish.has_value()) finish = event.finish;
      },
      &*tokenizer_);
  for (const int32_t id : ids) answer.Append({.token = {.id = id}, .top = {}}, {});
  ASSERT_TRUE(finish.has_value());
  EXPECT_EQ(text + finish->text, "");
  EXPECT_EQ(finish->reason, FinishReason::kStop);
  EXPECT_EQ(finish->stop_text, all);
}

TEST_P(AnswerTest, AStopTokenIsNoText) {
  const std::vector<int32_t> ids = Ids("the lazy dog");
  const std::string all = TextOf(*tokenizer_, {.prompt = {1}}, ids);
  const std::string stopped = TextOf(*tokenizer_, {.prompt = {1}, .sampling = {.stop_token_ids = {ids.back()}}}, ids);
  EXPECT_LT(stopped.size(), all.size());
  EXPECT_TRUE(all.starts_with(stopped));
}

std::string NameOf(const testing::TestParamInfo<const char*>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Tokenizers, AnswerTest, testing::Values("llama2", "metaspace", "llama3"), NameOf);
INSTANTIATE_TEST_SUITE_P(Tokenizers, AnswerOfBytesTest, testing::Values("llama2", "llama3"), NameOf);

}  // namespace
}  // namespace mrs
