#include "formats/text/regex.h"

#include <array>

#include "formats/text/utf8.h"

namespace mrs::text {
namespace {

constexpr size_t kMaxPatternBytes = 16384;
constexpr uint32_t kMatchLimit = 50'000'000;  // backtracking steps of one match; a run of 1 MB needs about 2 million
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackBytes = size_t{8} << 20;

// The members of \s and \w as Oniguruma has them: White_Space, and Alphabetic + M + Nd + Pc. PCRE2's own \s has U+180E
// too, and its \w lacks marks.
constexpr std::string_view kSpaceMembers = "\\t-\\r\\x{85}\\p{Z}";
constexpr std::string_view kWordMembers = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

// Reads the pattern once, left to right, and writes the PCRE2 one.
class Translator {
 public:
  Translator(std::string_view pattern, std::string_view where) : pattern_(pattern), where_(where) {}

  Result<std::string> Run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        MRS_RETURN_IF_ERROR(Escape(false));
      } else if (c == '[') {
        MRS_RETURN_IF_ERROR(Class());
      } else if (c == '(') {
        MRS_RETURN_IF_ERROR(Group());
      } else if (c == '{') {
        MRS_RETURN_IF_ERROR(Interval());
      } else {
        out_.push_back(c);
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  bool Next(std::string_view text) const { return pattern_.substr(at_, text.size()) == text; }

  Error Unsupported(std::string_view what) const {
    return Refuse("{}: regex '{}': {} at byte {} is not supported", where_, pattern_, what, at_);
  }

  Status Escape(bool in_class) {
    if (at_ + 1 >= pattern_.size()) return Unsupported("a '\\' at the end");
    const char c = pattern_[at_ + 1];
    const auto members = [&](std::string_view set) {
      if (in_class) {
        out_.append(set);
      } else {
        out_.append("[").append(set).append("]");
      }
      at_ += 2;
      return Status();
    };
    switch (c) {
      case 's':
        return members(kSpaceMembers);
      case 'w':
        return members(kWordMembers);
      case 'S':
        // In a class PCRE2's \S lacks U+180E only.
        out_.append(in_class ? "\\S\\x{180E}" : "[^\\t-\\r\\x{85}\\p{Z}]");
        at_ += 2;
        return {};
      case 'W':
        if (in_class) return Unsupported("'\\W' in a class");
        out_.append("[^").append(kWordMembers).append("]");
        at_ += 2;
        return {};
      case 'b':
        if (in_class) {
          out_.append("\\x08");
        } else {
          out_.append(fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", kWordMembers));
        }
        at_ += 2;
        return {};
      case 'v':
        out_.append("\\x0B");
        at_ += 2;
        return {};
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        out_.append(pattern_.substr(at_, 2));
        at_ += 2;
        return {};
      case 'A':
      case 'z':
      case 'Z':
        if (in_class) return Unsupported(fmt::format("'\\{}' in a class", c));
        out_.append(pattern_.substr(at_, 2));
        at_ += 2;
        return {};
      case 'p':
      case 'P':
        return Property();
      case 'u':
        return Hex(2, 4, 4);
      case 'x':
        if (pattern_.substr(at_ + 2, 1) == "{") return BracedHex();
        return Hex(2, 1, 2);
      default:
        break;
    }
    const auto byte = static_cast<unsigned char>(c);
    const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (alphanumeric) return Unsupported(fmt::format("the escape '\\{}'", c));
    if (byte >= 0x80) {  // an escaped character past ASCII is itself
      const size_t length = static_cast<size_t>(Utf8Length(c));
      out_.append(pattern_.substr(at_ + 1, length));
      at_ += 1 + length;
      return {};
    }
    out_.append(pattern_.substr(at_, 2));
    at_ += 2;
    return {};
  }

  Status Property() {
    const size_t close = pattern_.find('}', at_);
    if (pattern_.substr(at_ + 2, 1) != "{" || close == pattern_.npos) return Unsupported("a property without braces");
    out_.append(pattern_.substr(at_, close + 1 - at_));
    at_ = close + 1;
    return {};
  }

  // \xHH and \uHHHH: between `least` and `most` digits after `skip` characters.
  Status Hex(size_t skip, size_t least, size_t most) {
    size_t end = at_ + skip;
    while (end < pattern_.size() && end < at_ + skip + most && IsHex(pattern_[end])) ++end;
    const std::string_view digits = pattern_.substr(at_ + skip, end - at_ - skip);
    if (digits.size() < least) return Unsupported("an escape without its hexadecimal digits");
    // \x80 and above is one byte of a character to Oniguruma.
    if (most == 2 && digits.size() == 2 && digits[0] >= '8') return Unsupported("a '\\x' escape above 7F");
    out_.append("\\x{").append(digits).append("}");
    at_ = end;
    return {};
  }

  Status BracedHex() {
    const size_t close = pattern_.find('}', at_);
    if (close == pattern_.npos) return Unsupported("an unclosed '\\x{'");
    for (size_t i = at_ + 3; i < close; ++i) {
      if (!IsHex(pattern_[i])) return Unsupported("a '\\x{' escape of more than one character");
    }
    out_.append(pattern_.substr(at_, close + 1 - at_));
    at_ = close + 1;
    return {};
  }

  static bool IsHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

  Status Class() {
    out_.push_back('[');
    ++at_;
    if (Next("^")) {
      out_.push_back('^');
      ++at_;
    }
    if (Next("]")) return Unsupported("']' as the first member of a class");
    while (at_ < pattern_.size() && pattern_[at_] != ']') {
      if (pattern_[at_] == '\\') {
        MRS_RETURN_IF_ERROR(Escape(true));
      } else if (Next("[:space:]")) {
        out_.append(kSpaceMembers);
        at_ += 9;
      } else if (pattern_[at_] == '[') {
        return Unsupported("a class inside a class");
      } else if (Next("&&")) {
        return Unsupported("an intersection of classes ('&&')");
      } else {
        out_.push_back(pattern_[at_++]);
      }
    }
    if (at_ == pattern_.size()) return Unsupported("an unclosed class");
    out_.push_back(']');
    ++at_;
    return {};
  }

  Status Group() {
    if (!Next("(?")) {
      if (Next("(*")) return Unsupported("'(*'");
      // No back reference is let through, so a group needs no number.
      out_.append("(?:");
      ++at_;
      return {};
    }
    for (const std::string_view open : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"}) {
      if (Next(open)) {
        out_.append(open);
        at_ += open.size();
        return {};
      }
    }
    // Ruby's (?i) reaches over the alternatives that follow it; at the very start both engines agree.
    if (Next("(?i)") && at_ == 0) {
      out_.append("(?i)");
      at_ += 4;
      return {};
    }
    return Unsupported(fmt::format("the group '{}'", pattern_.substr(at_, 4)));
  }

  // {n}, {n,} and {n,m} mean the same to both; {,m}, {n}? and {n,m}+ do not.
  Status Interval() {
    size_t end = at_ + 1;
    bool comma = false;
    while (end < pattern_.size() && (IsDigit(pattern_[end]) || (pattern_[end] == ',' && !comma))) {
      comma = comma || pattern_[end] == ',';
      ++end;
    }
    if (end == pattern_.size() || pattern_[end] != '}' || !IsDigit(pattern_[at_ + 1])) {
      return Unsupported("a '{' that opens no {n}, {n,} or {n,m}");
    }
    const std::string_view after = pattern_.substr(end + 1, 1);
    if (after == "+" || (after == "?" && !comma)) return Unsupported("a possessive or lazy mark after '{...}'");
    out_.append(pattern_.substr(at_, end + 1 - at_));
    at_ = end + 1;
    return {};
  }

  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }

  std::string_view pattern_;
  std::string_view where_;
  size_t at_ = 0;
  std::string out_;
};

struct CompileContext {
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  ~CompileContext() { pcre2_compile_context_free(context); }
};

Result<Regex> Compile(std::string_view translated, std::string_view pattern, uint32_t options, std::string_view where) {
  CompileContext compile;
  // Ruby's newline is LF alone.
  pcre2_set_newline(compile.context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Regex regex;
  regex.pattern = std::string(pattern);
  regex.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                 PCRE2_UTF | options, &error, &offset, compile.context));
  if (regex.code == nullptr) {
    std::array<char, 256> message{};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message.data()), message.size());
    return Refuse("{}: regex '{}' does not compile: {}", where, pattern, message.data());
  }
  // Where the system forbids JIT the interpreter gives the same matches.
  (void)pcre2_jit_compile(regex.code.get(), PCRE2_JIT_COMPLETE);
  return regex;
}

