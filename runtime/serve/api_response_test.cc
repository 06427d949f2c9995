#include "runtime/serve/api_response.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/serve/api_test_model.h"
#include "runtime/serve/whole_response.h"

namespace mrs::serve {
namespace {

const ResponseHead kHead{.id = "id-1", .created = 5, .model = "mini", .fingerprint = "plan-aa"};

ApiCall Call(bool chat) {
  ApiCall call;
  call.chat = chat;
  call.requests.push_back({.prompt = {7, 8}, .sampling = {}});
  return call;
}

int32_t IdOf(std::string_view token) { return *text::TokenToId(TestTokenizer(), token); }

FinishEvent Finish(FinishReason reason) {
  FinishEvent finish;
  finish.reason = reason;
  finish.prompt_tokens = 2;
  finish.completion_tokens = 3;
  return finish;
}

struct Told {
  std::vector<TokenEvent> tokens;
  std::string rest;
  FinishEvent finish;
};

std::vector<Choice> ChoicesOf(const ApiCall& call, const std::vector<Told>& told) {
  std::vector<Choice> choices;
  for (const Told& one : told) {
    Choice& choice = choices.emplace_back();
    for (const TokenEvent& token : one.tokens) choice.Add(token, call);
    choice.text += one.rest;
    choice.finish = one.finish;
  }
  return choices;
}

// The response in pieces of so many bytes, joined.
std::string Written(const ApiCall& call, const text::Tokenizer* tokenizer, const std::vector<Told>& told,
                    size_t piece_bytes = SIZE_MAX) {
  ByteBudget budget(1 << 20);
  WholeResponse response(call, kHead, tokenizer, ChoicesOf(call, told), ByteHold(&budget));
  std::string all;
  while (!response.done()) all += response.Next(piece_bytes);
  EXPECT_EQ(response.Next(piece_bytes), "");
  return all;
}

TEST(WholeResponse, IsAChatCompletion) {
  const ApiCall call = Call(true);
  EXPECT_EQ(Written(call, &TestTokenizer(),
                    {{{{.token = {9, -0.5f}, .top = {}, .text = "H"}}, "i", Finish(FinishReason::kStop)}}),
            R"({"id":"id-1","object":"chat.completion","created":5,"model":"mini","system_fingerprint":"plan-aa",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null},"logprobs":null,)"
            R"("finish_reason":"stop","stop_reason":null}],)"
            R"("usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}})");
}

