// Cuts a template into text and the tokens inside its tags, with Jinja's rules for the whitespace around them.
//
//   "  {% if x -%}\n A" -> kBlockBegin, name "if", name "x", kBlockEnd, text "A"
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs::text {

struct TemplateToken {
  enum Kind { kText, kBlockBegin, kBlockEnd, kOutputBegin, kOutputEnd, kName, kString, kInt, kFloat, kOperator, kEnd };
  Kind kind = kEnd;
  std::string text;  // kText, kName, kOperator: as written; kString: without quotes and escapes
  int64_t integer = 0;
  double real = 0;
  int line = 1;
};

// The last token is kEnd.
Result<std::vector<TemplateToken>> LexTemplate(std::string_view source);

// str.isspace() of Python.
bool IsPythonSpace(char32_t c);
std::string_view StripLeft(std::string_view text);
std::string_view StripRight(std::string_view text);

}  // namespace mrs::text
