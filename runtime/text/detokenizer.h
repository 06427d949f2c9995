// Token ids to text, one at a time: never half a character, and the parts join to Decode of the whole.
//
//   Detokenizer detokenizer(tokenizer, /*skip_special_tokens=*/true);
//   detokenizer.Push(id);   // "" while a character is incomplete
//   detokenizer.Finish();   // the rest; half a character becomes U+FFFD
#pragma once

#include <cstdint>
#include <string>

#include "plans/status.h"
#include "runtime/text/decoder.h"
#include "runtime/text/tokenizer.h"

namespace mrs::text {

class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)  // borrowed
      : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens), stream_(tokenizer.decoder) {}

  Result<std::string> Push(int32_t id) {
    const std::optional<std::string_view> token = IdToToken(*tokenizer_, id);
    if (!token || (skip_special_tokens_ && IsSpecial(*tokenizer_, id))) return std::string();
    return stream_.Push(*token);
  }
  Result<std::string> Finish() { return stream_.Finish(); }

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  DecodeStream stream_;
};

}  // namespace mrs::text
