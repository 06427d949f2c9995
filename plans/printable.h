// Text from outside, made to stay on its line and to be seen as it is: characters that control, that are not seen, or
// that change how others are seen become their bytes, such as \x0a; quotes and backslashes get a backslash.
//
//   Printable("a\n\"b\"\u202E")  ->  a\x0a\"b\"\xe2\x80\xae
#pragma once

#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace mrs {

// The character that starts text, which is not empty, and its length in bytes. What is no UTF-8 counts byte for byte,
// as U+FFFD.
inline std::pair<char32_t, size_t> FirstCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || length > text.size()) return {0xFFFD, 1};
  char32_t code = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0xFFFD, 1};
    code = code << 6 | (byte(i) & 0x3F);
  }
  return {code, length};
}

// First and last of what is not shown as it is: https://www.unicode.org/reports/tr9 (bidirectional formatting),
// https://www.unicode.org/reports/tr36 (what is not seen), https://www.w3.org/TR/xml/#charsets (what XML may not hold).
inline constexpr std::array<std::pair<char32_t, char32_t>, 14> kHidden = {{{0x0, 0x1F},
                                                                           {0x7F, 0x9F},
                                                                           {0xAD, 0xAD},
                                                                           {0x61C, 0x61C},
                                                                           {0x115F, 0x1160},
                                                                           {0x180B, 0x180F},
                                                                           {0x200B, 0x200F},
                                                                           {0x2028, 0x202E},
                                                                           {0x2060, 0x206F},
                                                                           {0xD800, 0xDFFF},
                                                                           {0xFE00, 0xFE0F},
                                                                           {0xFEFF, 0xFEFF},
                                                                           {0xFFF0, 0xFFFB},
                                                                           {0xE0000, 0xE0FFF}}};

inline bool IsHidden(char32_t code) {
  for (const auto& [first, last] : kHidden) {
    if (code >= first && code <= last) return true;
  }
  return (code & 0xFFFE) == 0xFFFE;  // noncharacters end every plane
}

// The bytes of the hidden character that starts text, which is not empty; 0: it may be shown. A byte that is no UTF-8
// counts where a terminal of eight bits takes it for a control.
inline size_t HiddenLength(std::string_view text) {
  const auto [code, length] = FirstCharacter(text);
  const auto lead = static_cast<unsigned char>(text[0]);
  return IsHidden(code) || (length == 1 && lead >= 0x80 && lead < 0xA0) ? length : 0;
}

inline void AppendNumbers(std::string_view bytes, std::string* out) {
  for (const char c : bytes) *out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
}

inline std::string Printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t hidden = HiddenLength(text);
    const size_t length = hidden > 0 ? hidden : FirstCharacter(text).second;
    if (hidden > 0) {
      AppendNumbers(text.substr(0, length), &out);
    } else {
      if (text[0] == '"' || text[0] == '\\') out.push_back('\\');
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace mrs
