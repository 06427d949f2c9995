// A regular expression as tokenizer.json writes it (Oniguruma, Ruby syntax), run by PCRE2 with the same matches.
//
//   MRS_ASSIGN_OR_RETURN(const Regex regex, CompileRegex("\\p{L}+|\\s+(?!\\S)", where));
//   MRS_ASSIGN_OR_RETURN(const std::vector<Span> spans, FindAll(regex, "two  words"));
//   // {0, 3, match}, {3, 4, match}, {4, 5, no match}, {5, 10, match}
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs::text {

// A part of a text, in bytes.
struct Span {
  size_t begin = 0;
  size_t end = 0;
  bool is_match = false;
  bool operator==(const Span&) const = default;
};

struct Regex {
  struct Free {
    void operator()(pcre2_code* owned) const { pcre2_code_free(owned); }
  };
  std::unique_ptr<pcre2_code, Free> code;
  std::string pattern;  // as written, for messages
};

// Refuses by name what the two engines read differently and this translation does not cover.
Result<Regex> CompileRegex(std::string_view pattern, std::string_view where);
// Matches `literal` itself.
Result<Regex> CompileLiteral(std::string_view literal, std::string_view where);

// Cuts all of `text` (well-formed UTF-8) into matches and what lies between them, in order. An empty text gives one
// empty span that is no match. Fails when a match takes more steps than the limit; thread-safe.
Result<std::vector<Span>> FindAll(const Regex& regex, std::string_view text);

// For tests: the PCRE2 pattern that stands for an Oniguruma one.
Result<std::string> TranslateRegex(std::string_view pattern, std::string_view where);

}  // namespace mrs::text
