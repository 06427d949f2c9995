// Where a value stands in JSON text: for messages that point at it, since a parsed value no longer knows.
//
//   text = {"a": {"b": [7, 8]}}
//   FindJsonSpan(text, {{"a"}, {"b"}, {.index = 1}})  ->  value [17, 18), no key
//   FindJsonSpan(text, {{"a"}})                       ->  key at 1, value [6, 20)
//   PlaceOf("ab\ncd", 4)                              ->  line 2, column 2
//
// It reads the text once for each question and builds nothing; text that is no JSON gives nothing or a wrong place, and
// never a crash, so ask it about text that ParseJson has taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mrs {

// One step into a value: an entry of an object, or of an array.
struct JsonStep {
  std::string key = {};
  std::optional<size_t> index = {};
};

struct JsonSpan {
  size_t key_begin = std::string_view::npos;  // of an object's entry: its key's opening quote
  size_t key_end = std::string_view::npos;
  size_t begin = 0;  // of the value
  size_t end = 0;    // past it

  bool has_key() const { return key_begin != std::string_view::npos; }
};

// No step: the whole value. Nothing where a step leads nowhere. Of a key that stands twice, the first.
std::optional<JsonSpan> FindJsonSpan(std::string_view text, std::span<const JsonStep> path);

// Both from 1, columns in characters (code points of UTF-8); 0: not known.
struct TextPlace {
  int64_t line = 0;
  int64_t column = 0;
  bool operator==(const TextPlace&) const = default;
};
TextPlace PlaceOf(std::string_view text, size_t offset);

// The message of a refusal of this folder without the source's name and place, which are told apart:
//   "a.json: line 3, column 7: no", where "a.json"  ->  "no", line 3, the character at byte 7 of it
// Where it names no line the place is not known.
struct PlacedMessage {
  TextPlace place;
  std::string message;
};
PlacedMessage SplitPlace(std::string_view message, std::string_view where, std::string_view text);

}  // namespace mrs
