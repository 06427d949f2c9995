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
    } else if (IsBlank(text_[at_]) || text_.substr(at_).starts_with("\xEF\xBB\xBF")) {
      at_ += text_[at_] == '\xEF' ? 3 : 1;
    } else if (text_.substr(at_).starts_with("\xC2\xA0")) {  // a space that does not break, from web pages
      at_ += 2;
    } else {
      const size_t begin = at_;
      while (at_ < text_.size() && !IsBlank(text_[at_]) && ColourCode(text_.substr(at_)) == 0 &&
             !text_.substr(at_).starts_with("\xC2\xA0")) {
        ++at_;
      }
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