TEST(WholeResponse, ReturnsTokenIdsWhereVllmPutsThem) {
  ApiCall call = Call(true);
  call.return_token_ids = true;
  const std::vector<Told> told = {{{{.token = {9, 0}, .top = {}, .text = ""}, {.token = {4, 0}, .top = {}, .text = ""}},
                                   "",
                                   Finish(FinishReason::kLength)}};
  Json chat = *ParseJson(Written(call, nullptr, told), "chat");
  EXPECT_EQ(chat["choices"][0]["token_ids"], Json::array({9, 4}));
  EXPECT_EQ(chat["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(chat["prompt_token_ids"], Json::array({7, 8}));
  call.chat = false;
  Json completion = *ParseJson(Written(call, nullptr, told), "completion");
  EXPECT_EQ(completion["object"], "text_completion");
  EXPECT_EQ(completion["choices"][0]["token_ids"], Json::array({9, 4}));
  EXPECT_EQ(completion["choices"][0]["prompt_token_ids"], Json::array({7, 8}));
}

TEST(WholeResponse, SaysWhatStoppedIt) {
  ApiCall call = Call(false);
  call.requests[0].sampling.stop_token_ids = {4};
  std::vector<Told> told = {{{{.token = {4, 0}, .top = {}, .text = ""}}, "", Finish(FinishReason::kStop)}};
  EXPECT_EQ((*ParseJson(Written(call, nullptr, told), "x"))["choices"][0]["stop_reason"], 4);
  told[0].finish.stop_text = "END";
  EXPECT_EQ((*ParseJson(Written(call, nullptr, told), "x"))["choices"][0]["stop_reason"], "END");
}

// "e acute" in two byte tokens: C3 A9. The alphabet of byte-level vocabularies writes them as these two characters.
TEST(WholeResponse, ListsChatLogprobsWithBytes) {
  ApiCall call = Call(true);
  call.requests[0].sampling.logprobs = 1;
  const int32_t lead = IdOf("\u00c3");
  const int32_t tail = IdOf("\u00a9");
  const std::vector<Told> told = {{{{.token = {lead, -0.1f}, .top = {{lead, -0.1f}}, .text = ""},
                                    {.token = {tail, -INFINITY}, .top = {}, .text = "\u00e9"}},
                                   "",
                                   Finish(FinishReason::kStop)}};
  const Json response = *ParseJson(Written(call, &TestTokenizer(), told), "x");
  EXPECT_EQ(DumpJson(response["choices"][0]["logprobs"]),
            "{\"content\":[{\"token\":\"\uFFFD\",\"logprob\":-0.1,\"bytes\":[195],"
            "\"top_logprobs\":[{\"token\":\"\uFFFD\",\"logprob\":-0.1,\"bytes\":[195]}]},"
            "{\"token\":\"\uFFFD\",\"logprob\":-9999.0,\"bytes\":[169],\"top_logprobs\":[]}],\"refusal\":null}");
}

std::vector<Told> ThreeTokens() {
  const int32_t lead = IdOf("\u00c3");
  const int32_t tail = IdOf("\u00a9");
  const int32_t a = IdOf("a");
  return {{{{.token = {lead, -0.5f}, .top = {{a, -0.25f}}, .text = ""},
            {.token = {tail, -1.0f}, .top = {{tail, -1.0f}}, .text = "\u00e9"},
            {.token = {a, -2.0f}, .top = {{a, -2.0f}}, .text = "a"}},
           "",
           Finish(FinishReason::kStop)}};
}

TEST(WholeResponse, ListsCompletionLogprobsInParallel) {
  ApiCall call = Call(false);
  call.requests[0].sampling.logprobs = 1;
  const Json response = *ParseJson(Written(call, &TestTokenizer(), ThreeTokens()), "x");
  EXPECT_EQ(DumpJson(response["choices"][0]["logprobs"]),
            R"({"text_offset":[0,1,1],"token_logprobs":[-0.5,-1.0,-2.0],"tokens":["bytes:\\xc3","bytes:\\xa9","a"],)"
            R"("top_logprobs":[{"a":-0.25,"bytes:\\xc3":-0.5},{"bytes:\\xa9":-1.0},{"a":-2.0}]})");
}

// However it is cut, it is the same response, and no piece is much longer than asked for.
TEST(WholeResponse, ComesInPieces) {
  for (const bool chat : {true, false}) {
    ApiCall call = Call(chat);
    call.requests[0].sampling.logprobs = 1;
    call.return_token_ids = true;
    call.requests[0].prompt.assign(3000, 7);
    std::vector<Told> told = ThreeTokens();
    for (int i = 0; i < 4000; ++i)
      told[0].tokens.push_back({.token = {9, -1.0f}, .top = {{9, -1.0f}}, .text = "\u2603\n"});
    told.push_back({{}, "", Finish(FinishReason::kLength)});
    if (!chat) call.requests.push_back(call.requests[0]);
    if (chat) told.pop_back();
    const std::string whole = Written(call, &TestTokenizer(), told);
    Json parsed = *ParseJson(whole, "x");
    EXPECT_EQ(parsed["choices"][0]["token_ids"].size(), 4003u);
    EXPECT_EQ(Written(call, &TestTokenizer(), told, 1), whole);
    EXPECT_EQ(Written(call, &TestTokenizer(), told, 1000), whole);
    ByteBudget budget(1 << 20);
    WholeResponse response(call, kHead, &TestTokenizer(), ChoicesOf(call, told), ByteHold(&budget));
    size_t longest = 0;
    while (!response.done()) longest = std::max(longest, response.Next(1000).size());
    EXPECT_LE(longest, 1000u + 2 * 8192u);  // a part of the text, with its escapes
  }
}

// 21 log-probabilities of 8 bytes a token, and nothing of what the response does not show.
TEST(Choice, KeepsNoMoreThanTheResponseShows) {
  ApiCall call = Call(true);
  TokenEvent token{.token = {9, -1.0f}, .top = std::vector<TokenLogprob>(20, {9, -1.0f}), .text = "ab"};
  Choice plain, ids, logprobs;
  for (int i = 0; i < 1024; ++i) plain.Add(token, call);
  call.return_token_ids = true;
  for (int i = 0; i < 1024; ++i) ids.Add(token, call);
  call.requests[0].sampling.logprobs = 20;
  for (int i = 0; i < 1024; ++i) logprobs.Add(token, call);
  EXPECT_LE(plain.bytes(), 2 * 2048u);
  EXPECT_LE(ids.bytes(), 2 * (2048u + 1024 * 8));
  EXPECT_GE(logprobs.bytes(), 1024u * (21 * 8 + 8));
  EXPECT_LE(logprobs.bytes(), 2 * 1024u * (2 + 21 * 8 + 8));
}

TEST(ChunkWriter, StreamsAChat) {
  ApiCall call = Call(true);
  call.include_usage = true;
  ChunkWriter writer(call, kHead, &TestTokenizer());
  const std::string head =
      R"(data: {"id":"id-1","object":"chat.completion.chunk","created":5,"model":"mini","system_fingerprint":"plan-aa",)";
  EXPECT_EQ(
      writer.OnToken(0, {.token = {9, 0}, .top = {}, .text = "Hi"}),
      head +
          R"("choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],)"
          R"("usage":null})" +
          "\n\n" + head +
          R"("choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}],"usage":null})" +
          "\n\n");
  EXPECT_EQ(writer.OnToken(0, {.token = {9, 0}, .top = {}, .text = ""}),
            head +
                R"("choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":null}],"usage":null})" +
                "\n\n");
  FinishEvent finish = Finish(FinishReason::kLength);
  finish.text = "!";
  EXPECT_EQ(
      writer.OnFinish(0, finish),
      head +
          R"("choices":[{"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":"length","stop_reason":null}],)"
          R"("usage":null})" +
          "\n\n");
  EXPECT_EQ(writer.End(), head + R"("choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}})" +
                              "\n\ndata: [DONE]\n\n");
}

