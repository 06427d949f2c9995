// Log-probabilities as OpenAI writes them: a list of objects for chat, four parallel lists for completions.
//
//   ChatLogprobs(tokens, tokenizer)   // {"content":[{"token":"Hi","logprob":-0.1,"bytes":[72,105],"top_logprobs":[]}]}
#pragma once

#include <cstddef>
#include <span>

#include "formats/json.h"
#include "formats/text/tokenizer.h"
#include "runtime/engine/request.h"

namespace mrs::serve {

// `tokenizer`: null where the model has none; tokens are then named "token_id:17", as vLLM does.
Json ChatLogprobs(std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer);

// `text_offset`: characters of answer before these tokens; moves on past them.
Json CompletionLogprobs(std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer, size_t* text_offset);

}  // namespace mrs::serve
