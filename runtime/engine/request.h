// What a client asks of the engine, and what it hears back: the border between serving (HTTP, --prompt) and running.
//
//   engine.Submit({.prompt = ids, .sampling = {.max_tokens = 16}}, [](const Event& e) { ... });
//
// Events of one request come in order, from the engine's thread: any number of Tokens, then exactly one Finish.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/shared_list.h"
#include "runtime/engine/stop_scanner.h"

namespace mrs {

struct SamplingParams {
  float temperature = 0.0f;  // 0: greedy
  uint32_t top_k = 0;        // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // over prompt and answer
  float presence_penalty = 0.0f;    // over the answer
  float frequency_penalty = 0.0f;
  SharedList<std::pair<int32_t, float>> logit_bias = {};
  uint64_t seed = 0;  // the draw at position p depends on (seed, p) alone
  uint32_t max_tokens = 16;
  bool ignore_eos = false;
  StopStrings stop = {};                    // texts; not part of the answer
  SharedList<int32_t> stop_token_ids = {};  // beside the model's own eos
  std::optional<uint32_t> logprobs = {};    // number of alternatives a token, 0..20; absent: none
  bool logits_hash = false;                 // SHA-256 over all logits of the request (gathers them)
};

// Hears the logits [vocab] that each token is chosen from, on the engine's thread.
using LogitsHandler = std::function<void(std::span<const float>)>;

struct Request {
  std::vector<int32_t> prompt = {};  // not empty
  SamplingParams sampling = {};
  bool goes_on = false;  // the answer's text goes on where the prompt's ends; else it is a text of its own (a chat's)
  LogitsHandler on_logits = {};  // absent: none; called only where sampling.logits_hash is set, too
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;  // of the model's own distribution, before temperature and penalties
};

// One token was chosen. Text may lag behind: whole characters only, and nothing that could still become a stop string.
struct TokenEvent {
  TokenLogprob token;
  std::vector<TokenLogprob> top;  // sorted, best first; as many as asked for
  std::string text;               // what can be shown now; "" without a tokenizer
};

enum class FinishReason { kStop, kLength, kCancelled, kError };

struct FinishEvent {
  FinishReason reason = FinishReason::kStop;
  std::string text;           // the rest of the text that was held back
  std::string stop_text;      // the stop string that ended it, or ""
  std::string error;          // kError: what happened, naming rank and step where there is one
  std::string logits_sha256;  // hex, where asked for
  uint32_t prompt_tokens = 0;
  uint32_t completion_tokens = 0;
};

struct Event {
  std::optional<TokenEvent> token;
  std::optional<FinishEvent> finish;
};

using RequestId = uint64_t;
using EventHandler = std::function<void(const Event&)>;

}  // namespace mrs