TEST(ChunkWriter, AddsUpTheUsageOfTwoPrompts) {
  ApiCall call = Call(false);
  call.requests.push_back(call.requests[0]);
  call.include_usage = true;
  ChunkWriter writer(call, kHead, &TestTokenizer());
  EXPECT_THAT(writer.OnFinish(0, Finish(FinishReason::kStop)), testing::HasSubstr(R"("usage":null)"));
  FinishEvent second = Finish(FinishReason::kLength);
  second.prompt_tokens = 10;
  second.completion_tokens = 20;
  writer.OnFinish(1, second);
  EXPECT_THAT(writer.End(),
              testing::HasSubstr(R"("usage":{"prompt_tokens":12,"completion_tokens":23,"total_tokens":35}})"));
}

TEST(ChunkWriter, TellsTheUsageSoFar) {
  ApiCall call = Call(false);
  call.usage_so_far = true;
  ChunkWriter writer(call, kHead, &TestTokenizer());
  writer.OnToken(0, {.token = {9, 0}, .top = {}, .text = "a"});
  EXPECT_THAT(writer.OnToken(0, {.token = {9, 0}, .top = {}, .text = "b"}),
              testing::HasSubstr(R"("usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4})"));
}

TEST(ChunkWriter, StreamsEachTokenWhereIdsAreAskedFor) {
  ApiCall call = Call(false);
  call.return_token_ids = true;
  ChunkWriter writer(call, kHead, nullptr);
  const std::string head =
      R"(data: {"id":"id-1","object":"text_completion","created":5,"model":"mini","system_fingerprint":"plan-aa","choices":[)";
  EXPECT_EQ(
      writer.OnToken(0, {.token = {9, 0}, .top = {}, .text = ""}),
      head + R"({"index":0,"text":"","prompt_token_ids":[7,8],"token_ids":[],"logprobs":null,"finish_reason":null}]})" +
          "\n\n" + head + R"({"index":0,"text":"","logprobs":null,"finish_reason":null,"token_ids":[9]}]})" + "\n\n");
}

TEST(ChunkWriter, TellsAnEngineFailure) {
  const ApiCall call = Call(true);
  ChunkWriter writer(call, kHead, &TestTokenizer());
  FinishEvent finish = Finish(FinishReason::kError);
  finish.error = "rank 1 step 7: lost";
  EXPECT_EQ(
      writer.OnFinish(0, finish),
      R"(data: {"error":{"message":"rank 1 step 7: lost","type":"server_error","param":null,"code":"engine_failed"}})"
      "\n\n");
}

}  // namespace
}  // namespace mrs::serve
