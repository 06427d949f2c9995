// A text on its way to tokens: first one piece, then cut and rewritten step by step until the model takes each piece.
//
//   "Hi<|end|> you"  ->  {"Hi"} {"<|end|>", id 7} {" you"}  ->  {"Hi"} {id 7} {"Ġyou"}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text/regex.h"
#include "plans/status.h"

namespace mrs::text {

struct Piece {
  std::string text;
  bool at_start = false;  // begins where the user's text begins
  int32_t id = -1;        // an added token, not to be cut further; -1: text
};

// What becomes of the matches of a cut: the names are those of tokenizer.json.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Joins or drops spans as the behaviour says; the spans cover the text in order.
std::vector<Span> ApplyBehavior(std::vector<Span> spans, SplitBehavior behavior);

// Spans where a match is every character of which `is_match` holds, one span each.
template <typename Predicate>
std::vector<Span> FindEach(std::string_view text, Predicate is_match);

// Appends the parts of `piece` to `out`, without empty ones.
void AppendParts(const Piece& piece, const std::vector<Span>& spans, std::vector<Piece>* out);

}  // namespace mrs::text

#include "formats/text/utf8.h"

namespace mrs::text {

template <typename Predicate>
std::vector<Span> FindEach(std::string_view text, Predicate is_match) {
  std::vector<Span> spans;
  size_t covered = 0;
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    const size_t end = i + static_cast<size_t>(unit.length);
    if (is_match(unit.character)) {
      if (covered < i) spans.push_back({covered, i, false});
      spans.push_back({i, end, true});
      covered = end;
    }
    i = end;
  }
  if (covered < text.size()) spans.push_back({covered, text.size(), false});
  return spans;
}

}  // namespace mrs::text
