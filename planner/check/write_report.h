// A report as people, programs and CI services read it.
//
//   text    ring/ring_0.json:5:17: error: ... [ring.not-closed]   with the line, notes and fixes; and a count at the
//   end json    {"exit_code": 1, "diagnostics": [{"id": "ring.not-closed", "file": ..., "line": 5, "column": 17, ...}]}
//   sarif   SARIF 2.1.0 (OASIS), which code scanning takes: rules, results with regions and fixes
//   junit   a test case for each thing checked and each finding, as CI services show tests
#pragma once

#include <string>

#include "planner/check/diagnostic.h"

namespace mrs::check {

struct WriteOptions {
  std::string version;   // of mrs-plan
  bool colour = false;   // text alone
  bool verbose = false;  // what was passed over, too: text and json
  bool warnings_pass = false;
};

std::string TextReport(const Report& report, const WriteOptions& options);
std::string JsonReport(const Report& report, const WriteOptions& options);
std::string SarifReport(const Report& report, const WriteOptions& options);
std::string JunitReport(const Report& report, const WriteOptions& options);

}  // namespace mrs::check
