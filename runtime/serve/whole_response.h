// A response that is not streamed: what it will show is kept until all is there, and then written piece by piece, so
// that nobody waits while a long one is built.
//
//   choices[0].Add(token, call); ...                       // as the events come
//   WholeResponse response(std::move(call), head, tokenizer, std::move(choices), std::move(hold));
//   while (!response.done()) Send(response.Next());         // {"id":"chatcmpl-1f","object":"chat.completion",...}
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/tokenizer.h"
#include "runtime/engine/request.h"
#include "runtime/serve/api_request.h"
#include "runtime/serve/api_response.h"
#include "runtime/serve/byte_budget.h"

namespace mrs::serve {

// One prompt's answer so far: of its tokens no more than the response returns.
struct Choice {
  std::string text;
  int32_t last_token = -1;
  std::vector<TokenLogprob> tokens;  // where ids or log-probabilities are asked for
  std::vector<TokenLogprob> top;     // of all tokens, one after the other
  std::vector<size_t> top_end;       // where each token's end; with log-probabilities only
  std::optional<FinishEvent> finish;

  void Add(const TokenEvent& token, const ApiCall& call);
  size_t bytes() const;  // of memory
};

class WholeResponse {
 public:
  // All choices have finished, none with an error. `hold`: of what the choices keep.
  WholeResponse(ApiCall call, ResponseHead head, const text::Tokenizer* tokenizer, std::vector<Choice> choices,
                ByteHold hold);

  // At least `piece_bytes` but at the end, and little more: no part of a response is long.
  std::string Next(size_t piece_bytes);
  bool done() const { return stage_ == Stage::kDone; }
  size_t kept_bytes() const { return hold_.bytes(); }

 private:
  enum class Stage {
    kHead,
    kChoice,
    kText,
    kLogprobs,
    kFinish,
    kTokenIds,
    kPromptIds,
    kChoiceEnd,
    kUsage,
    kChatPromptIds,
    kEnd,
    kDone
  };

  void Step(std::string* out);
  bool ChatLogprobs(std::string* out);  // these three write one item, and say whether it was the last
  bool CompletionLogprobs(std::string* out);
  template <typename Write>
  bool Item(std::string* out, std::string_view open, size_t count, std::string_view close, const Write& write);

  const Choice& choice() const { return choices_[index_]; }

  ApiCall call_;
  ResponseHead head_;
  const text::Tokenizer* tokenizer_;
  std::vector<Choice> choices_;
  ByteHold hold_;
  Stage stage_ = Stage::kHead;
  size_t index_ = 0;        // of the choice
  size_t list_ = 0;         // of a completion's four lists of log-probabilities
  size_t item_ = 0;         // of the list that is being written; of the text, the byte
  size_t text_offset_ = 0;  // characters before the next token
  uint64_t prompt_tokens_ = 0;
  uint64_t completion_tokens_ = 0;
};

}  // namespace mrs::serve
