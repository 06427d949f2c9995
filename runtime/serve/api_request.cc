#include "runtime/serve/api_request.h"

#include <limits>
#include <string>
#include <utility>

#include "runtime/serve/api_fields.h"
#include "runtime/serve/api_prompt.h"
#include "runtime/serve/api_sampling.h"

namespace mrs::serve {
namespace {

constexpr int64_t kMaxLogprobs = 20;
constexpr int64_t kCompletionMaxTokens = 16;  // OpenAI's default, where the model's makers set none

Fault ParseBody(std::string_view text, const std::atomic<bool>* stop, Json* body) {
  Result<Json> parsed =
      ParseJson(text, "request body",
                {.max_bytes = kMaxBodyBytes, .max_values = kMaxBodyValues, .max_keys = kMaxBodyKeys, .stop = stop});
  if (!parsed.ok() && parsed.error().kind == ErrorKind::kUnavailable) return OutOfMemory();
  if (!parsed.ok()) return ApiError{.status = 400, .message = parsed.message(), .param = "", .code = "invalid_json"};
  if (!parsed->is_object()) {
    return ApiError{.status = 400,
                    .message = fmt::format("request body: expected a JSON object, got {}", DescribeJson(*parsed)),
                    .param = "",
                    .code = "invalid_json"};
  }
  *body = *std::move(parsed);
  return {};
}

Fault CheckModel(const ApiModel& model, const Fields& body) {
  const Json* name = body.Find("model");
  if (name == nullptr) return {};  // there is only one
  if (!name->is_string()) return BadParameter("model", "expected a string, got {}", DescribeJson(*name));
  if (*name == model.facts.name) return {};
  return ApiError{.status = 404,
                  .message = fmt::format("model: {} is not served here; this server has {}", DescribeJson(*name),
                                         DescribeJson(Json(model.facts.name))),
                  .param = "model",
                  .code = "model_not_found"};
}

// What chat and completions share.
Fault ReadCommon(const ApiModel& model, const Fields& body, uint64_t seed, ApiCall* call, SamplingParams* sampling) {
  if (Fault fault = CheckModel(model, body)) return fault;
  if (Fault fault = CheckUnsupported(body)) return fault;
  if (Fault fault = ReadFlag(body, "stream", &call->stream)) return fault;
  if (const Json* options = body.Find("stream_options")) {
    if (!options->is_object()) {
      return BadParameter("stream_options", "expected an object, got {}", DescribeJson(*options));
    }
    if (!call->stream) return BadParameter("stream_options", "is for streams only; set stream to true");
    const Fields fields(*options);
    if (Fault fault = ReadFlag(fields, "include_usage", &call->include_usage)) return fault;
    if (Fault fault = ReadFlag(fields, "continuous_usage_stats", &call->usage_so_far)) return fault;
    call->usage_so_far = call->usage_so_far && call->include_usage;
  }
  if (Fault fault = ReadFlag(body, "return_token_ids", &call->return_token_ids)) return fault;
  if (model.facts.tokenizer == nullptr) call->return_token_ids = true;  // there is nothing else to return
  return ReadSampling(model, body, seed, sampling);
}

Fault ReadMaxTokens(const Fields& body, std::string_view name, int64_t fallback, uint32_t* max_tokens) {
  int64_t value = fallback;
  if (Fault fault = ReadInteger(body, name, 1, std::numeric_limits<int32_t>::max(), &value)) return fault;
  *max_tokens = static_cast<uint32_t>(value);
  return {};
}

Fault ReadChatLogprobs(const Fields& body, SamplingParams* sampling) {
  bool wanted = false;
  int64_t count = 0;
  if (Fault fault = ReadFlag(body, "logprobs", &wanted)) return fault;
  if (Fault fault = ReadInteger(body, "top_logprobs", 0, kMaxLogprobs, &count)) return fault;
  if (count > 0 && !wanted) return BadParameter("top_logprobs", "needs logprobs set to true");
  if (wanted) sampling->logprobs = static_cast<uint32_t>(count);
  return {};
}

Fault ReadCompletionLogprobs(const Fields& body, SamplingParams* sampling) {
  int64_t count = -1;
  if (Fault fault = ReadInteger(body, "logprobs", 0, kMaxLogprobs, &count)) return fault;
  if (count >= 0) sampling->logprobs = static_cast<uint32_t>(count);
  return {};
}

}  // namespace

ApiError OutOfMemory() {
  return {.status = 503,
          .message = "there is no memory to read this request now; try again later, or send less",
          .param = "",
          .code = "out_of_memory"};
}

Fault ParseChatCall(const ApiModel& model, std::string_view text, uint64_t seed, ApiCall* call,
                    const std::atomic<bool>* stop) {
  ClearedJson json;
  SamplingParams sampling;
  call->chat = true;
  if (Fault fault = ParseBody(text, stop, &json.value)) return fault;
  const Fields body(json.value);
  if (Fault fault = ReadCommon(model, body, seed, call, &sampling)) return fault;
  // max_completion_tokens is the later name and wins; the default is the model's, else all that is left of the plan's
  // length.
  const int64_t by_default = sampling.max_tokens > 0 ? sampling.max_tokens : model.facts.max_len;
  if (Fault fault = ReadMaxTokens(body, "max_tokens", by_default, &sampling.max_tokens)) return fault;
  if (Fault fault = ReadMaxTokens(body, "max_completion_tokens", sampling.max_tokens, &sampling.max_tokens)) {
    return fault;
  }
  if (Fault fault = CheckMinTokens(body, sampling)) return fault;
  if (Fault fault = ReadChatLogprobs(body, &sampling)) return fault;
  Request request{.prompt = {}, .sampling = std::move(sampling)};
  if (Fault fault = ReadMessages(model, body, stop, &request.prompt)) return fault;
  call->requests.push_back(std::move(request));
  return {};
}

Fault ParseCompletionCall(const ApiModel& model, std::string_view text, uint64_t seed, ApiCall* call,
                          const std::atomic<bool>* stop) {
  ClearedJson json;
  SamplingParams sampling;
  if (Fault fault = ParseBody(text, stop, &json.value)) return fault;
  const Fields body(json.value);
  if (Fault fault = ReadCommon(model, body, seed, call, &sampling)) return fault;
  const int64_t by_default = sampling.max_tokens > 0 ? sampling.max_tokens : kCompletionMaxTokens;
  if (Fault fault = ReadMaxTokens(body, "max_tokens", by_default, &sampling.max_tokens)) return fault;
  if (body.Find("max_completion_tokens") != nullptr) {
    return BadParameter("max_completion_tokens", "is for chats; use max_tokens");
  }
  if (Fault fault = CheckMinTokens(body, sampling)) return fault;
  if (Fault fault = ReadCompletionLogprobs(body, &sampling)) return fault;
  std::vector<std::vector<int32_t>> prompts;
  if (Fault fault = ReadPrompts(model, body, stop, &prompts)) return fault;
  for (std::vector<int32_t>& prompt : prompts) {
    call->requests.push_back({.prompt = std::move(prompt), .sampling = sampling, .goes_on = true});
    // Prompts of one request draw differently, unless the client chose the seed.
    if (body.Find("seed") == nullptr) call->requests.back().sampling.seed = seed + call->requests.size() - 1;
  }
  return {};
}

}  // namespace mrs::serve
