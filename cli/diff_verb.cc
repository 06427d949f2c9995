#include "cli/diff_verb.h"

#include "host/output.h"
#include "host/process.h"
#include "plans/diff.h"
#include "plans/reader.h"

namespace mrs::cli {
namespace {

constexpr int kSame = 0, kDifferent = 1, kUnreadable = 2;

// Whatever failed, it is no answer to the question.
int Failed(const Error& error) {
  Fail(error);
  return kUnreadable;
}

// What git gives for the side where there is no file.
constexpr std::string_view kNoFile = "/dev/null";

}  // namespace

CLI::App* DiffVerb::Register(CommandLine& line) {
  CLI::App* const verb = line.app.add_subcommand(
      "diff", "Show what differs between two plans: exit code 0 nothing, 1 something, 2 one cannot be read");
  AddText(line, *verb, "a", &path_a, "a file name", "A, the plan before")->required();
  AddText(line, *verb, "b", &path_b, "a file name", "B, the plan after")->required();
  verb->add_flag("--all", all, "Every change [the first few of each field]");
  verb->add_flag("--json", json, "As JSON; with --all, every change and every value in full");
  verb->footer(
      "Example:\n  mrs-plan diff tp2.mrsplan tp4.mrsplan\nGit shows plans by it: docs in plans/README.md, \"Plans in "
      "git\".");
  return verb;
}

int DiffVerb::Run() {
  if (path_a == kNoFile || path_b == kNoFile) return AgainstNothing();
  const auto a = OpenPlan(path_a);
  if (!a) return Failed(a.error());
  const auto b = OpenPlan(path_b);
  if (!b) return Failed(b.error());
  const PlanDiff diff = DiffPlans({a->plan(), a->name(), path_a}, {b->plan(), b->name(), path_b}, {.all = all});
  const diff::Summary summary = diff.same() ? diff::Summary{} : diff::Summarize(a->plan(), b->plan());
  const Status printed = Print(json ? DiffJson(diff, summary) : DiffText(diff, summary));
  if (!printed) return Failed(printed.error());
  return diff.same() ? kSame : kDifferent;
}

int DiffVerb::AgainstNothing() {
  if (path_a == path_b) return Failed(Refuse("diff: both plans are {}, which stands for none", kNoFile));
  const char name = path_a == kNoFile ? 'B' : 'A';
  const std::string& path = name == 'B' ? path_b : path_a;
  const auto plan = OpenPlan(path);
  if (!plan) return Failed(plan.error());
  const DiffSide only{plan->plan(), plan->name(), path};
  const Status printed = Print(json ? OneSidedJson(name, only) : OneSidedText(name, only));
  return printed ? kDifferent : Failed(printed.error());
}

}  // namespace mrs::cli
