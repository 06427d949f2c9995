#include <algorithm>
#include <map>
#include <optional>

#include "formats/json.h"
#include "formats/text/utf8.h"
#include "planner/check/write_report.h"
#include "plans/printable.h"

namespace mrs::check {
namespace {

constexpr size_t kMaxSourceBytes = size_t{4} << 20;
constexpr size_t kMaxShownCharacters = 160;

// Nothing from a file or a name may move the cursor of whoever reads, or pass for other text.
std::string Plain(std::string_view text) {
  std::string whole, plain;
  text::AppendLossy(text, &whole);
  for (std::string_view rest = whole; !rest.empty();) {
    const auto [code, length] = FirstCharacter(rest);
    if (code == U'\t') {
      plain += ' ';
    } else if (IsHidden(code)) {
      AppendNumbers(rest.substr(0, length), &plain);
    } else {
      plain += rest.substr(0, length);
    }
    rest.remove_prefix(length);
  }
  return plain;
}

// Plain would not change how wide it is.
bool IsPlain(std::string_view text) {
  while (!text.empty()) {
    const auto [code, length] = FirstCharacter(text);
    if (IsHidden(code) && code != U'\t') return false;
    text.remove_prefix(length);
  }
  return true;
}

class TextWriter {
 public:
  explicit TextWriter(const WriteOptions& options) : options_(options) {}

  std::string Write(const Report& report) && {
    for (const Diagnostic& diagnostic : report.diagnostics) {
      const char* const colour = diagnostic.severity == Severity::kError     ? "\033[1;31m"
                                 : diagnostic.severity == Severity::kWarning ? "\033[1;35m"
                                                                             : "\033[1;36m";
      Line(diagnostic.place, colour, SeverityName(diagnostic.severity),
           fmt::format("{} [{}]", diagnostic.message, diagnostic.id));
      Source(diagnostic.place, colour);
      for (const Note& note : diagnostic.notes) Line(note.place, "\033[1;36m", "note", note.message);
      for (const FixIt& fix : diagnostic.fixes) Line(fix.place, "\033[1;32m", "fix", fix.message);
    }
    if (options_.verbose) {
      for (const Subject& subject : report.checked)
        text_ += fmt::format("checked: {} {}\n", subject.kind, Plain(subject.path));
      for (const Note& passed : report.passed_over) {
        text_ += fmt::format("passed over: {}: {}\n", Plain(passed.place.file), Plain(passed.message));
      }
    }
    return std::move(text_) + Summary(report);
  }

 private:
  std::string Coloured(const char* colour, std::string_view text) const {
    return options_.colour ? fmt::format("{}{}\033[0m", colour, text) : std::string(text);
  }

  void Line(const Place& place, const char* colour, std::string_view what, std::string_view message) {
    std::string where = Plain(place.file);
    if (place.begin.line > 0) where += fmt::format(":{}:{}", place.begin.line, place.begin.column);
    text_ += fmt::format("{}: {} {}\n", Coloured("\033[1m", where), Coloured(colour, fmt::format("{}:", what)),
                         Plain(message));
  }

  // The line, and what of it is meant.
  void Source(const Place& place, const char* colour) {
    if (place.begin.line == 0) return;
    const std::optional<std::string_view> line = SourceLine(place.file, place.begin.line);
    if (!line) return;
    std::string shown;
    text::AppendLossy(*line, &shown);
    const auto starts = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    const auto width = static_cast<size_t>(std::count_if(shown.begin(), shown.end(), starts));
    const auto begin = static_cast<size_t>(place.begin.column - 1);
    if (width == 0 || width > kMaxShownCharacters || !IsPlain(shown) || begin > width) return;
    const bool one_line = place.end.line == place.begin.line && place.end.column > place.begin.column;
    const size_t end = one_line                            ? std::min(width, static_cast<size_t>(place.end.column - 1))
                       : place.end.line > place.begin.line ? width
                                                           : begin + 1;
    const std::string marks = fmt::format("^{}", std::string(end > begin + 1 ? end - begin - 1 : 0, '~'));
    text_ += fmt::format("{:>5} | {}\n      | {}{}\n", place.begin.line, Plain(shown), std::string(begin, ' '),
                         Coloured(colour, marks));
  }

  std::optional<std::string_view> SourceLine(const std::string& path, int64_t number) {
    const auto [found, first] = sources_.try_emplace(path);
    if (first) {
      Result<std::string> text = ReadFile(path, kMaxSourceBytes);
      if (text) found->second = *std::move(text);
    }
    std::string_view rest = found->second;
    for (int64_t line = 1; line < number; ++line) {
      const size_t newline = rest.find('\n');
      if (newline == rest.npos) return std::nullopt;
      rest.remove_prefix(newline + 1);
    }
    rest = rest.substr(0, rest.find('\n'));
    return rest.ends_with('\r') ? rest.substr(0, rest.size() - 1) : rest;
  }

  // "checked 1 model, 1 plan, 2 files of rings: 1 error, 2 warnings".
  static std::string Summary(const Report& report) {
    const auto count = [](size_t number, std::string_view one) {
      return fmt::format("{} {}{}", number, one, number == 1 ? "" : "s");
    };
    std::map<std::string_view, size_t> kinds;
    for (const Subject& subject : report.checked) ++kinds[subject.kind];
    std::string checked;
    for (const auto& [kind, number] : kinds) {
      checked +=
          fmt::format("{}{}", checked.empty() ? "" : ", ", count(number, kind == "ring" ? "RING_CONFIG file" : kind));
    }
    const Counts counts = CountOf(report);
    std::string found;
    const auto add = [&](size_t number, std::string_view one) {
      if (number > 0) found += fmt::format("{}{}", found.empty() ? "" : ", ", count(number, one));
    };
    add(counts.errors, "error");
    add(counts.warnings, "warning");
    add(counts.notes, "note");
    return fmt::format("checked {}: {}\n", checked.empty() ? "nothing" : checked,
                       found.empty() ? "nothing is wrong" : found);
  }

  const WriteOptions& options_;
  std::string text_;
  std::map<std::string, std::string> sources_;
};

}  // namespace

std::string TextReport(const Report& report, const WriteOptions& options) { return TextWriter(options).Write(report); }

}  // namespace mrs::check
