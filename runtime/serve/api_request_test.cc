#include "runtime/serve/api_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/text/tokenizer.h"
#include "runtime/serve/api_fields.h"
#include "runtime/serve/api_test_model.h"

namespace mrs::serve {
namespace {

using testing::HasSubstr;

ApiCall MustParse(bool chat, const std::string& body, const ApiModel& model) {
  ApiCall call;
  const Fault fault = chat ? ParseChatCall(model, body, 7, &call) : ParseCompletionCall(model, body, 7, &call);
  EXPECT_FALSE(fault.has_value()) << fault->message;
  return call;
}

std::string TextOf(const std::vector<int32_t>& ids) { return *text::Decode(TestTokenizer(), ids, false); }

TEST(ParseChatCall, RendersTheConversationAndTakesThePlansDefaults) {
  const ApiModel model = MakeApiModel(TestModel());
  const ApiCall call = MustParse(true, R"({"model":"mini","messages":[{"role":"developer","content":"Be kind."},
      {"role":"user","content":[{"type":"text","text":"Hi"},{"type":"text","text":"you"}]}]})",
                                 model);
  ASSERT_EQ(call.requests.size(), 1u);
  EXPECT_EQ(TextOf(call.requests[0].prompt), "<|system|>Be kind.<|end|><|user|>Hi\nyou<|end|><|assistant|>");
  const SamplingParams& sampling = call.requests[0].sampling;
  EXPECT_EQ(sampling.temperature, 0.7f);
  EXPECT_EQ(sampling.top_p, 0.9f);
  EXPECT_EQ(sampling.top_k, 40u);
  EXPECT_EQ(sampling.max_tokens, 64u);
  EXPECT_EQ(sampling.seed, 7u);
  EXPECT_FALSE(sampling.logprobs.has_value());
  EXPECT_FALSE(call.stream);
}

TEST(ParseChatCall, ReadsEveryParameter) {
  const ApiCall call = MustParse(true, R"({"messages":[{"role":"user","content":"Hi"}],"temperature":0.5,"top_p":0.25,
      "top_k":-1,"min_p":0.125,"presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.5,"seed":-1,
      "max_tokens":5,"max_completion_tokens":9,"ignore_eos":true,"stop":["a","b"],"stop_token_ids":[3],
      "logit_bias":{"17":-100},"logprobs":true,"top_logprobs":3,"stream":true,"stream_options":{"include_usage":true},
      "return_token_ids":true,"user":"someone","n":1,"tools":null,"response_format":{"type":"text"}})",
                                 MakeApiModel(TestModel()));
  EXPECT_TRUE(call.stream);
  EXPECT_TRUE(call.include_usage);
  EXPECT_TRUE(call.return_token_ids);
  const SamplingParams& sampling = call.requests[0].sampling;
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_p, 0.25f);
  EXPECT_EQ(sampling.top_k, 0u);
  EXPECT_EQ(sampling.min_p, 0.125f);
  EXPECT_EQ(sampling.presence_penalty, 1.0f);
  EXPECT_EQ(sampling.frequency_penalty, -1.0f);
  EXPECT_EQ(sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(sampling.seed, UINT64_MAX);
  EXPECT_EQ(sampling.max_tokens, 9u);
  EXPECT_TRUE(sampling.ignore_eos);
  EXPECT_EQ(sampling.stop.texts(), (std::vector<std::string>{"a", "b"}));
  EXPECT_THAT(sampling.stop_token_ids, testing::ElementsAre(3));
  EXPECT_THAT(sampling.logit_bias, testing::ElementsAre(testing::Pair(17, -100.0f)));
  EXPECT_EQ(sampling.logprobs, 3u);
}

TEST(ParseChatCall, HandsChatTemplateVariablesOn) {
  ServedModel facts = TestModel();
  facts.chat_template = "{{ greeting }}{{ eos_token }}";
  const ApiCall call =
      MustParse(true, R"({"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"greeting":"Hello"}})",
                MakeApiModel(facts));
  EXPECT_EQ(TextOf(call.requests[0].prompt), "Hello<|end|>");
}

