// What `mrs-plan check` has to say: something is wrong, there, and this would put it right.
//
//   ring/ring_0.json:5:17: error: 'right_port' 9003: the right neighbour, rank 1, listens on 9002 [ring.not-closed]
//
// Ids are stable: they are what a suppression, a dashboard or a test names. Their table is AllRules().
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json_positions.h"

namespace mrs::check {

enum class Severity { kNote, kWarning, kError };
const char* SeverityName(Severity severity);  // "note", "warning", "error", as SARIF has them, too

struct Rule {
  std::string_view id;
  Severity severity;
  std::string_view summary;
};
std::span<const Rule> AllRules();
const Rule& RuleOf(std::string_view id);  // of AllRules

struct Place {
  std::string file;  // or a folder, as the user named it
  TextPlace begin;   // line 0: all of it
  TextPlace end;     // past it; line 0, or equal to begin: a point
  bool operator==(const Place&) const = default;
};

Place WholeOf(const std::string& path);

struct Note {
  Place place;
  std::string message;
};

// Replace the text at `place` (nothing, where it is a point) by `replacement`.
struct FixIt {
  Place place;
  std::string replacement;
  std::string message;  // "write 9002, the port of rank 1"
};

struct Diagnostic {
  std::string_view id;  // of AllRules
  Severity severity = Severity::kError;
  Place place;
  std::string message;
  std::vector<Note> notes = {};
  std::vector<FixIt> fixes = {};
};

// Of the rule's severity.
Diagnostic Finding(std::string_view id, Place place, std::string message);

// Something that was judged: a file, a folder, or several files together.
struct Subject {
  std::string kind;  // "model", "plan", "ring", "cluster"
  std::string path;
};

struct Report {
  std::vector<Subject> checked;
  std::vector<Note> passed_over;  // what was met and is nothing that is checked, and why
  std::vector<Diagnostic> diagnostics;
};

struct Counts {
  size_t errors = 0, warnings = 0, notes = 0;
};
Counts CountOf(const Report& report);

// 0: clean; 1: errors, or warnings unless they are let pass; 2: something could not be read or is nothing that is
// checked. Notes change nothing.
int ExitCode(const Report& report, bool warnings_pass);

}  // namespace mrs::check
