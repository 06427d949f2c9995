#include "formats/model_json.h"

#include <algorithm>

namespace mrs {

size_t FindLongToken(std::string_view text, size_t most) {
  size_t at = 0;
  while (text.size() - at > most) {
    size_t end = at;
    if (text[at] == '"') {
      for (++end; end < text.size() && text[end] != '"'; ++end) {
        if (text[end] == '\\') ++end;
      }
      end = std::min(end + 1, text.size());
    } else {
      end = std::min(text.find_first_of("{}[]:,\" \t\r\n", at), text.size());
    }
    if (end - at > most) return at;
    at = std::max(end, at + 1);
  }
  return text.npos;
}

Result<Json> ParseModelJson(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (text.size() <= limits.max_bytes) {  // else that is said
    if (const size_t at = FindLongToken(text, kMaxModelTokenBytes); at != text.npos) {
      const std::string_view before = text.substr(0, at);
      const size_t line_start = before.rfind('\n') + 1;  // of no line before, npos + 1
      return Refuse("{}: line {}, column {}: a string or number of more than {} bytes, or one without an end", where,
                    1 + std::count(before.begin(), before.end(), '\n'), at - line_start + 1, kMaxModelTokenBytes);
    }
  }
  return ParseJson(text, where, limits);
}

}  // namespace mrs
