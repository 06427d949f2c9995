#include "formats/text/utf8.h"

namespace mrs::text {

// Unicode 15, table 3-7: the lead byte gives the length and the range of the second byte.
Utf8Unit ReadUtf8(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = at(0);
  if (lead < 0x80) return {Utf8Unit::kCharacter, 1, lead};
  int length = 0;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {Utf8Unit::kMalformed, 1, 0};
  }
  char32_t character = lead & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) {
    if (static_cast<size_t>(i) == bytes.size()) return {Utf8Unit::kIncomplete, i, 0};
    if (at(i) < low || at(i) > high) return {Utf8Unit::kMalformed, i, 0};
    character = (character << 6) | (at(i) & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {Utf8Unit::kCharacter, length, character};
}

size_t FindInvalidUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    if (unit.kind != Utf8Unit::kCharacter) return i;
    i += static_cast<size_t>(unit.length);
  }
  return std::string_view::npos;
}

void AppendUtf8(char32_t character, std::string* out) {
  const auto push = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (character < 0x80) {
    push(character);
  } else if (character < 0x800) {
    push(0xC0 | (character >> 6));
    push(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    push(0xE0 | (character >> 12));
    push(0x80 | ((character >> 6) & 0x3F));
    push(0x80 | (character & 0x3F));
  } else {
    push(0xF0 | (character >> 18));
    push(0x80 | ((character >> 12) & 0x3F));
    push(0x80 | ((character >> 6) & 0x3F));
    push(0x80 | (character & 0x3F));
  }
}

void TakeWholeCharacters(std::string* pending, std::string* out) {
  size_t i = 0;
  while (i < pending->size()) {
    const Utf8Unit unit = ReadUtf8(std::string_view(*pending).substr(i));
    if (unit.kind == Utf8Unit::kIncomplete) break;
    if (unit.kind == Utf8Unit::kMalformed) {
      out->append(kReplacementCharacter);
    } else {
      out->append(*pending, i, static_cast<size_t>(unit.length));
    }
    i += static_cast<size_t>(unit.length);
  }
  pending->erase(0, i);
}

void AppendLossy(std::string_view bytes, std::string* out) {
  std::string pending(bytes);
  TakeWholeCharacters(&pending, out);
  if (!pending.empty()) out->append(kReplacementCharacter);
}

}  // namespace mrs::text
