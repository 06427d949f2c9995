#include "formats/json.h"
#include "planner/check/write_report.h"

namespace mrs::check {
namespace {

void AddPlace(const Place& place, Json& to) {
  to["file"] = place.file;
  if (place.begin.line == 0) return;
  to["line"] = place.begin.line;
  to["column"] = place.begin.column;
  if (place.end.line == 0) return;
  to["end_line"] = place.end.line;
  to["end_column"] = place.end.column;
}

Json OfDiagnostic(const Diagnostic& diagnostic) {
  Json out = {{"id", diagnostic.id}, {"severity", SeverityName(diagnostic.severity)}};
  AddPlace(diagnostic.place, out);
  out["message"] = diagnostic.message;
  out["notes"] = Json::array();
  for (const Note& note : diagnostic.notes) {
    Json one = Json::object();
    AddPlace(note.place, one);
    one["message"] = note.message;
    out["notes"].push_back(std::move(one));
  }
  out["fixes"] = Json::array();
  for (const FixIt& fix : diagnostic.fixes) {
    Json one = Json::object();
    AddPlace(fix.place, one);
    one["replacement"] = fix.replacement;
    one["message"] = fix.message;
    out["fixes"].push_back(std::move(one));
  }
  return out;
}

}  // namespace

std::string JsonReport(const Report& report, const WriteOptions& options) {
  const Counts counts = CountOf(report);
  Json out = {{"tool", fmt::format("mrs-plan {}", options.version)},
              {"exit_code", ExitCode(report, options.warnings_pass)},
              {"errors", counts.errors},
              {"warnings", counts.warnings},
              {"notes", counts.notes},
              {"checked", Json::array()},
              {"diagnostics", Json::array()}};
  for (const Subject& subject : report.checked) {
    out["checked"].push_back({{"kind", subject.kind}, {"path", subject.path}});
  }
  for (const Diagnostic& diagnostic : report.diagnostics) out["diagnostics"].push_back(OfDiagnostic(diagnostic));
  if (options.verbose) {
    out["passed_over"] = Json::array();
    for (const Note& passed : report.passed_over) {
      out["passed_over"].push_back({{"path", passed.place.file}, {"why", passed.message}});
    }
  }
  return fmt::format("{}\n", out.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace mrs::check
