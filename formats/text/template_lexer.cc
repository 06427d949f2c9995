#include "formats/text/template_lexer.h"

#include <charconv>
#include <utility>

#include "formats/text/unicode.h"
#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// All line ends become "\n", and one at the very end goes.
std::string NormalizeLines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<TemplateToken>> Run() {
    while (at_ < source_.size()) MRS_RETURN_IF_ERROR(TextAndTag());
    Push(TemplateToken::kEnd, "");
    return std::move(tokens_);
  }

 private:
  bool Next(std::string_view text) const { return source_.substr(at_, text.size()) == text; }

  Error Bad(std::string_view what) const { return Refuse("chat template: line {}: {}", line_, what); }

  void Advance(size_t count) {
    for (size_t i = 0; i < count; ++i) line_ += source_[at_ + i] == '\n' ? 1 : 0;
    at_ += count;
  }

  void Push(TemplateToken::Kind kind, std::string_view text) {
    TemplateToken token;
    token.kind = kind;
    token.text = std::string(text);
    token.line = line_;
    tokens_.push_back(std::move(token));
  }

  void SkipSpace() {
    const std::string_view rest = source_.substr(at_);
    Advance(rest.size() - StripLeft(rest).size());
  }

  // Text before a tag: '-' takes all whitespace off its end; else a block or comment takes the indentation off.
  void PushText(std::string_view text, char sign, bool is_output) {
    if (sign == '-') {
      text = StripRight(text);
    } else if (sign != '+' && !is_output) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == text.npos ? 0 : newline + 1;
      const bool whole_line = newline != text.npos || at_line_start_;
      if (whole_line && StripLeft(text.substr(line_begin)).empty()) text = text.substr(0, line_begin);
    }
    if (!text.empty()) Push(TemplateToken::kText, text);
  }

  char SignAt(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  // After a tag's end: '-' takes all whitespace that follows; a block or comment takes one newline.
  void AfterTag(char sign, bool trims_newline) {
    if (sign == '-') {
      SkipSpace();
    } else if (sign != '+' && trims_newline && Next("\n")) {
      Advance(1);
    }
    at_line_start_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  Status TextAndTag() {
    size_t open = source_.find('{', at_);
    while (open != source_.npos && open + 1 < source_.size() && source_[open + 1] != '{' && source_[open + 1] != '%' &&
           source_[open + 1] != '#') {
      open = source_.find('{', open + 1);
    }
    if (open == source_.npos || open + 1 >= source_.size()) {
      Push(TemplateToken::kText, source_.substr(at_));
      at_ = source_.size();
      return {};
    }
    const char type = source_[open + 1];
    const char sign = SignAt(open + 2);
    PushText(source_.substr(at_, open - at_), sign, type == '{');
    Advance(open + 2 + (sign == '\0' ? 0 : 1) - at_);
    if (type == '#') return Comment();
    if (type == '{') {
      Push(TemplateToken::kOutputBegin, "");
      return Tag('}', TemplateToken::kOutputEnd);
    }
    const size_t here = at_;
    const int line = line_;
    SkipSpace();
    if (Next("raw")) {
      Advance(3);
      SkipSpace();
      const char end_sign = Next("-%}") ? '-' : '\0';
      if (end_sign == '-' || Next("%}")) {
        Advance(end_sign == '-' ? 3 : 2);
        if (end_sign == '-') SkipSpace();
        return Raw();
      }
    }
    at_ = here;
    line_ = line;
    Push(TemplateToken::kBlockBegin, "");
    return Tag('%', TemplateToken::kBlockEnd);
  }

  Status Comment() {
    const size_t close = source_.find("#}", at_);
    if (close == source_.npos) return Bad("a comment without its '#}'");
    const char sign =
        close > at_ && (source_[close - 1] == '-' || source_[close - 1] == '+') ? source_[close - 1] : '\0';
    Advance(close + 2 - at_);
    AfterTag(sign, true);
    return {};
  }

  // {% raw %}: text up to {% endraw %}, whatever it holds.
  Status Raw() {
    at_line_start_ = at_ > 0 && source_[at_ - 1] == '\n';
    for (size_t open = source_.find("{%", at_); open != source_.npos; open = source_.find("{%", open + 2)) {
      const char sign = SignAt(open + 2);
      const std::string_view rest = StripLeft(source_.substr(open + (sign == '\0' ? 2 : 3)));
      if (!rest.starts_with("endraw")) continue;
      std::string_view end = StripLeft(rest.substr(6));
      const char end_sign = end.starts_with("-%}") ? '-' : end.starts_with("+%}") ? '+' : '\0';
      if (end_sign == '\0' && !end.starts_with("%}")) continue;
      end.remove_prefix(end_sign == '\0' ? 2 : 3);
      PushText(source_.substr(at_, open - at_), sign, false);
      Advance(source_.size() - end.size() - at_);
      AfterTag(end_sign, true);
      return {};
    }
    return Bad("'raw' without its 'endraw'");
  }

  Status Tag(char close, TemplateToken::Kind end) {
    std::string brackets;  // what is open, so that "}}" can end a dict
    while (true) {
      SkipSpace();
      if (at_ >= source_.size()) return Bad(close == '}' ? "'{{' without its '}}'" : "'{%' without its '%}'");
      const char closing[] = {close, '}', '\0'};
      if (brackets.empty()) {
        const char sign = SignAt(at_);
        const bool signed_end = (sign == '-' || (sign == '+' && close == '%')) && source_.substr(at_ + 1, 2) == closing;
        if (signed_end || Next(closing)) {
          Push(end, "");
          Advance(signed_end ? 3 : 2);
          AfterTag(signed_end ? sign : '\0', close == '%');
          return {};
        }
      }
      MRS_RETURN_IF_ERROR(OneToken(&brackets));
    }
  }

  Status OneToken(std::string* brackets) {
    const char c = source_[at_];
    if (IsNameStart(c)) {
      size_t end = at_;
      while (end < source_.size() && (IsNameStart(source_[end]) || IsDigit(source_[end]))) ++end;
      Push(TemplateToken::kName, source_.substr(at_, end - at_));
      Advance(end - at_);
      return {};
    }
    if (IsDigit(c)) return Number();
    if (c == '"' || c == '\'') return String();
    for (const std::string_view two : {"==", "!=", "<=", ">=", "//", "**"}) {
      if (Next(two)) {
        Push(TemplateToken::kOperator, two);
        Advance(2);
        return {};
      }
    }
    static constexpr std::string_view kSingle = "+-*/%~<>=.,:|()[]{}";
    if (kSingle.find(c) == kSingle.npos) {
      const Utf8Unit unit = ReadUtf8(source_.substr(at_));
      return Bad(fmt::format("unexpected character '{}'", source_.substr(at_, static_cast<size_t>(unit.length))));
    }
    if (c == '(' || c == '[' || c == '{') brackets->push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets->empty() || brackets->back() != c) return Bad(fmt::format("unexpected '{}'", c));
      brackets->pop_back();
    }
    Push(TemplateToken::kOperator, source_.substr(at_, 1));
    Advance(1);
    return {};
  }

  Status Number() {
    std::string digits;
    bool is_float = false;
    size_t end = at_;
    const auto take_digits = [&] {
      while (end < source_.size() && (IsDigit(source_[end]) ||
                                      (source_[end] == '_' && end + 1 < source_.size() && IsDigit(source_[end + 1])))) {
        if (source_[end] != '_') digits.push_back(source_[end]);
        ++end;
      }
    };
    take_digits();
    if (end + 1 < source_.size() && source_[end] == '.' && IsDigit(source_[end + 1])) {
      is_float = true;
      digits.push_back('.');
      ++end;
      take_digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
      if (end + 1 + sign < source_.size() && IsDigit(source_[end + 1 + sign])) {
        is_float = true;
        digits.append(source_.substr(end, 1 + sign));
        end += 1 + sign;
        take_digits();
      }
    }
    if (end < source_.size() && IsNameStart(source_[end])) return Bad("a number that runs into a name");
    Push(is_float ? TemplateToken::kFloat : TemplateToken::kInt, digits);
    const char* first = digits.data();
    const char* last = first + digits.size();
    const std::errc error = is_float ? std::from_chars(first, last, tokens_.back().real).ec
                                     : std::from_chars(first, last, tokens_.back().integer).ec;
    if (error != std::errc()) return Bad(fmt::format("the number {} is out of range", digits));
    Advance(end - at_);
    return {};
  }

  // Escapes as in a Python string.
  Status String() {
    const char quote = source_[at_];
    const int line = line_;
    std::string out;
    size_t i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') {
        out.push_back(source_[i]);
        continue;
      }
      if (++i >= source_.size()) break;
      static constexpr std::string_view kNames = "nrtabfv\\'\"";
      static constexpr std::string_view kValues = "\n\r\t\a\b\f\v\\'\"";
      const char c = source_[i];
      if (const size_t known = kNames.find(c); known != kNames.npos) {
        out.push_back(kValues[known]);
      } else if (c == '\n') {
        continue;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        uint32_t code = 0;
        const std::string_view hex = source_.substr(i + 1, count);
        const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
        if (error != std::errc() || hex.size() != count || end != hex.data() + count || code > 0x10FFFF ||
            (code >= 0xD800 && code <= 0xDFFF)) {
          return Bad(fmt::format("a bad '\\{}' escape in a string", c));
        }
        AppendUtf8(code, &out);
        i += count;
      } else if (IsDigit(c) || c == 'N') {
        return Bad(fmt::format("the escape '\\{}' in a string is not supported", c));
      } else {
        out.append(source_.substr(i - 1, 2));
      }
    }
    if (i >= source_.size()) return Bad("a string without its closing quote");
    Push(TemplateToken::kString, out);
    tokens_.back().line = line;
    Advance(i + 1 - at_);
    return {};
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<TemplateToken> tokens_;
};

}  // namespace

bool IsPythonSpace(char32_t c) { return IsWhitespace(c) || (c >= 0x1C && c <= 0x1F); }

std::string_view StripLeft(std::string_view text) {
  while (!text.empty()) {
    const Utf8Unit unit = ReadUtf8(text);
    if (unit.kind != Utf8Unit::kCharacter || !IsPythonSpace(unit.character)) break;
    text.remove_prefix(static_cast<size_t>(unit.length));
  }
  return text;
}

std::string_view StripRight(std::string_view text) {
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    const Utf8Unit unit = ReadUtf8(text.substr(begin));
    if (unit.kind != Utf8Unit::kCharacter || !IsPythonSpace(unit.character)) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

Result<std::vector<TemplateToken>> LexTemplate(std::string_view source) {
  if (const size_t invalid = FindInvalidUtf8(source); invalid != std::string_view::npos) {
    return Refuse("chat template: not UTF-8 at byte {}", invalid);
  }
  const std::string normalized = NormalizeLines(source);
  return Lexer(normalized).Run();
}

}  // namespace mrs::text
