#include "cli/check_verb.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "host/output.h"
#include "host/process.h"
#include "planner/check/run_check.h"
#include "planner/check/write_report.h"
#include "planner/verify_model.h"

namespace mrs::cli {
namespace {

// https://no-color.org, and a terminal that knows colours.
bool WantsColour() {
  const char* const no_colour = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  return isatty(STDOUT_FILENO) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

}  // namespace

CLI::App* CheckCommand::Register(CommandLine& line) {
  CLI::App* const verb = line.app.add_subcommand(
      "check",
      "Judge model folders, plans, cluster and RING_CONFIG files, for CI: exit code 0 clean, 1 findings, 2 unreadable");
  AddChecked(line, *verb, "paths", "a file or folder name", "PATH...: files, or folders, which are walked",
             [this](const std::string& text) {
               paths.push_back(text);
               return !text.empty();
             })
      ->expected(1, 1 << 16)
      ->allow_extra_args()  // options may stand between them
      ->required();
  AddChoice(line, *verb, "--format", &format, {"text", "json", "sarif", "junit"}, "How the report is written");
  AddText(line, *verb, "--model", &model_dir, "a folder", "Hold every plan against this model folder");
  AddText(line, *verb, "--cluster", &cluster, "a file name", "Hold every plan against this cluster file");
  AddChoice(line, *verb, "--fail-on", &fail_on, {"warning", "error"}, "What makes the exit code 1");
  verb->add_flag("--verbose", verbose, "Say what was checked, and what was passed over and why (text and json)");
  verb->footer(
      "Example:\n  mrs-plan check models/mini ring_0.json ring_1.json\n  mrs-plan check --format sarif . > mrs.sarif\n"
      "docs/ci.md has jobs for GitHub Actions and GitLab, and a pre-commit hook.");
  return verb;
}

int CheckCommand::Run() {
  const check::CheckOptions options{.paths = paths,
                                    .plans = {.producer = "mrs-plan " MRS_VERSION,
                                              .model_dir = model_dir,
                                              .cluster = cluster,
                                              .prove = [](const plan::Plan& plan, const std::string& folder) {
                                                return planner::VerifyPlanOfModel(plan, folder).status();
                                              }}};
  const check::Report report = check::RunCheck(options);
  const check::WriteOptions write{.version = MRS_VERSION,
                                  .colour = format == "text" && WantsColour(),
                                  .verbose = verbose,
                                  .warnings_pass = fail_on == "error"};
  const std::string text = format == "json"    ? check::JsonReport(report, write)
                           : format == "sarif" ? check::SarifReport(report, write)
                           : format == "junit" ? check::JunitReport(report, write)
                                               : check::TextReport(report, write);
  if (const Status printed = Print(text); !printed.ok()) {
    Fail(printed.error());
    return 2;  // no answer to the question, and so neither of the two
  }
  return check::ExitCode(report, write.warnings_pass);
}

}  // namespace mrs::cli
