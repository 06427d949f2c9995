#include "formats/json_positions.h"

#include <algorithm>
#include <charconv>

#include "formats/json.h"

namespace mrs {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // a byte order mark
    SkipSpace();
  }

  size_t at() const { return at_; }
  bool Is(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool Take(char c) {
    if (!Is(c)) return false;
    ++at_;
    SkipSpace();
    return true;
  }

  // Past a string and what follows it; its end is past the closing quote.
  JsonSpan SkipString() {
    JsonSpan span{.begin = at_, .end = at_};
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    at_ = std::min(at_ + 1, text_.size());
    span.end = at_;
    SkipSpace();
    return span;
  }

  // Past any value, however deep it is.
  JsonSpan SkipValue() {
    JsonSpan span{.begin = at_, .end = at_};
    size_t depth = 0;
    do {
      if (Is('"')) {
        span.end = SkipString().end;
      } else if (Is('{') || Is('[')) {
        ++depth;
        Step(&span);
      } else if (Is('}') || Is(']')) {
        if (depth == 0) break;
        --depth;
        Step(&span);
      } else if (Is(',') || Is(':')) {
        if (depth == 0) break;
        Step(&span);
      } else {
        while (at_ < text_.size() && std::string_view(" \t\r\n,:]}[{\"").find(text_[at_]) == std::string_view::npos) {
          ++at_;
        }
        span.end = at_;
        SkipSpace();
      }
    } while (depth > 0 && at_ < text_.size());
    return span;
  }

 private:
  void Step(JsonSpan* span) {
    span->end = ++at_;
    SkipSpace();
  }
  void SkipSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Whether a key as written, quotes and escapes included, is `key`.
bool SpellsKey(std::string_view written, std::string_view key) {
  if (written.size() < 2) return false;
  if (written.find('\\') == written.npos) return written.substr(1, written.size() - 2) == key;
  const Result<Json> decoded = ParseJson(written, "");
  return decoded.ok() && decoded->is_string() && decoded->get_ref<const std::string&>() == key;
}

// Leaves the scanner at the value of the step, whose key it gives.
std::optional<JsonSpan> Enter(std::string_view text, Scanner& scanner, const JsonStep& step) {
  const bool in_object = !step.index.has_value();
  if (!scanner.Take(in_object ? '{' : '[')) return std::nullopt;
  for (size_t i = 0; !scanner.Is(in_object ? '}' : ']'); ++i) {
    JsonSpan entry;
    if (in_object) {
      if (!scanner.Is('"')) return std::nullopt;
      const JsonSpan key = scanner.SkipString();
      entry.key_begin = key.begin;
      entry.key_end = key.end;
      if (!scanner.Take(':')) return std::nullopt;
      if (SpellsKey(text.substr(key.begin, key.end - key.begin), step.key)) return entry;
    } else if (i == *step.index) {
      return entry;
    }
    scanner.SkipValue();
    if (!scanner.Take(',')) return std::nullopt;
  }
  return std::nullopt;
}

// The number after `name` at the start of `text`, which is left behind it.
std::optional<size_t> TakeNumber(std::string_view name, std::string_view* text) {
  if (!text->starts_with(name)) return std::nullopt;
  const std::string_view digits = text->substr(name.size());
  size_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc()) return std::nullopt;
  *text = digits.substr(static_cast<size_t>(end - digits.data()));
  return number;
}

}  // namespace

std::optional<JsonSpan> FindJsonSpan(std::string_view text, std::span<const JsonStep> path) {
  Scanner scanner(text);
  JsonSpan found;
  for (const JsonStep& step : path) {
    const std::optional<JsonSpan> entered = Enter(text, scanner, step);
    if (!entered) return std::nullopt;
    found = *entered;
  }
  const JsonSpan value = scanner.SkipValue();
  found.begin = value.begin;
  found.end = value.end;
  if (found.end == found.begin) return std::nullopt;
  return found;
}

TextPlace PlaceOf(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const size_t line_start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  const std::string_view on_line = before.substr(line_start);
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  const auto characters =
      static_cast<int64_t>(on_line.size()) - std::count_if(on_line.begin(), on_line.end(), continues);
  return {1 + std::count(before.begin(), before.end(), '\n'), 1 + characters};
}

PlacedMessage SplitPlace(std::string_view message, std::string_view where, std::string_view text) {
  if (!where.empty() && message.starts_with(where) && message.substr(where.size()).starts_with(": ")) {
    message.remove_prefix(where.size() + 2);
  }
  std::string_view rest = message;
  const std::optional<size_t> line = TakeNumber("line ", &rest);
  const std::optional<size_t> column = TakeNumber(", column ", &rest);
  if (!line || !column || *line == 0 || *column == 0 || !rest.starts_with(": ")) return {{}, std::string(message)};
  size_t line_start = 0;
  for (size_t i = 1; i < *line && line_start < text.size(); ++i) {
    const size_t newline = text.find('\n', line_start);
    line_start = newline == text.npos ? text.size() : newline + 1;
  }
  const size_t offset = *column > text.size() ? text.size() : std::min(line_start + *column - 1, text.size());
  return {PlaceOf(text, offset), std::string(rest.substr(2))};
}

}  // namespace mrs
