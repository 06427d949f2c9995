#include "cli/doctor_verb.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "cli/command_line.h"
#include "cli/doctor_plan.h"
#include "cli/node_seat.h"
#include "host/output.h"
#include "host/process.h"
#include "plans/printable.h"
#include "plans/reader.h"
#include "runtime/doctor/report.h"

namespace mrs::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  mrs-exec doctor                          one line a finding: ok, warn or bad, and what to do
  mrs-exec doctor --plan x.mrsplan         what this plan needs of this host, and the links between its ranks
  mrs-exec doctor --json > host.json       for mrs-plan cluster import host.json, on any machine

Exit codes: 0 ok, perhaps with warnings; 1 something is bad; 2 wrong usage.)";

constexpr Elsewhere kElsewhere[] = {
    {"--model", "doctor reads no weights; hold a model against its plan with mrs-plan check"},
    {"--rehearse", "rehearse with mrs-exec --plan x.mrsplan --rehearse"},
    {"--format --output -o", "there is --json; write it to a file with > host.json"},
};

}  // namespace

int RunDoctor(int argc, char** argv) {
  CommandLine line(
      "mrs-exec doctor",
      "mrs-exec doctor: cores, memory, limits, instruction sets, network and GPUs of this host, judged; with "
      "--plan, what that plan needs of it.");
  line.app.footer(kExamples);
  line.elsewhere = kElsewhere;
  bool json = false;
  ExecOptions options;
  line.app.add_flag("--json", json, "Everything that was found, as JSON (\"format\": \"mrs-doctor 1\")");
  AddText(line, line.app, "--plan", &options.plan_path, "a file name",
          "Say also what this plan needs of this host, and what is between its ranks, which are started for it");
  const char* with_plan = "With --plan";
  CLI::Option* const transport =
      AddChoice(line, line.app, "--transport", &options.transport, {"auto", "local", "shm", "tcp", "ring"},
                "How ranks talk: auto, local (threads; CPUs), shm, tcp, or ring (tcp between neighbours alone)")
          ->group(with_plan);
  CLI::Option* const threads = AddNumber<uint32_t>(line, line.app, "--threads", &options.threads, 1, 1024,
                                                   "Threads of each rank [the host's cores over the ranks]")
                                   ->group(with_plan);
  CLI::Option* const port =
      AddNumber<uint16_t>(line, line.app, "--port", &options.port, 0, 65535, "Port to serve on; 0: any free one")
          ->default_str(fmt::format("{}", options.port))
          ->group(with_plan);
  options.node.Register(line);
  if (const std::optional<int> exit_code = Parse(line, argc, argv)) return *exit_code;
  if (options.plan_path.empty() && transport->count() + threads->count() + port->count() > 0) {
    return Fail({ErrorKind::kUsage, "doctor: --transport, --threads and --port are for --plan"});
  }
  std::optional<OpenedPlan> opened;
  std::optional<NodeSeat> seat;
  if (!options.plan_path.empty()) {
    Result<OpenedPlan> read = OpenPlan(options.plan_path);
    if (!read.ok()) return Fail(read.error());
    options.rehearse = true;  // as the other nodes do
    Result<NodeSeat> found = FindSeat(read->plan(), options);
    if (!found.ok()) return Fail(found.error());
    if (!found->is_head()) {
      return Fail(
          Refuse("doctor --plan judges the links at the head, {}; this is {} ({}), which takes part by: "
                 "mrs-exec --plan {}{} --rehearse",
                 NodeText(found->nodes, 0), NodeText(found->nodes, found->identity.node), found->identity.source,
                 Printable(options.plan_path),
                 found->ring.has_value() ? "" : fmt::format(" --node {}", found->identity.node)));
    }
    opened.emplace(*std::move(read));
    seat.emplace(*std::move(found));
  }
  const doctor::Facts facts = doctor::Probe({});  // before there are threads
  std::vector<doctor::Finding> findings = doctor::Judge(facts);
  Json plan;
  if (opened.has_value()) {
    const Result<PlanRun> run = MeasurePlan(*opened, *seat, options);
    if (!run.ok()) return Fail(run.error());
    const std::vector<doctor::Finding> of_plan = JudgePlan(opened->plan(), facts, *run);
    findings.insert(findings.end(), of_plan.begin(), of_plan.end());
    plan = PlanJson(opened->plan(), opened->name(), *run);
  }
  const Status printed =
      Print(json ? doctor::ToJson(facts, findings, MRS_VERSION, plan) : doctor::ToText(facts, findings));
  if (!printed.ok()) return Fail(printed.error());
  return doctor::Worst(findings) == doctor::Verdict::kBad ? 1 : 0;
}

}  // namespace mrs::cli
