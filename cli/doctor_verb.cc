#include "cli/doctor_verb.h"

#include "cli/command_line.h"
#include "host/output.h"
#include "host/process.h"
#include "runtime/doctor/report.h"

namespace mrs::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  mrs-exec doctor                          one line a finding: ok, warn or bad, and what to do
  mrs-exec doctor --json > host.json       for mrs-plan cluster import host.json, on any machine

Exit codes: 0 ok, perhaps with warnings; 1 something is bad; 2 wrong usage.)";

constexpr Elsewhere kElsewhere[] = {
    {"--plan --model", "doctor looks at the host alone; serve with mrs-exec --plan x.mrsplan"},
    {"--format --output -o", "there is --json; write it to a file with > host.json"},
};

}  // namespace

int RunDoctor(int argc, char** argv) {
  CommandLine line("mrs-exec doctor",
                   "mrs-exec doctor: cores, memory, limits, instruction sets, network and GPUs of this host, judged.");
  line.app.footer(kExamples);
  line.elsewhere = kElsewhere;
  bool json = false;
  line.app.add_flag("--json", json, "Everything that was found, as JSON (\"format\": \"mrs-doctor 1\")");
  if (const std::optional<int> exit_code = Parse(line, argc, argv)) return *exit_code;
  const doctor::Facts facts = doctor::Probe({});
  const std::vector<doctor::Finding> findings = doctor::Judge(facts);
  const Status printed = Print(json ? doctor::ToJson(facts, findings, MRS_VERSION) : doctor::ToText(facts, findings));
  if (!printed.ok()) return Fail(printed.error());
  return doctor::Worst(findings) == doctor::Verdict::kBad ? 1 : 0;
}

}  // namespace mrs::cli
