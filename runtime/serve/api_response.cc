#include "runtime/serve/api_response.h"

#include <algorithm>

#include "runtime/serve/api_logprobs.h"

namespace mrs::serve {
namespace {

Json IdsJson(std::span<const int32_t> ids) {
  Json list = Json::array();
  for (const int32_t id : ids) list.push_back(id);
  return list;
}

Json IdsJson(std::span<const TokenEvent> tokens) {
  Json list = Json::array();
  for (const TokenEvent& token : tokens) list.push_back(token.token.id);
  return list;
}

Json LogprobsJson(const ApiCall& call, std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer,
                  size_t* text_offset) {
  if (!call.requests[0].sampling.logprobs.has_value()) return nullptr;
  return call.chat ? ChatLogprobs(tokens, tokenizer) : CompletionLogprobs(tokens, tokenizer, text_offset);
}

}  // namespace

Json HeadJson(const ResponseHead& head, const char* object) {
  Json json = Json::object();
  json["id"] = head.id;
  json["object"] = object;
  json["created"] = head.created;
  json["model"] = head.model;
  json["system_fingerprint"] = head.fingerprint;
  return json;
}

Json UsageJson(uint64_t prompt_tokens, uint64_t completion_tokens) {
  Json usage = Json::object();
  usage["prompt_tokens"] = prompt_tokens;
  usage["completion_tokens"] = completion_tokens;
  usage["total_tokens"] = prompt_tokens + completion_tokens;
  return usage;
}

const char* FinishName(const FinishEvent& finish) { return finish.reason == FinishReason::kLength ? "length" : "stop"; }

Json StopReason(const FinishEvent& finish, const SamplingParams& sampling, int32_t last_token) {
  if (!finish.stop_text.empty()) return finish.stop_text;
  const auto& ids = sampling.stop_token_ids;
  const bool stopped =
      finish.reason == FinishReason::kStop && std::find(ids.begin(), ids.end(), last_token) != ids.end();
  return stopped ? Json(last_token) : Json();
}

Fault FaultOf(const FinishEvent& finish) {
  if (finish.reason == FinishReason::kError) {
    return ApiError{.status = 500, .message = finish.error, .param = "", .code = "engine_failed"};
  }
  if (finish.reason == FinishReason::kCancelled) {
    return ApiError{.status = 503,
                    .message = finish.error.empty() ? "the server is shutting down"
                                                    : fmt::format("the server is shutting down: {}", finish.error),
                    .param = "",
                    .code = "shutting_down"};
  }
  return {};
}

std::string SseEvent(const Json& data) { return "data: " + DumpJson(data) + "\n\n"; }

ChunkWriter::ChunkWriter(const ApiCall& call, const ResponseHead& head, const text::Tokenizer* tokenizer)
    : call_(call), head_(head), tokenizer_(tokenizer), states_(call.requests.size()) {}

Json ChunkWriter::Chunk() const {
  Json chunk = HeadJson(head_, call_.chat ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = Json::array();
  if (call_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

// The first chunk of a chat names the role; in both kinds the first carries the prompt's ids.
std::string ChunkWriter::Start(size_t choice) {
  if (states_[choice].started) return "";
  states_[choice].started = true;
  if (!call_.chat && !call_.return_token_ids) return "";
  Json chunk = Chunk();
  Json json = Json::object();
  json["index"] = choice;
  if (call_.chat) {
    json["delta"] = Json::object({{"role", "assistant"}, {"content", ""}});
    if (call_.return_token_ids) chunk["prompt_token_ids"] = IdsJson(call_.requests[choice].prompt);
  } else {
    json["text"] = "";
    json["prompt_token_ids"] = IdsJson(call_.requests[choice].prompt);
    json["token_ids"] = Json::array();
  }
  json["logprobs"] = nullptr;
  json["finish_reason"] = nullptr;
  chunk["choices"].push_back(std::move(json));
  return SseEvent(chunk);
}

std::string ChunkWriter::Part(size_t choice, const std::string& text, std::span<const TokenEvent> tokens,
                              const FinishEvent* finish) {
  Json json = Json::object();
  json["index"] = choice;
  if (call_.chat) {
    json["delta"] = text.empty() && finish != nullptr ? Json::object() : Json::object({{"content", text}});
  } else {
    json["text"] = text;
  }
  json["logprobs"] = tokens.empty() ? Json() : LogprobsJson(call_, tokens, tokenizer_, &states_[choice].text_offset);
  json["finish_reason"] = finish != nullptr ? Json(FinishName(*finish)) : Json();
  if (finish != nullptr) {
    json["stop_reason"] = StopReason(*finish, call_.requests[choice].sampling, states_[choice].last_token);
  }
  if (call_.return_token_ids) json["token_ids"] = IdsJson(tokens);
  Json chunk = Chunk();
  chunk["choices"].push_back(std::move(json));
  if (call_.usage_so_far) {
    chunk["usage"] = UsageJson(call_.requests[choice].prompt.size(), states_[choice].token_count);
  }
  return SseEvent(chunk);
}

std::string ChunkWriter::OnToken(size_t choice, const TokenEvent& token) {
  std::string events = Start(choice);
  states_[choice].last_token = token.token.id;
  ++states_[choice].token_count;
  return events + Part(choice, token.text, {&token, 1}, nullptr);
}

std::string ChunkWriter::OnFinish(size_t choice, const FinishEvent& finish) {
  prompt_tokens_ += finish.prompt_tokens;
  completion_tokens_ += finish.completion_tokens;
  if (const Fault fault = FaultOf(finish)) {
    Json event = Json::object();
    event["error"] = ErrorObject(*fault);
    return SseEvent(event);
  }
  return Start(choice) + Part(choice, finish.text, {}, &finish);
}

std::string ChunkWriter::End() const {
  std::string events;
  if (call_.include_usage) {
    Json chunk = Chunk();
    chunk["usage"] = UsageJson(prompt_tokens_, completion_tokens_);
    events = SseEvent(chunk);
  }
  return events + "data: [DONE]\n\n";
}

}  // namespace mrs::serve
