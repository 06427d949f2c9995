// The `added_tokens` of tokenizer.json: strings that are found in the text before anything else cuts it.
//
//   "<|user|>Hi" -> {"<|user|>", id 5} {"Hi"}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "formats/json.h"
#include "formats/text/bpe.h"
#include "formats/text/normalizer.h"
#include "formats/text/pieces.h"
#include "plans/status.h"

namespace mrs::text {

struct AddedToken {
  std::string content;
  std::string decoded;  // what the decoder gets: the content, normalized where `normalized` says so
  int32_t id = 0;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the whitespace before it
  bool rstrip = false;       // takes the whitespace after it
  bool normalized = false;   // is sought in the normalized text
  bool special = false;      // left out of decoded text where asked
};

// Finds the longest of some strings at each place, from left to right.
struct StringTrie {
  std::unordered_map<uint64_t, int32_t> edges;  // node << 8 | byte -> node; 0 is the root
  std::vector<int32_t> token_at = {-1};         // by node: index into AddedTokens::tokens, -1: none
};

struct AddedTokens {
  std::vector<AddedToken> tokens;             // in the file's order
  std::unordered_map<int32_t, size_t> by_id;  // -> tokens
  std::unordered_map<std::string, size_t> by_content;
  StringTrie plain;       // sought before normalization
  StringTrie normalized;  // sought after it
};

// An id is the file's, and must agree with the vocabulary where that has the token. `json` may be null.
Result<AddedTokens> ParseAddedTokens(const Json* json, const Bpe& bpe, const Normalizer& normalizer,
                                     std::string_view where);

// Cuts `text` at added tokens, normalizing what lies between them: pieces that are tokens have an id.
Result<std::vector<Piece>> SplitAtAddedTokens(const AddedTokens& added, const Normalizer& normalizer,
                                              std::string_view text);

}  // namespace mrs::text