// What generation_config.json said, where the request does not.
TEST(ParseChatCall, TakesEverySamplingDefaultOfThePlan) {
  ServedModel facts = TestModel();
  facts.defaults = {.temperature = 0.5f,
                    .top_k = 3,
                    .top_p = 0.75f,
                    .min_p = 0.25f,
                    .repetition_penalty = 1.5f,
                    .presence_penalty = 0.5f,
                    .frequency_penalty = -0.5f,
                    .max_tokens = 9,
                    .stop = {"END"}};
  const ApiModel model = MakeApiModel(facts);
  const auto check = [](const SamplingParams& sampling) {
    EXPECT_EQ(sampling.temperature, 0.5f);
    EXPECT_EQ(sampling.top_k, 3u);
    EXPECT_EQ(sampling.top_p, 0.75f);
    EXPECT_EQ(sampling.min_p, 0.25f);
    EXPECT_EQ(sampling.repetition_penalty, 1.5f);
    EXPECT_EQ(sampling.presence_penalty, 0.5f);
    EXPECT_EQ(sampling.frequency_penalty, -0.5f);
    EXPECT_EQ(sampling.max_tokens, 9u);
    EXPECT_EQ(sampling.stop.texts(), (std::vector<std::string>{"END"}));
  };
  const std::string chat = R"({"messages":[{"role":"user","content":"Hi"}])";
  check(MustParse(true, chat + "}", model).requests[0].sampling);
  check(MustParse(false, R"({"prompt":"Once"})", model).requests[0].sampling);
  const SamplingParams sampling =
      MustParse(true, chat + R"(,"max_tokens":5,"min_p":0,"presence_penalty":0,"frequency_penalty":1,"stop":["a"]})",
                model)
          .requests[0]
          .sampling;
  EXPECT_EQ(sampling.max_tokens, 5u);
  EXPECT_EQ(sampling.min_p, 0.0f);
  EXPECT_EQ(sampling.presence_penalty, 0.0f);
  EXPECT_EQ(sampling.frequency_penalty, 1.0f);
  EXPECT_EQ(sampling.stop.texts(), (std::vector<std::string>{"a"}));
  EXPECT_TRUE(MustParse(true, chat + R"(,"stop":[]})", model).requests[0].sampling.stop.empty());
}

TEST(ParseChatCall, ATemplateSeesEveryNamedToken) {
  ServedModel facts = TestModel();
  facts.chat_template = "{{ bos_token }}|{{ pad_token }}|{{ unk_token is defined }}|{{ eos_token }}";
  facts.template_tokens = {{"bos_token", "<|user|>"}, {"eos_token", "<|end|>"}, {"pad_token", "<|system|>"}};
  const char* body = R"({"messages":[{"role":"user","content":"x"}]})";
  EXPECT_EQ(TextOf(MustParse(true, body, MakeApiModel(facts)).requests[0].prompt), "<|user|>|<|system|>|False|<|end|>");
  ApiCall call;
  EXPECT_EQ(ParseChatCall(MakeApiModel(facts),
                          R"({"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"pad_token":"y"}})", 0,
                          &call)
                ->message,
            "chat_template_kwargs: \"pad_token\" cannot be set here");
}

TEST(ParseChatCall, ATemplateThatGoesThroughPartsGetsParts) {
  ServedModel facts = TestModel();
  facts.chat_template =
      "{% for m in messages %}[{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}]"
      "{% endfor %}";
  const auto prompt = [&](const std::string& messages) {
    return TextOf(MustParse(true, R"({"messages":[)" + messages + "]}", MakeApiModel(facts)).requests[0].prompt);
  };
  const std::string parts = R"({"role":"user","content":[{"type":"text","text":"AAA"},{"type":"text","text":"BBB"}]})";
  EXPECT_EQ(prompt(parts), "[AAABBB]");
  EXPECT_EQ(prompt(R"({"role":"user","content":"AAA"})"), "[AAA]");
  EXPECT_EQ(prompt(R"({"role":"user","content":"A"},{"role":"assistant","content":null})"), "[A][]");
  facts.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}";
  EXPECT_EQ(prompt(parts), "[AAA\nBBB]");
  EXPECT_EQ(prompt(R"({"role":"user","content":"A"},{"role":"assistant","content":null})"), "[A][]");
}