// What searches need of their own, so that threads can share a Regex: one a thread, as making it costs a mapping.
struct Searcher {
  Searcher() : data(pcre2_match_data_create(1, nullptr)), context(pcre2_match_context_create(nullptr)) {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    // Reserved, not touched: pages come as deep patterns need them. Null where there is no JIT, which is no harm.
    stack = pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Searcher() {
    if (stack != nullptr) pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  Searcher(const Searcher&) = delete;
  Searcher& operator=(const Searcher&) = delete;

  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack = nullptr;
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view pattern, std::string_view where) {
  if (pattern.size() > kMaxPatternBytes) {
    return Refuse("{}: a regex of {} bytes, at most {} are accepted", where, pattern.size(), kMaxPatternBytes);
  }
  if (FindInvalidUtf8(pattern) != std::string_view::npos) return Refuse("{}: a regex that is not UTF-8", where);
  return Translator(pattern, where).Run();
}

Result<Regex> CompileRegex(std::string_view pattern, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const std::string translated, TranslateRegex(pattern, where));
  // '^' and '$' always work by line in Ruby.
  return Compile(translated, pattern, PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, where);
}

Result<Regex> CompileLiteral(std::string_view literal, std::string_view where) {
  if (literal.empty()) return Refuse("{}: an empty pattern", where);
  if (literal.size() > kMaxPatternBytes) {
    return Refuse("{}: a pattern of {} bytes, at most {} are accepted", where, literal.size(), kMaxPatternBytes);
  }
  return Compile(literal, literal, PCRE2_LITERAL, where);
}

Result<std::vector<Span>> FindAll(const Regex& regex, std::string_view text) {
  std::vector<Span> spans;
  if (text.empty()) return std::vector<Span>{Span{}};
  thread_local const Searcher searcher;
  size_t from = 0;       // where the next search starts
  size_t covered = 0;    // all before is in spans
  bool matched = false;  // covered is the end of a match
  while (from <= text.size()) {
    const int result = pcre2_match(regex.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                   PCRE2_NO_UTF_CHECK, searcher.data, searcher.context);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      std::array<char, 256> message{};
      pcre2_get_error_message(result, reinterpret_cast<PCRE2_UCHAR*>(message.data()), message.size());
      return Refuse("regex '{}' on {} bytes of text: {}", regex.pattern, text.size(), message.data());
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(searcher.data);
    const size_t begin = offsets[0];
    const size_t end = offsets[1];
    // An empty match right after a match does not count: go on one character further.
    if (begin == end && matched && end == covered) {
      from += from < text.size() ? static_cast<size_t>(Utf8Length(text[from])) : 1;
      continue;
    }
    if (covered != begin) spans.push_back({covered, begin, false});
    spans.push_back({begin, end, true});
    covered = end;
    from = end;
    matched = true;
  }
  if (covered != text.size()) spans.push_back({covered, text.size(), false});
  return spans;
}

}  // namespace mrs::text
