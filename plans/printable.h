// Text from outside, made to stay on its line: control characters become \x0a, quotes and backslashes get a backslash.
//
//   Printable("a\n\"b\"")  ->  a\x0a\"b\"
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace mrs {

inline std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace mrs
