// What the engine tells, as a stream of OpenAI's chunks; and what they have in common with a response in one
// (whole_response.h).
//
//   ResponseHead head{.id = "chatcmpl-1f", .created = now, .model = "mini", .fingerprint = "plan-0123"};
//   ChunkWriter writer(call, head, tokenizer);
//   writer.OnToken(0, token)     // "data: {...}\n\n", one a token even where it has no text yet: clients count them
//   writer.OnFinish(0, finish)
//   writer.End()                 // the usage where asked for, and "data: [DONE]\n\n"
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/json.h"
#include "formats/text/tokenizer.h"
#include "runtime/engine/request.h"
#include "runtime/serve/api_error.h"
#include "runtime/serve/api_request.h"

namespace mrs::serve {

struct ResponseHead {
  std::string id;
  int64_t created = 0;  // Unix seconds
  std::string model;
  std::string fingerprint;
};

// {"id","object","created","model","system_fingerprint"}
Json HeadJson(const ResponseHead& head, const char* object);
Json UsageJson(uint64_t prompt_tokens, uint64_t completion_tokens);
const char* FinishName(const FinishEvent& finish);  // "stop" or "length"
// As vLLM: the stop string or stop token that ended the answer; null for the model's own end and for length.
Json StopReason(const FinishEvent& finish, const SamplingParams& sampling, int32_t last_token);

// The error that a finish stands for: 500 for the engine's, 503 where the server ends; nothing for stop and length.
Fault FaultOf(const FinishEvent& finish);

// One server-sent event.
std::string SseEvent(const Json& data);

// Borrows all it is given.
class ChunkWriter {
 public:
  ChunkWriter(const ApiCall& call, const ResponseHead& head, const text::Tokenizer* tokenizer);

  std::string OnToken(size_t choice, const TokenEvent& token);
  std::string OnFinish(size_t choice, const FinishEvent& finish);
  std::string End() const;

 private:
  struct State {
    bool started = false;
    size_t text_offset = 0;
    int32_t last_token = -1;
    uint64_t token_count = 0;
  };

  Json Chunk() const;
  std::string Start(size_t choice);
  std::string Part(size_t choice, const std::string& text, std::span<const TokenEvent> tokens,
                   const FinishEvent* finish);

  const ApiCall& call_;
  const ResponseHead& head_;
  const text::Tokenizer* tokenizer_;
  std::vector<State> states_;
  uint64_t prompt_tokens_ = 0;
  uint64_t completion_tokens_ = 0;
};

}  // namespace mrs::serve
