#include "formats/text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

// Printable bytes of Latin-1 stand for themselves; the other 68 take the characters from U+0100 on, in order.
struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int, 0x144> byte{};  // character -> byte, -1: none

  Alphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character[static_cast<size_t>(b)] = printable ? static_cast<char32_t>(b) : next++;
      byte[character[static_cast<size_t>(b)]] = b;
    }
  }
};

const Alphabet& Table() {
  static const Alphabet table;
  return table;
}

}  // namespace

std::string ToByteAlphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 4);
  for (const char c : bytes) AppendUtf8(Table().character[static_cast<unsigned char>(c)], &out);
  return out;
}

std::optional<std::string> FromByteAlphabet(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    if (unit.character >= Table().byte.size() || Table().byte[unit.character] < 0) return std::nullopt;
    out.push_back(static_cast<char>(Table().byte[unit.character]));
    i += static_cast<size_t>(unit.length);
  }
  return out;
}

}  // namespace mrs::text
