// Token ids to text, one at a time: never half a character, and the parts join to Decode of the whole.
//
//   Detokenizer detokenizer(tokenizer, /*skip_special_tokens=*/true);
//   detokenizer.Push(id);   // "" while a character is incomplete
//   detokenizer.Finish();   // the rest; half a character becomes U+FFFD
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "formats/text/decoder.h"
#include "formats/text/tokenizer.h"
#include "plans/status.h"

namespace mrs::text {

class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)  // borrowed
      : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens), stream_(tokenizer.decoder) {}

  // The text to come goes on where the text of these tokens ends, as in a prompt and its answer. Call it first.
  void GoOnAfter(std::span<const int32_t> ids) {
    // Decoders look back to the start of a run of bytes, and for whether any text came before: a tail says both. Bytes
    // do not count, so it begins with no half of a run.
    size_t begin = ids.size();
    for (size_t texts = 0; begin > 0 && texts < kTail; --begin) {
      if (TextOf(ids[begin - 1]).has_value() && !IsByte(ids[begin - 1])) ++texts;
    }
    for (const int32_t id : ids.subspan(begin)) (void)Push(id);
    // What the decoder still holds of them is theirs, half a character as U+FFFD, too; but a half that the answer
    // completes is the answer's: then its text starts otherwise.
    const Result<std::string> held = Detokenizer(*this).Finish();
    if (held.ok()) held_before_ = *held;
  }

  Result<std::string> Push(int32_t id) {
    const std::optional<std::string_view> token = TextOf(id);
    if (!token) return std::string();
    return WithoutHeld(stream_.Push(*token));
  }
  Result<std::string> Finish() { return WithoutHeld(stream_.Finish()); }

 private:
  static constexpr size_t kTail = 8;  // tokens with text of their own

  std::optional<std::string_view> TextOf(int32_t id) const {
    const std::optional<std::string_view> token = IdToToken(*tokenizer_, id);
    return skip_special_tokens_ && IsSpecial(*tokenizer_, id) ? std::nullopt : token;
  }
  bool IsByte(int32_t id) const { return ByteOfToken(TextOf(id).value_or("")) >= 0; }
  Result<std::string> WithoutHeld(Result<std::string> text) {
    if (!text.ok() || text->empty()) return text;
    const std::string held = std::exchange(held_before_, "");
    return text->starts_with(held) ? text->substr(held.size()) : text;
  }

  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  DecodeStream stream_;
  std::string held_before_;  // of GoOnAfter's text: the decoder gives it with what follows
};

}  // namespace mrs::text