TEST(ParseChatCall, AStopThatIsASpecialTokenMeansTheToken) {
  const ApiModel model = MakeApiModel(TestModel());
  const auto with = [](const std::string& fields) {
    return R"({"messages":[{"role":"user","content":"Hi"}],)" + fields + "}";
  };
  const SamplingParams sampling =
      MustParse(true, with(R"("stop":["the","<|user|>"],"stop_token_ids":[7])"), model).requests[0].sampling;
  EXPECT_EQ(sampling.stop.texts(), (std::vector<std::string>{"the", "<|user|>"}));
  EXPECT_EQ(std::vector<int32_t>(sampling.stop_token_ids.begin(), sampling.stop_token_ids.end()),
            (std::vector<int32_t>{7, 3}));
  ApiCall call;
  EXPECT_EQ(ParseChatCall(model, with(R"("stop":"a<|user|>")"), 0, &call)->message,
            "stop: \"a<|user|>\" holds the special token \"<|user|>\", which no answer shows; use stop_token_ids: [3]");
  ServedModel facts = TestModel();
  facts.defaults.stop = {"<|end|>"};
  const ApiModel own = MakeApiModel(facts);
  EXPECT_EQ(*MustParse(true, with(R"("top_k":5)"), own).requests[0].sampling.stop_token_ids.begin(), 5);
}

TEST(ParseCompletionCall, TakesEachKindOfPrompt) {
  const ApiModel model = MakeApiModel(TestModel());
  EXPECT_EQ(MustParse(false, R"({"prompt":"Once"})", model).requests[0].sampling.max_tokens, 16u);
  EXPECT_THAT(TextOf(MustParse(false, R"({"prompt":"Once"})", model).requests[0].prompt), HasSubstr("Once"));
  EXPECT_EQ(MustParse(false, R"({"prompt":[5,6,7]})", model).requests[0].prompt, (std::vector<int32_t>{5, 6, 7}));
  const ApiCall texts = MustParse(false, R"({"prompt":["a","b"]})", model);
  ASSERT_EQ(texts.requests.size(), 2u);
  EXPECT_EQ(texts.requests[0].sampling.seed, 7u);
  EXPECT_EQ(texts.requests[1].sampling.seed, 8u);
  const ApiCall lists = MustParse(false, R"({"prompt":[[1,2],[3]],"seed":4,"logprobs":0})", model);
  ASSERT_EQ(lists.requests.size(), 2u);
  EXPECT_EQ(lists.requests[1].prompt, std::vector<int32_t>{3});
  EXPECT_EQ(lists.requests[1].sampling.seed, 4u);
  EXPECT_EQ(lists.requests[1].sampling.logprobs, 0u);
}

TEST(ParseCompletionCall, WithoutATokenizerTakesAndReturnsTokenIds) {
  ServedModel facts = TestModel();
  facts.tokenizer = nullptr;
  const ApiModel model = MakeApiModel(facts);
  EXPECT_TRUE(MustParse(false, R"({"prompt":[5]})", model).return_token_ids);
  ApiCall call;
  EXPECT_EQ(ParseCompletionCall(model, R"({"prompt":"a"})", 0, &call)->message,
            "prompt: this model has no tokenizer; send a list of token ids");
  EXPECT_EQ(ParseCompletionCall(model, R"({"prompt":[5],"stop":"a"})", 0, &call)->message,
            "stop: this model has no tokenizer; use stop_token_ids");
  EXPECT_EQ(ParseChatCall(model, R"({"messages":[{"role":"user","content":"a"}]})", 0, &call)->message,
            "messages: this model has no tokenizer; send token ids to /v1/completions");
}

