// UTF-8 by hand: where a character ends, whether bytes are well formed, and what malformed ones become.
//
//   AppendLossy("a\xff", &out);  // "a\uFFFD", one U+FFFD per maximal malformed part, as Unicode recommends
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mrs::text {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// What stands at the start of some bytes.
struct Utf8Unit {
  enum Kind { kCharacter, kMalformed, kIncomplete };
  Kind kind = kIncomplete;
  int length = 0;          // bytes of the character, of the malformed part, or of the incomplete prefix
  char32_t character = 0;  // for kCharacter
};

// `bytes` must not be empty. kIncomplete: the bytes end inside a character that may still become well formed.
Utf8Unit ReadUtf8(std::string_view bytes);

// Offset of the first byte that is not part of a well-formed character; npos when all are.
size_t FindInvalidUtf8(std::string_view text);

// Length of the character that starts with `lead`; only for well-formed text.
inline int Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

void AppendUtf8(char32_t character, std::string* out);

// Takes the whole characters off the front of `pending` and appends them to `out`; malformed parts become U+FFFD. What
// stays in `pending` is an incomplete character of at most 3 bytes.
void TakeWholeCharacters(std::string* pending, std::string* out);

// All of `bytes`; an incomplete character at the end becomes one U+FFFD too.
void AppendLossy(std::string_view bytes, std::string* out);

}  // namespace mrs::text
