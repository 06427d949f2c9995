// What Unicode says of a character, and its normal forms.
//
//   Normalize(NormalForm::kNfc, "e\u0301")  // "\u00E9"
#pragma once

#include <string>
#include <string_view>

#include "plans/status.h"

namespace mrs::text {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// `text` is well-formed UTF-8. Time is n log n even for long runs of combining marks.
Result<std::string> Normalize(NormalForm form, std::string_view text);

// Character by character, without context: a final sigma stays a plain one.
std::string LowerEach(std::string_view text);

// The whole text's full case mappings, as Python's str.lower, str.upper (no locale).
std::string Lower(std::string_view text);
std::string Upper(std::string_view text);

bool IsNumeric(char32_t c);      // categories Nd, Nl, No
bool IsPunctuation(char32_t c);  // categories P*, and all ASCII punctuation
bool IsWhitespace(char32_t c);   // property White_Space
bool IsWord(char32_t c);         // Alphabetic, M*, Nd, Pc, Join_Control: \w of UTS #18
bool IsAlphabetic(char32_t c);

}  // namespace mrs::text