TEST(ParseChatCall, WithoutATemplatePointsToCompletions) {
  ServedModel facts = TestModel();
  facts.chat_template = "";
  ApiCall call;
  EXPECT_EQ(ParseChatCall(MakeApiModel(facts), R"({"messages":[{"role":"user","content":"a"}]})", 0, &call)->message,
            "messages: this model has no chat template; use /v1/completions");
}

struct Refusal {
  const char* fields;  // beside a good prompt or conversation
  const char* param;
  const char* message;
};

void ExpectRefusals(bool chat, const std::string& good, std::span<const Refusal> refusals) {
  const ApiModel model = MakeApiModel(TestModel());
  for (const Refusal& refusal : refusals) {
    const std::string body = fmt::format("{{{}{}}}", refusal.fields, good);
    ApiCall call;
    const Fault fault = chat ? ParseChatCall(model, body, 0, &call) : ParseCompletionCall(model, body, 0, &call);
    ASSERT_TRUE(fault.has_value()) << body;
    EXPECT_EQ(fault->message, refusal.message) << body;
    EXPECT_EQ(fault->param, refusal.param) << body;
  }
}

TEST(ParseChatCall, RefusesBadParametersByName) {
  const Refusal refusals[] = {
      {R"("temperature":-1)", "temperature", "temperature: expected a number from 0 to 100, got -1"},
      {R"("temperature":"hot")", "temperature", R"(temperature: expected a number from 0 to 100, got "hot")"},
      {R"("temperature":1e300)", "temperature", "temperature: expected a number from 0 to 100, got 1e+300"},
      {R"("top_p":0)", "top_p", "top_p: expected a number above 0 and at most 1, got 0"},
      {R"("top_p":1.5)", "top_p", "top_p: expected a number above 0 and at most 1, got 1.5"},
      {R"("top_k":-2)", "top_k", "top_k: expected an integer from -1 to 2147483647, got -2"},
      {R"("top_k":1.5)", "top_k", "top_k: expected an integer from -1 to 2147483647, got 1.5"},
      {R"("min_p":2)", "min_p", "min_p: expected a number from 0 to 1, got 2"},
      {R"("presence_penalty":3)", "presence_penalty", "presence_penalty: expected a number from -2 to 2, got 3"},
      {R"("frequency_penalty":-3)", "frequency_penalty", "frequency_penalty: expected a number from -2 to 2, got -3"},
      {R"("repetition_penalty":0)", "repetition_penalty",
       "repetition_penalty: expected a number from 0.01 to 100, got 0"},
      {R"("max_tokens":0)", "max_tokens", "max_tokens: expected an integer from 1 to 2147483647, got 0"},
      {R"("max_tokens":99999999999999999999)", "max_tokens",
       "max_tokens: expected an integer from 1 to 2147483647, got 1e+20"},
      {R"("max_completion_tokens":-5)", "max_completion_tokens",
       "max_completion_tokens: expected an integer from 1 to 2147483647, got -5"},
      {R"("seed":1.5)", "seed", "seed: expected an integer, got 1.5"},
      {R"("stop":7)", "stop", "stop: expected a string or a list of strings, got 7"},
      {R"("seed":1e300)", "seed", "seed: expected an integer, got 1e+300"},
      {R"("min_tokens":3)", "min_tokens", "min_tokens: 3 is supported only with ignore_eos and without stops"},
      {R"("min_tokens":3,"ignore_eos":true,"stop":"a")", "min_tokens",
       "min_tokens: 3 is supported only with ignore_eos and without stops"},
      {R"("min_tokens":9,"ignore_eos":true,"max_tokens":8)", "min_tokens",
       "min_tokens: expected an integer from 0 to 8, got 9"},
      {R"("stop":"")", "stop", R"(stop: expected strings of 1 to 1024 bytes, got "")"},
      {R"("stop_token_ids":[1000])", "stop_token_ids[0]",
       "stop_token_ids[0]: expected a token id from 0 to 999, got 1000"},
      {R"("logit_bias":{"x":1})", "logit_bias", R"(logit_bias: expected a token id from 0 to 999 as the key, got "x")"},
      {R"("logit_bias":{"1":101})", "logit_bias", "logit_bias: expected a bias from -100 to 100 for token 1, got 101"},
      {R"("logit_bias":{"1":1,"01":2})", "logit_bias", "logit_bias: token 1 appears twice"},
      {R"("logprobs":5)", "logprobs", "logprobs: expected true or false, got 5"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs",
       "top_logprobs: expected an integer from 0 to 20, got 21"},
      {R"("top_logprobs":2)", "top_logprobs", "top_logprobs: needs logprobs set to true"},
      {R"("stream":"yes")", "stream", R"(stream: expected true or false, got "yes")"},
      {R"("stream_options":{})", "stream_options", "stream_options: is for streams only; set stream to true"},
      {R"("n":2)", "n", "n: 2 is not supported; leave it out"},
      {R"("tools":[{"type":"function"}])", "tools", R"(tools: [{"type":"function"}] is not supported; leave it out)"},
      {R"("response_format":{"type":"json_object"})", "response_format",
       R"(response_format: {"type":"json_object"} is not supported; leave it out)"},
      {R"("grammar":"root ::= a")", "grammar", R"(grammar: "root ::= a" is not supported; leave it out)"},
      {R"("model":5)", "model", "model: expected a string, got 5"},
      {R"("model":"other")", "model", R"(model: "other" is not served here; this server has "mini")"},
      {R"("chat_template_kwargs":{"messages":1})", "chat_template_kwargs",
       R"(chat_template_kwargs: "messages" cannot be set here)"},
  };
  ExpectRefusals(true, R"(,"messages":[{"role":"user","content":"Hi"}])", refusals);
}

