// What a front end (HTTP, --prompt) needs to know of the served model, and the three calls it may make.
//
//   RequestId id = *handle.submit(request, handler);
//   handle.cancel(id);   // the handler hears FinishReason::kCancelled
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "plans/status.h"
#include "runtime/engine/request.h"

namespace mrs {

namespace text {
struct Tokenizer;
}

// Facts of the plan, fixed before the first request.
struct ServedModel {
  std::string name;
  std::string plan_sha256;                                           // hex
  std::string chat_template;                                         // "": none
  std::vector<std::pair<std::string, std::string>> template_tokens;  // variables of the template: "eos_token", "</s>"
  uint32_t max_len = 0;                                              // prompt and answer together
  uint32_t max_seqs = 0;
  uint32_t vocab = 0;
  SamplingParams defaults = {.temperature = 1.0f, .max_tokens = 0};  // max_tokens 0: the model's makers set none
  const text::Tokenizer* tokenizer = nullptr;                        // borrowed; null: token ids only
};

enum class EngineState { kLoading, kReady, kFailed, kStopping };

// The engine as its front ends see it; every call is thread-safe. While the ranks load, requests wait.
struct EngineHandle {
  ServedModel model;
  // Refuses at once (kRefused) what can never run: an id out of range, a prompt that leaves no room; kUnavailable after
  // a failure, with the failure's text. Events come from the engine's thread.
  std::function<Result<RequestId>(Request, EventHandler)> submit;
  std::function<void(RequestId)> cancel;
  std::function<EngineState()> state;
};

}  // namespace mrs
