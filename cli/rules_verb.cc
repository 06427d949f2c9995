#include "cli/rules_verb.h"

#include "host/output.h"
#include "host/process.h"
#include "planner/rules.h"

namespace mrs::cli {

CLI::App* RulesCommand::Register(CommandLine& line) {
  CLI::App* const verb = line.app.add_subcommand("rules", "List what a plan must keep to, and how");
  verb->add_flag("--json", json, "As JSON");
  verb->footer("Example:\n  mrs-plan rules\n  mrs-plan rules --json");
  return verb;
}

int RulesCommand::Run() {
  const Status printed = Print(json ? RulesJson() : RulesText());
  return printed.ok() ? 0 : Fail(printed.error());
}

}  // namespace mrs::cli