TEST(ParseChatCall, RefusesBadMessagesByPlace) {
  const Refusal refusals[] = {
      {R"("user":"x")", "messages", "messages: is missing; expected a list of messages"},
      {R"("messages":[])", "messages", "messages: expected a list of at least one message, got an array of 0 values"},
      {R"("messages":["Hi"])", "messages[0]", R"(messages[0]: expected an object, got "Hi")"},
      {R"("messages":[{"content":"Hi"}])", "messages[0].role",
       "messages[0].role: is missing; expected system, developer, user or assistant"},
      {R"("messages":[{"role":"king","content":"Hi"}])", "messages[0].role",
       R"(messages[0].role: expected system, developer, user or assistant, got "king")"},
      {R"("messages":[{"role":"tool","content":"Hi"}])", "messages[0].role",
       R"(messages[0].role: "tool" is not supported; tools come later)"},
      {R"("messages":[{"role":"user"}])", "messages[0].content",
       "messages[0].content: is missing or null; expected a string or a list of text parts"},
      {R"("messages":[{"role":"user","content":3}])", "messages[0].content",
       "messages[0].content: expected a string or a list of text parts, got 3"},
      {R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
       "messages[0].content[0].type",
       R"(messages[0].content[0].type: "image_url" is not supported; this server takes text only)"},
      {R"("messages":[{"role":"assistant","content":"a","tool_calls":[{}]}])", "messages[0].tool_calls",
       "messages[0].tool_calls: is not supported; tools come later"},
      {R"("messages":[{"role":"assistant","content":"a","function_call":{"name":"f"}}])", "messages[0].function_call",
       "messages[0].function_call: is not supported; tools come later"},
  };
  ExpectRefusals(true, "", refusals);
}

