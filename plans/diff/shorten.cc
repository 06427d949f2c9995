#include "plans/diff/shorten.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace mrs::diff {

void Shorten(std::string* before, std::string* after, size_t most) {
  const size_t longest = std::max(before->size(), after->size());
  if (longest <= most) return;
  const size_t differs =
      std::mismatch(before->begin(), before->end(), after->begin(), after->end()).first - before->begin();
  size_t begin = differs <= most / 4 ? 0 : differs - most / 4;
  const auto cut = [&](std::string* text) {
    size_t from = std::min(begin, text->size());
    size_t to = std::min(from + most, text->size());
    // UTF-8 is cut between characters.
    const auto inside = [&](size_t at) {
      return at < text->size() && (static_cast<uint8_t>((*text)[at]) & 0xC0) == 0x80;
    };
    while (from > 0 && inside(from)) --from;
    while (inside(to)) ++to;
    const size_t bytes = text->size();
    const bool whole = from == 0 && to == bytes;
    if (!whole)
      *text = fmt::format("{}{}{} ({} bytes)", from > 0 ? "..." : "", text->substr(from, to - from),
                          to < bytes ? "..." : "", bytes);
  };
  cut(before);
  cut(after);
}

}  // namespace mrs::diff
