#include "planner/cluster/smi_words.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mrs::cluster {
namespace {

// Between words: blanks, and what people quote and lay out tables with.
bool IsBlank(char c) { return static_cast<unsigned char>(c) <= ' ' || c == '|' || c == '>'; }

// How long a colour code is at the front of `text`: ESC [ ... letter, or what is left of it, "[4m"; 0: none.
size_t ColourCode(std::string_view text) {
  const bool caret = text.starts_with("^[[");  // as cat -v and logs write an escape
  const bool escape = caret || text.starts_with('\x1b');
  size_t at = caret ? 2 : escape ? 1 : 0;
  if (at >= text.size() || text[at] != '[') return escape ? 1 : 0;
  ++at;
  while (at < text.size() && (IsDigit(text[at]) || text[at] == ';' || text[at] == '?')) ++at;
  if (at == text.size()) return 0;
  if (escape && ((text[at] >= 'a' && text[at] <= 'z') || (text[at] >= 'A' && text[at] <= 'Z'))) return at + 1;
  return text[at] == 'm' ? at + 1 : 0;
}

// What web pages and Markdown have between words.
struct Markup {
  size_t bytes = 0;          // at the front of the text; 0: none
  bool begins_line = false;  // as <pre> and a table's row do
};

// "<pre>", "</td>", "&nbsp;", a space that does not break; or the line under the heads of a Markdown table, "---:".
Markup MarkupOf(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) return {3};
  if (text.starts_with("\xC2\xA0")) return {2};
  if (text.starts_with("&nbsp;")) return {6};
  if (text.size() > 2 && text[0] == '<' && (text[1] == '/' || (text[1] >= 'a' && text[1] <= 'z'))) {
    const size_t end = text.substr(0, 256).find_first_of(">\n");
    if (end == text.npos || text[end] != '>') return {};
    const bool begins = text.starts_with("<pre") || text.starts_with("<tr") || text.starts_with("<br");
    return {end + 1, begins};
  }
  if (text.empty() || (text[0] != '-' && text[0] != ':')) return {};
  size_t end = text[0] == ':' ? 1 : 0;
  const size_t begin = end;
  while (end < text.size() && text[end] == '-') ++end;
  if (end - begin < 3) return {};
  if (end < text.size() && text[end] == ':') ++end;
  return end == text.size() || IsBlank(text[end]) ? Markup{end} : Markup{};
}

}  // namespace

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<SmiWord> SmiWords::Next() {
  while (at_ < text_.size()) {
    if (text_[at_] == '\n') {
      ++line_;
      begin_of_line_ = ++at_;
      column_ = 1;
      first_ = true;
    } else if (const size_t code = ColourCode(text_.substr(at_)); code > 0) {
      at_ += code;
    } else if (IsBlank(text_[at_])) {
      ++at_;
    } else if (const Markup markup = MarkupOf(text_.substr(at_)); markup.bytes > 0) {
      at_ += markup.bytes;
      first_ = first_ || markup.begins_line;
    } else {
      const size_t begin = at_;
      const auto ends = [&] {
        const char c = text_[at_];
        if (IsBlank(c)) return true;
        const std::string_view rest = text_.substr(at_);
        if (c == '\x1b' || c == '^' || c == '[') return ColourCode(rest) > 0;
        return (c == '<' || c == '&' || c == '\xC2') && MarkupOf(rest).bytes > 0;
      };
      while (at_ < text_.size() && !ends()) ++at_;
      return SmiWord{text_.substr(begin, at_ - begin), line_, begin - begin_of_line_ + column_,
                     std::exchange(first_, false)};
    }
  }
  return std::nullopt;
}

bool IsSmiCell(std::string_view word) {
  if (word.starts_with("NV") && word.size() > 2) {
    return std::all_of(word.begin() + 2, word.end(), IsDigit);
  }
  constexpr std::string_view kWords[] = {"X", "PIX", "PXB", "PHB", "NODE", "SYS", "SOC"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

std::optional<int> GpuNumber(std::string_view word) {
  if (!word.starts_with("GPU") || word.size() == 3 || word.size() > 7) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(word.data() + 3, word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size() || number < 0) return std::nullopt;
  return number;
}

bool IsSmiName(std::string_view word) {
  if (word.empty() || word.size() > 64 || !IsDigit(word.back()) || IsSmiCell(word)) return false;
  const char c = word.front();
  if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return false;
  return std::all_of(word.begin(), word.end(), [](char one) {
    return IsDigit(one) || one == '_' || one == '-' || (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z');
  });
}

bool BeginsSmiTable(const SmiWord& word, const SmiWord& next) {
  return word.first && GpuNumber(word.text).has_value() && !IsSmiCell(next.text) &&
         (IsSmiName(next.text) || next.text == "CPU");
}

}  // namespace mrs::cluster