TEST(ParseCompletionCall, RefusesBadPromptsByPlace) {
  const Refusal refusals[] = {
      {R"("user":"x")", "prompt",
       "prompt: is missing; expected a string, a list of strings, token ids, or lists of token ids"},
      {R"("prompt":5)", "prompt",
       "prompt: expected a string, a list of strings, token ids, or lists of token ids, got 5"},
      {R"("prompt":[])", "prompt", "prompt: has no tokens"},
      {R"("prompt":[1,-1])", "prompt[1]", "prompt[1]: expected a token id from 0 to 999, got -1"},
      {R"("prompt":[1,1000])", "prompt[1]", "prompt[1]: expected a token id from 0 to 999, got 1000"},
      {R"("prompt":[1,"a"])", "prompt[1]", R"(prompt[1]: expected a token id from 0 to 999, got "a")"},
      {R"("prompt":[[1],[]])", "prompt[1]", "prompt[1]: has no tokens"},
      {R"("prompt":["a",{}])", "prompt[1]",
       "prompt[1]: expected a string, a list of strings, token ids, or lists of token ids, got an object of 0 keys"},
      {R"("prompt":"a","logprobs":true)", "logprobs", "logprobs: expected an integer from 0 to 20, got true"},
      {R"("prompt":"a","logprobs":21)", "logprobs", "logprobs: expected an integer from 0 to 20, got 21"},
      {R"("prompt":"a","best_of":3)", "best_of", "best_of: 3 is not supported; leave it out"},
      {R"("prompt":"a","echo":true)", "echo", "echo: true is not supported; leave it out"},
      {R"("prompt":"a","max_completion_tokens":3)", "max_completion_tokens",
       "max_completion_tokens: is for chats; use max_tokens"},
      {R"("prompt":"a","suffix":"b")", "suffix", R"(suffix: "b" is not supported; leave it out)"},
  };
  ExpectRefusals(false, "", refusals);
}

TEST(ParseCompletionCall, RefusesAPromptThatLeavesNoRoom) {
  std::string list = "1";
  for (int i = 1; i < 64; ++i) list += ",1";
  ApiCall call;
  const Fault fault = ParseCompletionCall(MakeApiModel(TestModel()), "{\"prompt\":[" + list + "]}", 0, &call);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(
      fault->message,
      "prompt: this model's maximum context length is 64 tokens, prompt and answer together, and 64 tokens leave no "
      "room for an answer (context_length_exceeded); send less");
  EXPECT_EQ(fault->code, "context_length_exceeded");
  // So long a text is refused before a tokenizer sees it.
  const std::string text(1 << 20, 'a');
  EXPECT_THAT(ParseCompletionCall(MakeApiModel(TestModel()), "{\"prompt\":\"" + text + "\"}", 0, &call)->message,
              HasSubstr("1048576 bytes leave no room"));
  const std::string message = R"({"role":"user","content":")" + text.substr(0, 3000) + "\"}";
  EXPECT_THAT(
      ParseChatCall(MakeApiModel(TestModel()), "{\"messages\":[" + message + "," + message + "]}", 0, &call)->message,
      HasSubstr("6000 bytes leave no room"));
}

TEST(ParseCompletionCall, TakesWhatBenchmarksSend) {
  const ApiModel model = MakeApiModel(TestModel());
  const ApiCall call =
      MustParse(false, R"({"prompt":"a","max_tokens":8.0,"seed":3.0,"n":1.0,"min_tokens":8,"ignore_eos":true,
      "stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}})",
                model);
  EXPECT_EQ(call.requests[0].sampling.max_tokens, 8u);
  EXPECT_EQ(call.requests[0].sampling.seed, 3u);
  EXPECT_TRUE(call.usage_so_far);
  EXPECT_TRUE(call.requests[0].goes_on);
  std::string stops = "\"s\"";
  for (int i = 1; i < 64; ++i) stops += ",\"s\"";
  EXPECT_EQ(MustParse(false, R"({"prompt":"a","stop":[)" + stops + "]}", model).requests[0].sampling.stop.size(), 64u);
  const std::string kilobyte = "\"" + std::string(1024, 's') + "\"";
  ApiCall refused;
  EXPECT_EQ(
      ParseCompletionCall(
          model, R"({"prompt":"a","stop":[)" + kilobyte + "," + kilobyte + "," + kilobyte + "," + kilobyte + ",\"s\"]}",
          0, &refused)
          ->message,
      "stop: 4097 bytes of stop strings, at most 4096 are accepted");
  EXPECT_EQ(ParseCompletionCall(model, R"({"prompt":"a","stop":["s",)" + stops + "]}", 0, &refused)->message,
            "stop: 65 stop strings, at most 64 are accepted");
}

