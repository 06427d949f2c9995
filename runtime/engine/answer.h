// One request on its way: the tokens chosen so far, the text that may be shown of them, and whether it has ended.
//
//   Answer answer(7, std::move(request), std::move(handler), tokenizer);
//   answer.Append(sampled, eos);   // tells the handler; true when that was the last token (the handler heard Finish)
//
// Text lags behind tokens: whole characters only, and nothing that could still become a stop string. What shows text is
// made for the first token: a request that waits for its turn holds no more than what it came with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/text/detokenizer.h"
#include "plans/sha256.h"
#include "runtime/engine/request.h"
#include "runtime/engine/sampler.h"
#include "runtime/engine/stop_scanner.h"

namespace mrs {

class Answer {
 public:
  // `request.sampling.max_tokens` fits already. `tokenizer`: null for token ids only.
  Answer(RequestId id, Request request, EventHandler handler, const text::Tokenizer* tokenizer);

  RequestId id() const { return id_; }
  const Request& request() const { return request_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  // Token at a position of prompt and answer together.
  int32_t TokenAt(size_t position) const {
    return position < request_.prompt.size() ? request_.prompt[position] : tokens_[position - request_.prompt.size()];
  }
  SampleContext context() const { return {.prompt = request_.prompt, .answer = tokens_}; }

  // The logits that the next token is chosen from, [vocab]; hashed where the request asks for it.
  void HashLogits(std::span<const float> logits);

  // One more token. Returns whether the answer has ended: by an eos or stop token, a stop string, or its length.
  bool Append(const Sampled& sampled, const std::vector<int32_t>& eos);

  // Ends it from outside: kCancelled, or kError with what happened.
  void Finish(FinishReason reason, const std::string& error);

 private:
  void BeginText();
  std::string Show(int32_t id);
  std::string Rest();

  RequestId id_;
  Request request_;
  EventHandler handler_;
  const text::Tokenizer* tokenizer_;
  std::vector<int32_t> tokens_;
  std::optional<text::Detokenizer> detokenizer_;  // from the first token on
  StopScanner scanner_;
  std::optional<Sha256Stream> hash_;
};

}  // namespace mrs
