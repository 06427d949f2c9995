// JUnit XML as Jenkins, GitLab and GitHub's actions read it: https://github.com/testmoapp/junitxml. One case for each
// finding, since readers show the first failure of a case; and one for each thing in which nothing was found.
#include <set>

#include "formats/text/utf8.h"
#include "planner/check/write_report.h"
#include "plans/printable.h"
#include "plans/status.h"

namespace mrs::check {
namespace {

// XML 1.0 has no place for most control characters nor for U+FFFE and U+FFFF, escaped or not:
// https://www.w3.org/TR/xml/#charsets
std::string Escaped(std::string_view text) {
  std::string whole, out;
  text::AppendLossy(text, &whole);
  for (std::string_view rest = whole; !rest.empty();) {
    const auto [code, length] = FirstCharacter(rest);
    const std::string_view bytes = rest.substr(0, length);
    rest.remove_prefix(length);
    switch (code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\n':
      case '\t':
      case '\r':
        out += fmt::format("&#{};", static_cast<int>(code));
        break;
      default:
        if (code < 0x20 || code == 0xFFFE || code == 0xFFFF) {
          AppendNumbers(bytes, &out);
        } else {
          out += bytes;
        }
    }
  }
  return out;
}

std::string WhereOf(const Place& place) {
  return place.begin.line > 0 ? fmt::format("{}:{}:{}", place.file, place.begin.line, place.begin.column) : place.file;
}

std::string BodyOf(const Diagnostic& diagnostic) {
  std::string body =
      fmt::format("{}: {}: {}", WhereOf(diagnostic.place), SeverityName(diagnostic.severity), diagnostic.message);
  for (const Note& note : diagnostic.notes) body += fmt::format("\n{}: note: {}", WhereOf(note.place), note.message);
  for (const FixIt& fix : diagnostic.fixes) body += fmt::format("\n{}: fix: {}", WhereOf(fix.place), fix.message);
  return body;
}

}  // namespace

std::string JunitReport(const Report& report, const WriteOptions& options) {
  size_t tests = 0, failures = 0, errors = 0;
  std::string cases;
  std::set<std::string> wrong;  // paths
  for (const Diagnostic& diagnostic : report.diagnostics) {
    ++tests;
    const bool unread = diagnostic.id.starts_with("check.");
    const bool fails = !unread && (diagnostic.severity == Severity::kError ||
                                   (diagnostic.severity == Severity::kWarning && !options.warnings_pass));
    (unread ? errors : failures) += unread || fails ? 1 : 0;
    const char* const element = unread ? "error" : fails ? "failure" : "system-out";
    const std::string attributes =
        unread || fails ? fmt::format(" type=\"{}\" message=\"{}\"", diagnostic.id, Escaped(diagnostic.message)) : "";
    wrong.insert(diagnostic.place.file);
    cases += fmt::format("    <testcase classname=\"{}\" name=\"{}\">\n      <{}{}>{}</{}>\n    </testcase>\n",
                         diagnostic.id, Escaped(WhereOf(diagnostic.place)), element, attributes,
                         Escaped(BodyOf(diagnostic)), element);
  }
  for (const Subject& subject : report.checked) {
    if (wrong.contains(subject.path)) continue;
    ++tests;
    cases += fmt::format("    <testcase classname=\"{}\" name=\"{}\"/>\n", subject.kind, Escaped(subject.path));
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mrs-plan check\" tests=\"{0}\" failures=\"{1}\" "
      "errors=\"{2}\">\n  <testsuite name=\"mrs-plan check\" tests=\"{0}\" failures=\"{1}\" errors=\"{2}\">\n{3}  "
      "</testsuite>\n</testsuites>\n",
      tests, failures, errors, cases);
}

}  // namespace mrs::check