TEST(ParseChatCall, AnAssistantMayHaveSaidNothing) {
  const ApiModel model = MakeApiModel(TestModel());
  const ApiCall call = MustParse(
      true,
      R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null},{"role":"user","content":"a"}]})",
      model);
  EXPECT_EQ(TextOf(call.requests[0].prompt), "<|user|>Hi<|end|><|assistant|><|end|><|user|>a<|end|><|assistant|>");
  EXPECT_FALSE(call.requests[0].goes_on);
}

// usage_so_far is for streams that ask for the usage; alone, continuous_usage_stats asks for nothing, as in vLLM.
TEST(ParseCompletionCall, ContinuousUsageStatsAloneAsksForNothing) {
  const ApiCall call =
      MustParse(false, R"({"prompt":"a","stream":true,"stream_options":{"continuous_usage_stats":true}})",
                MakeApiModel(TestModel()));
  EXPECT_FALSE(call.include_usage);
  EXPECT_FALSE(call.usage_so_far);
}

TEST(Fields, FindsEachKeyAndTakesNullForAbsent) {
  std::string text = "{\"nil\":null";
  for (int i = 0; i < 2000; ++i) text += fmt::format(",\"k{}\":{}", i, i);
  const Json json = *ParseJson(text + "}", "x");
  const Fields fields(json);
  EXPECT_EQ(fields.size(), 2000u);
  EXPECT_EQ(*fields.Find("k0"), 0);
  EXPECT_EQ(*fields.Find("k1999"), 1999);
  EXPECT_EQ(fields.Find("k2000"), nullptr);
  EXPECT_EQ(fields.Find("nil"), nullptr);
  EXPECT_EQ(Fields(Json::array({1})).size(), 0u);
}

std::string Repeated(const std::string& item, size_t count) {
  std::string list = item;
  for (size_t i = 1; i < count; ++i) list += "," + item;
  return list;
}

// A body is refused where it passes a limit: what follows it, which is no JSON, is not read any more.
TEST(ParseCompletionCall, RefusesAManyFieldedBodyBeforeItCosts) {
  const ApiModel model = MakeApiModel(TestModel());
  std::string keys = "{\"prompt\":\"x\"";
  size_t limit_at = 0;
  for (int i = 0; i < 4000; ++i) {
    keys += fmt::format(",\"{:x}\"", i);
    if (i == 2047) limit_at = keys.size();
    keys += ":0";
  }
  ApiCall call;
  Fault fault = ParseCompletionCall(model, keys + "!", 0, &call);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->message,
            fmt::format("request body: line 1, column {}: more than 2048 keys in one object", limit_at));
  fault = ParseCompletionCall(model, "{\"prompt\":[" + Repeated("0", 1'200'000) + "!", 0, &call);
  ASSERT_TRUE(fault.has_value());
  EXPECT_THAT(fault->message, HasSubstr("more than 1100000 values"));
  EXPECT_EQ(fault->code, "invalid_json");
}

// Each list has a limit of its own, and what they come to together has one.
TEST(ParseCompletionCall, BoundsTheTokensOfAllPrompts) {
  ServedModel facts = TestModel();
  facts.max_len = 8192;
  const ApiModel model = MakeApiModel(facts);
  const std::string prompt = "[" + Repeated("1", 4000) + "]";
  ApiCall call;
  EXPECT_FALSE(ParseCompletionCall(model, "{\"prompt\":[" + Repeated(prompt, 250) + "]}", 0, &call).has_value());
  const Fault fault = ParseCompletionCall(model, "{\"prompt\":[" + Repeated(prompt, 251) + "]}", 0, &call);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->message, "prompt: 1004000 tokens in the first 251 prompts, at most 1000000 are accepted in all");
  EXPECT_EQ(ParseCompletionCall(model, "{\"prompt\":[" + Repeated("[1]", 257) + "]}", 0, &call)->message,
            "prompt: 257 prompts, at most 256 are accepted");
}

