// mrs-plan: decides everything about serving a model, ahead of time, and writes it into one file.
#include <CLI/CLI.hpp>
#include <span>

#include "cli/exit_of.h"
#include "host/output.h"
#include "host/process.h"
#include "planner/build.h"
#include "planner/verify_model.h"
#include "plans/reader.h"
#include "plans/text.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace {

using mrs::Fail;
using mrs::planner::BuildOptions;
using mrs::planner::Built;

// Everything, or an error: a full disk or closed pipe must not look like success.
int Print(const std::string& text) {
  const mrs::Status printed = mrs::Print(text);
  return printed.ok() ? 0 : Fail(printed.error());
}

struct BuildCommand {
  BuildOptions options;
  std::string ir_in, ir_source, ir_out, out = "model.mrsplan";
  std::vector<CLI::Option*> of_a_model;  // what a finished module says itself

  void Register(CLI::App& app, int* exit_code) {
    CLI::App* verb = app.add_subcommand("build", "Plan a model for N ranks and write x.mrsplan");
    verb->add_option("model", options.model_dir,
                     "Model folder: config.json and safetensors (headers are read, never data)");
    verb->add_option("--tp", options.tp, "Tensor-parallel ranks")->capture_default_str();
    verb->add_option("--max-len", options.max_len,
                     "Tokens of one sequence, prompt and answer [the model's, at most 8192]");
    verb->add_option("--max-seqs", options.max_seqs, "Sequences of one forward")->capture_default_str();
    verb->add_option("--numerics", options.numerics,
                     "Order of sums: pair2 (native on AVX-512 BF16), block32 (for AMX tiles, emulated yet); auto: pair2")
        ->capture_default_str();
    verb->add_option("--dtype", options.dtype, "Matrices, their inputs and KV: bf16 or f32")->capture_default_str();
    verb->add_option("--memory", options.memory, "Bytes a rank may use, e.g. 8GiB [90 % of this host's over its ranks]")
        ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
    verb->add_option("--name", options.name, "What clients call the model [model]");
    verb->add_option("--reduction", options.reduction, "canonical, or rank_order: a control whose tokens depend on N")
        ->capture_default_str();
    // Those above; what goes with --ir stands below.
    of_a_model = verb->get_options(
        [](const CLI::Option* option) { return option->nonpositional() && !option->check_lname("help"); });
    verb->add_option("--ir", ir_in,
                     "Write the plan of this finished module instead of a model folder's; it says all of the above");
    verb->add_option("--ir-source", ir_source,
                     "The unsharded module (--ir-out) that the module of --ir must compute; without it the plan has no "
                     "certificate of erasure");
    verb->add_option("--ir-out", ir_out,
                     "Write the unsharded module here, and no plan: what mrs-opt --mrs-plan starts from");
    verb->add_option("-o,--output", out, "The plan")->capture_default_str();
    verb->footer(
        "Example:\n  mrs-plan build models/mini --tp 2 -o mini.mrsplan\n  mrs-exec --plan mini.mrsplan --model "
        "models/mini");
    verb->callback([this, exit_code] { *exit_code = Run(); });
  }

