// Log-probabilities as OpenAI writes them: a list of objects for chat, four parallel lists for completions.
//
//   ChatLogprobs(tokens, tokenizer)   // {"content":[{"token":"Hi","logprob":-0.1,"bytes":[72,105],"top_logprobs":[]}]}
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/json.h"
#include "formats/text/tokenizer.h"
#include "runtime/engine/request.h"

namespace mrs::serve {

// `tokenizer`: null where the model has none; tokens are then named "token_id:17", as vLLM does.
Json ChatLogprobs(std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer);
// One entry of its list.
Json ChatLogprob(const TokenLogprob& token, std::span<const TokenLogprob> top, const text::Tokenizer* tokenizer);

// `text_offset`: characters of answer before these tokens; moves on past them.
Json CompletionLogprobs(std::span<const TokenEvent> tokens, const text::Tokenizer* tokenizer, size_t* text_offset);
// One entry of each of its lists; text_offset moves on by CharactersOf.
Json LogprobJson(float logprob);
std::string CompletionToken(int32_t id, const text::Tokenizer* tokenizer);
Json CompletionTop(const TokenLogprob& token, std::span<const TokenLogprob> top, const text::Tokenizer* tokenizer);
size_t CharactersOf(int32_t id, const text::Tokenizer* tokenizer);

}  // namespace mrs::serve