TEST(ParseChatCall, BoundsMessagesAndTheirParts) {
  ServedModel facts = TestModel();
  facts.max_len = 8192;
  const ApiModel model = MakeApiModel(facts);
  ApiCall call;
  EXPECT_EQ(ParseChatCall(model, "{\"messages\":[" + Repeated("{}", 16385) + "]}", 0, &call)->message,
            "messages: 16385 messages, at most 16384 are accepted");
  const std::string parts = Repeated(R"({"type":"text","text":""})", 8193);
  const std::string message = R"({"role":"user","content":[)" + parts + "]}";
  EXPECT_EQ(ParseChatCall(model, "{\"messages\":[" + message + "," + message + "]}", 0, &call)->message,
            "messages[1].content: the messages have more than 16384 parts so far; send fewer, longer ones");
}

// 256 prompts with 64 stop strings, 1024 stop tokens and 1024 biases: one list of each.
TEST(ParseCompletionCall, PromptsOfOneRequestShareItsLists) {
  const ApiModel model = MakeApiModel(TestModel());
  std::string biases = "\"0\":1";
  for (int i = 1; i < 1000; ++i) biases += fmt::format(",\"{}\":1", i);
  const ApiCall call =
      MustParse(false,
                "{\"prompt\":[" + Repeated("[1]", 256) + R"(],"stop":["ab","abc"],"stop_token_ids":[)" +
                    Repeated("7", 1024) + "],\"logit_bias\":{" + biases + "}}",
                model);
  ASSERT_EQ(call.requests.size(), 256u);
  const SamplingParams& first = call.requests[0].sampling;
  for (const Request& request : call.requests) {
    EXPECT_EQ(&request.sampling.stop.texts(), &first.stop.texts());
    EXPECT_TRUE(request.sampling.stop_token_ids.shares(first.stop_token_ids));
    EXPECT_TRUE(request.sampling.logit_bias.shares(first.logit_bias));
  }
  EXPECT_FALSE(first.stop.is_built());
}

TEST(ParseCall, StopsWhenNobodyWaitsAnyMore) {
  ServedModel facts = TestModel();
  facts.chat_template = "{% for i in range(4000000) %}{% endfor %}Hi";
  const ApiModel model = MakeApiModel(facts);
  const std::atomic<bool> stop = true;
  ApiCall call;
  const Fault fault = ParseChatCall(model, R"({"messages":[{"role":"user","content":"a"}]})", 0, &call, &stop);
  ASSERT_TRUE(fault.has_value());
  EXPECT_THAT(fault->message, HasSubstr("is not needed any more"));
  EXPECT_TRUE(call.requests.empty());
}

TEST(ParseChatCall, NamesThePlaceOfBadJson) {
  const ApiModel model = MakeApiModel(TestModel());
  ApiCall call;
  const Fault cut = ParseChatCall(model, "{\"messages\":[\n  {\"role\" \"user\"}]}", 0, &call);
  ASSERT_TRUE(cut.has_value());
  EXPECT_EQ(cut->code, "invalid_json");
  EXPECT_THAT(cut->message, HasSubstr("request body: line 2, column "));
  EXPECT_EQ(ParseChatCall(model, "[1]", 0, &call)->message,
            "request body: expected a JSON object, got an array of 1 values");
  EXPECT_THAT(ParseChatCall(model, std::string(1000, '['), 0, &call)->message,
              HasSubstr("nested deeper than 64 levels"));
  EXPECT_EQ(ParseChatCall(model, R"({"model":"other"})", 0, &call)->status, 404);
}

}  // namespace
}  // namespace mrs::serve