  int Run() {
    if (options.model_dir.empty() == ir_in.empty()) {
      return Fail({mrs::ErrorKind::kUsage, "build: give a model folder, or a module with --ir FILE; one of the two"});
    }
    if (!ir_in.empty() && !ir_out.empty()) {
      return Fail({mrs::ErrorKind::kUsage,
                   "build: --ir makes a plan of a module, --ir-out writes a model's module; one of the two"});
    }
    if (!ir_source.empty() && ir_in.empty()) {
      return Fail({mrs::ErrorKind::kUsage,
                   "build: --ir-source goes with --ir FILE; a model folder is always held against its own graph"});
    }
    for (const CLI::Option* option : of_a_model) {
      if (ir_in.empty() || option->count() == 0) continue;
      return Fail(
          {mrs::ErrorKind::kUsage,
           fmt::format("build: {} is for a model folder; the module of --ir says it itself: give one of the two",
                       option->get_name())});
    }
    auto built = !ir_in.empty()   ? mrs::planner::BuildFromIr(ir_in, ir_source)
                 : ir_out.empty() ? mrs::planner::Build(options)
                                  : mrs::planner::BuildUnsharded(options);
    if (!built) return Fail(built.error());
    for (const std::string& warning : built->warnings) mrs::Say("mrs-plan: warning: {}\n", warning);
    const bool unsharded = !ir_out.empty();
    if (unsharded) {
      const mrs::Status written = mrs::WritePlanFile(ir_out, built->unsharded_ir);
      return written.ok() ? 0 : Fail(written.error());
    }
    // The bytes that are written, and not what lies in the file a moment later.
    auto plan = mrs::OpenPlanBytes(std::as_bytes(std::span(built->plan_bytes)), out);
    if (!plan) return Fail(plan.error());
    const mrs::Status written = mrs::WritePlanFile(out, built->plan_bytes);
    if (!written) return Fail(written.error());
    const mrs::Status printed = mrs::Print(mrs::PlanSummary(plan->plan(), plan->name()));
    if (printed.ok()) return 0;
    return Fail({printed.error().kind, fmt::format("{}; the plan {} is written all the same", printed.message(), out)});
  }
};

struct InspectCommand {
  std::string path;
  bool json = false;

  void Register(CLI::App& app, int* exit_code) {
    CLI::App* verb = app.add_subcommand("inspect", "Show what a plan says");
    verb->add_option("plan", path, "x.mrsplan")->required();
    verb->add_flag("--json", json, "Every field, as JSON");
    verb->callback([this, exit_code] {
      auto plan = mrs::OpenPlan(path);
      *exit_code = !plan ? Fail(plan.error())
                         : Print(json ? mrs::PlanToJson(plan->plan(), plan->name())
                                      : mrs::PlanToText(plan->plan(), plan->name()));
    });
  }
};

struct VerifyCommand {
  std::string path, model_dir;

  void Register(CLI::App& app, int* exit_code) {
    CLI::App* verb =
        app.add_subcommand("verify", "Check a plan in itself: exit code 0 if it holds, 1 with the reason if not");
    verb->add_option("plan", path, "x.mrsplan")->required();
    verb->add_option("--model", model_dir, "Also check that it is the plan of this model folder");
    verb->footer(
        "Example:\n  mrs-plan verify mini.mrsplan --model models/mini    # proved to be that model's, by anybody");
    verb->callback([this, exit_code] { *exit_code = Run(); });
  }

  int Run() {
    auto plan = mrs::OpenPlan(path);
    if (!plan) return Fail(plan.error());
    std::vector<std::string> passed = {std::string(mrs::kVerifyName)};
    if (!model_dir.empty()) {
      const auto of_model = mrs::planner::VerifyPlanOfModel(plan->plan(), model_dir);
      if (!of_model) {
        return Fail({of_model.error().kind,
                     fmt::format("plan {}: is not the plan of {}: {}", path, model_dir, of_model.message())});
      }
      passed.insert(passed.end(), of_model->begin(), of_model->end());
    }
    return Print(fmt::format("{}: verified, sha256 {}\nchecked: {}\n", path, plan->name(), fmt::join(passed, ", ")));
  }
};

int Main(int argc, char** argv) {
  CLI::App app("mrs-plan: every rank's execution plan, decided and verified before a single device is touched");
  app.set_version_flag("--version", "mrs-plan " MRS_VERSION);
  app.require_subcommand(1);
  int exit_code = 0;
  BuildCommand build;
  InspectCommand inspect;
  VerifyCommand verify;
  build.Register(app, &exit_code);
  inspect.Register(app, &exit_code);
  verify.Register(app, &exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return mrs::cli::ExitOf(app, error);
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  return mrs::RunMain("mrs-plan", [&] { return Main(argc, argv); });
}
