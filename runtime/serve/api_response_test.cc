#include "runtime/serve/api_response.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/serve/api_test_model.h"

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

TEST(WholeResponse, IsAChatCompletion) {
  const ApiCall call = Call(true);
  const Choice choice{
      .tokens = {{.token = {9, -0.5f}, .top = {}, .text = "Hi"}}, .text = "Hi", .finish = Finish(FinishReason::kStop)};
  EXPECT_EQ(WholeResponse(call, kHead, &TestTokenizer(), {&choice, 1}),
            R"({"id":"id-1","object":"chat.completion","created":5,"model":"mini","system_fingerprint":"plan-aa",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null},"logprobs":null,)"
            R"("finish_reason":"stop","stop_reason":null}],)"
            R"("usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}})");
}

TEST(WholeResponse, ReturnsTokenIdsWhereVllmPutsThem) {
  ApiCall call = Call(true);
  call.return_token_ids = true;
  const Choice choice{.tokens = {{.token = {9, 0}, .top = {}, .text = ""}, {.token = {4, 0}, .top = {}, .text = ""}},
                      .text = "",
                      .finish = Finish(FinishReason::kLength)};
  Json chat = *ParseJson(WholeResponse(call, kHead, nullptr, {&choice, 1}), "chat");
  EXPECT_EQ(chat["choices"][0]["token_ids"], Json::array({9, 4}));
  EXPECT_EQ(chat["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(chat["prompt_token_ids"], Json::array({7, 8}));
  call.chat = false;
  Json completion = *ParseJson(WholeResponse(call, kHead, nullptr, {&choice, 1}), "completion");
  EXPECT_EQ(completion["object"], "text_completion");
  EXPECT_EQ(completion["choices"][0]["token_ids"], Json::array({9, 4}));
  EXPECT_EQ(completion["choices"][0]["prompt_token_ids"], Json::array({7, 8}));
}

TEST(WholeResponse, SaysWhatStoppedIt) {
  ApiCall call = Call(false);
  call.requests[0].sampling.stop_token_ids = {4};
  Choice choice{
      .tokens = {{.token = {4, 0}, .top = {}, .text = ""}}, .text = "", .finish = Finish(FinishReason::kStop)};
  Json stopped = *ParseJson(WholeResponse(call, kHead, nullptr, {&choice, 1}), "x");
  EXPECT_EQ(stopped["choices"][0]["stop_reason"], 4);
  choice.finish->stop_text = "END";
  stopped = *ParseJson(WholeResponse(call, kHead, nullptr, {&choice, 1}), "x");
  EXPECT_EQ(stopped["choices"][0]["stop_reason"], "END");
}

// "e acute" in two byte tokens: C3 A9. The alphabet of byte-level vocabularies writes them as these two characters.
TEST(WholeResponse, ListsChatLogprobsWithBytes) {
  ApiCall call = Call(true);
  call.requests[0].sampling.logprobs = 1;
  const int32_t lead = IdOf("\u00c3");
  const int32_t tail = IdOf("\u00a9");
  const Choice choice{.tokens = {{.token = {lead, -0.1f}, .top = {{lead, -0.1f}}, .text = ""},
                                 {.token = {tail, -INFINITY}, .top = {}, .text = "\u00e9"}},
                      .text = "\u00e9",
                      .finish = Finish(FinishReason::kStop)};
  const Json response = *ParseJson(WholeResponse(call, kHead, &TestTokenizer(), {&choice, 1}), "x");
  EXPECT_EQ(DumpJson(response["choices"][0]["logprobs"]),
            "{\"content\":[{\"token\":\"\uFFFD\",\"logprob\":-0.1,\"bytes\":[195],"
            "\"top_logprobs\":[{\"token\":\"\uFFFD\",\"logprob\":-0.1,\"bytes\":[195]}]},"
            "{\"token\":\"\uFFFD\",\"logprob\":-9999.0,\"bytes\":[169],\"top_logprobs\":[]}],\"refusal\":null}");
}

TEST(WholeResponse, ListsCompletionLogprobsInParallel) {
  ApiCall call = Call(false);
  call.requests[0].sampling.logprobs = 1;
  const int32_t lead = IdOf("\u00c3");
  const int32_t tail = IdOf("\u00a9");
  const int32_t a = IdOf("a");
  const Choice choice{.tokens = {{.token = {lead, -0.5f}, .top = {{a, -0.25f}}, .text = ""},
                                 {.token = {tail, -1.0f}, .top = {{tail, -1.0f}}, .text = "\u00e9"},
                                 {.token = {a, -2.0f}, .top = {{a, -2.0f}}, .text = "a"}},
                      .text =
                          "\u00e9"
                          "a",
                      .finish = Finish(FinishReason::kStop)};
  const Json response = *ParseJson(WholeResponse(call, kHead, &TestTokenizer(), {&choice, 1}), "x");
  EXPECT_EQ(DumpJson(response["choices"][0]["logprobs"]),
            R"({"text_offset":[0,1,1],"token_logprobs":[-0.5,-1.0,-2.0],"tokens":["bytes:\\xc3","bytes:\\xa9","a"],)"
            R"("top_logprobs":[{"a":-0.25,"bytes:\\xc3":-0.5},{"bytes:\\xa9":-1.0},{"a":-2.0}]})");
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
