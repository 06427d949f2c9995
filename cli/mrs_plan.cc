// mrs-plan: decides everything about serving a model, ahead of time, and writes it into one file.
#include <unistd.h>

#include <filesystem>
#include <span>
#include <system_error>

#include "cli/check_verb.h"
#include "cli/cluster_options.h"
#include "cli/cluster_verb.h"
#include "cli/command_line.h"
#include "cli/diff_verb.h"
#include "cli/export_verb.h"
#include "cli/part_options.h"
#include "cli/progress_bar.h"
#include "cli/rules_verb.h"
#include "host/output.h"
#include "host/process.h"
#include "llvm/Support/ErrorHandling.h"
#include "planner/build.h"
#include "planner/dry_run.h"
#include "planner/hash_weights.h"
#include "planner/legality.h"
#include "planner/verify_model.h"
#include "plans/contract.h"
#include "plans/html/page.h"
#include "plans/reader.h"
#include "plans/text.h"
#include "plans/verify.h"
#include "plans/writer.h"

namespace {

using mrs::Fail;
using mrs::cli::AddChoice;
using mrs::cli::AddNumber;
using mrs::cli::AddSize;
using mrs::cli::AddText;
using mrs::cli::CommandLine;
using mrs::planner::BuildOptions;
using mrs::planner::Built;

// Everything, or an error: a full disk or closed pipe must not look like success.
int Print(const std::string& text) {
  const mrs::Status printed = mrs::Print(text);
  return printed.ok() ? 0 : Fail(printed.error());
}

struct BuildCommand {
  BuildOptions options;
  mrs::cli::ClusterOptions cluster;
  std::string ir_in, ir_source, ir_out, out = "model.mrsplan";
  bool dry_run = false;
  std::vector<CLI::Option*> of_a_model;  // what a finished module says itself

  CLI::App* Register(CommandLine& line) {
    CLI::App* const verb = line.app.add_subcommand("build", "Plan a model for N ranks and write x.mrsplan");
    AddText(line, *verb, "model", &options.model_dir, "a folder",
            "Model folder: config.json and safetensors (headers are read; data with --hash-weights alone)");
    AddNumber<int64_t>(line, *verb, "--tp", &options.tp, 1, mrs::kMaxChunks, "Tensor-parallel ranks")
        ->default_str("1, or as the cluster has it");
    AddNumber<int64_t>(line, *verb, "--pp", &options.pp, 1, 4096,
                       "Pipeline stages, cut so that all read about equally much of the weights")
        ->default_str("1");
    AddText(line, *verb, "-n,--device-layers", &options.device_layers, "a map such as 0:16;1:16",
            "Pipeline stages, one by one: device : layers; devices are the cluster's, or CPU ranks of this host; with "
            "--tp their groups");
    cluster.Register(line, *verb);
    AddNumber<int64_t>(line, *verb, "--max-len", &options.max_len, 1, INT32_MAX,
                       "Tokens of one sequence, prompt and answer [the model's, at most 8192]");
    AddNumber<int64_t>(line, *verb, "--max-seqs", &options.max_seqs, 1, 4096, "Sequences of one forward")
        ->default_str(fmt::format("{}", options.max_seqs));
    AddNumber<int64_t>(line, *verb, "--max-batched-tokens", &options.max_batched_tokens, 1, 65536,
                       "Tokens of one forward, of all sequences: longer prompts come in parts")
        ->default_str("512, fast: what fits up to 8192");
    AddChoice(line, *verb, "--numerics", &options.numerics, {"auto", "pair2", "block32", "fast"},
              "Order of sums: pair2 (native on AVX-512 BF16), block32 (of AMX tiles, still emulated), fast (of GPUs: "
              "products and attention of many rows by tensor cores, no order that is kept; no GPU has run it yet); "
              "auto: fast for GPUs and bf16, else pair2");
    AddChoice(line, *verb, "--dtype", &options.dtype, {"auto", "f32", "bf16"},
              "Matrices, their inputs and KV: bf16 or f32");
    AddSize(line, *verb, "--memory", &options.memory, mrs::contract::kMaxArenaBytes,
            "Bytes a rank may use, e.g. 8GiB [90 % of this host's over its ranks]");
    AddText(line, *verb, "--name", &options.name, "a name", "What clients call the model [its folder]");
    AddChoice(line, *verb, "--reduction", &options.reduction, {"canonical", "rank_order"},
              "canonical, or rank_order: a control whose tokens depend on N");
    AddChoice(line, *verb, "--hash-weights", &options.hash_weights, {"xxh3", "sha256"},
              "Read all weights, and record a digest of every slice that a rank reads: ranks refuse other bytes");
    AddChoice(line, *verb, "--solve", &options.solve, {"max-len", "max-seqs"},
              "Take the largest that fits: max-len (for one sequence), max-seqs (all of max-len at once)");
    verb->add_flag("--allow-any-world", options.any_world, "Stages x tp need be no power of two");
    verb->add_flag("--dry-run", dry_run,
                   "Show layout, legal sizes and memory of a config.json, or a folder with one, and write nothing");
    // Those above; what goes with --ir stands below.
    of_a_model = verb->get_options(
        [](const CLI::Option* option) { return option->nonpositional() && !option->check_lname("help"); });
    AddText(line, *verb, "--ir", &ir_in, "a file name",
            "Write the plan of this finished module instead of a model folder's; it says all of the above");
    AddText(line, *verb, "--ir-source", &ir_source, "a file name",
            "The unsharded module (--ir-out) that the module of --ir must compute; without it the plan has no "
            "certificate of erasure");
    AddText(line, *verb, "--ir-out", &ir_out, "a file name",
            "Write the unsharded module here, and no plan: what mrs-opt --mrs-plan starts from");
    AddText(line, *verb, "-o,--output", &out, "a file name", "The plan");
    verb->footer(
        "Example:\n  mrs-plan build models/mini --tp 2 -o mini.mrsplan\n  mrs-exec --plan mini.mrsplan --model "
        "models/mini");
    return verb;
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
    for (const char* solved : {"max-len", "max-seqs"}) {
      if (options.solve == solved && CountOf(fmt::format("--{}", solved)) > 0) {
        return Fail({mrs::ErrorKind::kUsage,
                     fmt::format("build: --solve {} finds what --{} says; give one of the two", solved, solved)});
      }
    }
    if (ir_in.empty()) {
      if (const mrs::Status filled = cluster.Fill(&options); !filled) return Fail(filled.error());
      if (const std::string unused = mrs::cli::UnusedVariables(environ); !unused.empty()) {
        mrs::Say("mrs-plan: warning: {}\n", unused);
      }
    }
    if (!options.hash_weights.empty() && (dry_run || !ir_out.empty())) {
      return Fail(
          {mrs::ErrorKind::kUsage, fmt::format("build: --hash-weights is for a plan, and {} writes none; one of "
                                               "the two",
                                               dry_run ? "--dry-run" : "--ir-out")});
    }
    if (dry_run) return RunDry();
    mrs::cli::ProgressBar progress("hashing");
    options.on_hashed = [&](uint64_t done, uint64_t total) { progress.Show(done, total); };
    auto built = !ir_in.empty()   ? mrs::planner::BuildFromIr(ir_in, ir_source)
                 : ir_out.empty() ? mrs::planner::Build(options)
                                  : mrs::planner::BuildUnsharded(options);
    progress.EndWithRate();
    if (!built) return Fail(built.error());
    for (const std::string& warning : built->warnings) mrs::Say("mrs-plan: warning: {}\n", warning);
    for (const std::string& note : built->notes) mrs::Say("mrs-plan: chosen: {}\n", note);
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

 private:
  size_t CountOf(const std::string& name) const {
    size_t count = 0;
    for (const CLI::Option* option : of_a_model) {
      if (option->check_name(name)) count += option->count();
    }
    return count;
  }

  int RunDry() {
    if (!ir_out.empty()) {
      return Fail({mrs::ErrorKind::kUsage, "build: --dry-run writes nothing, --ir-out a module; one of the two"});
    }
    const auto report = mrs::planner::DryRun(options);
    if (!report) return Fail(report.error());
    for (const std::string& warning : report->warnings) mrs::Say("mrs-plan: warning: {}\n", warning);
    return Print(report->text);
  }
};

struct InspectCommand {
  std::string path, html_out;
  mrs::cli::PartOptions part;
  bool json = false;
  const CLI::Option* html = nullptr;

  CLI::App* Register(CommandLine& line) {
    CLI::App* const verb = line.app.add_subcommand("inspect", "Show what a plan says");
    AddText(line, *verb, "plan", &path, "a file name", "x.mrsplan")->required();
    part.Register(line, *verb);
    verb->add_flag("--json", json, "Every field, or the part that was asked for, as JSON");
    html = AddText(line, *verb, "--html", &html_out, "a file name",
                   "One self-contained page of drawings and tables, to a file or standard output")
               ->expected(0, 1);
    verb->footer(
        "Example:\n  mrs-plan inspect mini.mrsplan --html mini.html\n  mrs-plan inspect "
        "mini.mrsplan --rank 1 --layer 2    # layer 2 as rank 1 holds it");
    return verb;
  }

  int Run() {
    if (json && html->count() > 0) {
      return Fail({mrs::ErrorKind::kUsage, "inspect: --json and --html are two forms of the same; one of the two"});
    }
    if (part.any() && html->count() > 0) {
      return Fail({mrs::ErrorKind::kUsage,
                   "inspect: --html shows all of a plan, --rank, --layer and --tensor a part; one of the two"});
    }
    // inspect --html *.mrsplan, which the shell has made two plans of, must not write over the second.
    if (html_out.ends_with(mrs::contract::kFileExtension)) {
      return Fail({mrs::ErrorKind::kUsage,
                   fmt::format("--html {}: would write a page where a plan is; name a file that does not end in {}",
                               mrs::cli::ShownValue(html_out), mrs::contract::kFileExtension)});
    }
    std::error_code absent;
    if (!html_out.empty() && std::filesystem::equivalent(path, html_out, absent)) {
      return Fail({mrs::ErrorKind::kUsage,
                   fmt::format("--html {}: is the plan itself; name another file", mrs::cli::ShownValue(html_out))});
    }
    auto plan = mrs::OpenPlan(path);
    if (!plan) return Fail(plan.error());
    if (part.any()) return part.Run(*plan, path, json);
    if (html->count() > 0) return WriteHtml(*plan);
    return Print(json ? mrs::PlanToJson(plan->plan(), plan->name()) : mrs::PlanToText(plan->plan(), plan->name()));
  }

 private:
  int WriteHtml(const mrs::OpenedPlan& plan) {
    const std::string page = mrs::PlanToHtml(plan.plan(), plan.name());
    if (html_out.empty()) return Print(page);
    const mrs::Status written = mrs::WritePlanFile(html_out, page);
    return written.ok() ? 0 : Fail(written.error());
  }
};

struct VerifyCommand {
  std::string path, model_dir;
  bool hash_weights = false;

  CLI::App* Register(CommandLine& line) {
    CLI::App* const verb =
        line.app.add_subcommand("verify", "Check a plan in itself: exit code 0 if it holds, 1 with the reason if not");
    AddText(line, *verb, "plan", &path, "a file name", "x.mrsplan")->required();
    AddText(line, *verb, "--model", &model_dir, "a folder", "Also check that it is the plan of this model folder");
    verb->add_flag("--hash-weights", hash_weights, "Also read all weights, and hold them against the plan's digests");
    verb->footer(
        "Example:\n  mrs-plan verify mini.mrsplan --model models/mini    # proved to be that model's, by anybody");
    return verb;
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
    if (hash_weights) {
      if (model_dir.empty()) {
        return Fail({mrs::ErrorKind::kUsage, "verify: --hash-weights: of which folder? Say it with --model DIR"});
      }
      mrs::cli::ProgressBar progress("hashing");
      const mrs::Status same = mrs::planner::CheckDigestsOfWeights(
          plan->plan(),
          {.model_dir = model_dir, .progress = [&](uint64_t done, uint64_t total) { progress.Show(done, total); }});
      progress.EndWithRate();
      if (!same.ok()) return Fail(same.error());
      passed.emplace_back("weights, byte for byte");
    }
    return Print(fmt::format("{}: verified, sha256 {}\nchecked: {}\n", path, plan->name(), fmt::join(passed, ", ")));
  }
};

constexpr std::string_view kCluster =
    "say what there is with --gpus 2x8xH100-SXM+400G, --cpus 4 or --cluster FILE, and the layout with --tp N and --pp "
    "N";
constexpr std::string_view kReplicas = "not there yet: replicas and expert parallelism; use --tp N and --pp N";
constexpr std::string_view kExecs = "that is an option of mrs-exec";

// What users of other planners and servers try, and what is to come.
constexpr mrs::cli::Elsewhere kElsewhere[] = {
    {"--gpu --num-gpus --device --cuda", "use --gpus 8xH100-SXM, --cluster FILE or --devices cuda:0,1"},
    {"--ranks --world-size --nodes --nnodes --num-nodes", kCluster},
    {"--dp -dp --data-parallel-size --ep --expert-parallel-size", kReplicas},
    {"-tp --tensor-parallel-size", "use --tp N"},
    {"-pp --pipeline-parallel-size", "use --pp N"},
    {"--num-device-layers", "use --device-layers MAP"},
    {"--max-model-len --max-seq-len --ctx-size -c", "use --max-len N"},
    {"--max-num-seqs --max-batch-size --parallel", "use --max-seqs N"},
    {"--gpu-memory-utilization --kv-cache-memory-bytes", "use --memory BYTES"},
    {"--served-model-name --alias", "use --name NAME"},
    {"--model --model-id --model-path -m", "give the model folder without a name: mrs-plan build DIR"},
    {"--quantization -q --isq --load-format --kv-cache-dtype", "not there yet: quantized weights and caches"},
    {"--search --auto --objective --predict --block-size --chat-template", "not there yet; leave it out"},
    {"--trust-remote-code", "no code of a model is ever run; leave it out"},
    {"--port --host --prompt --plan --threads --transport --chunk --hang-timeout --cuda-graphs --dependent-launch",
     kExecs},
    {"--api-key-file --no-auth", "not there yet, and mrs-exec's to take: it binds 127.0.0.1 only and asks for no key"},
    {"explain simulate search", "not there yet; see mrs-plan --help"},
    {"serve run", "that is mrs-exec's: mrs-exec --plan x.mrsplan"},
};

int Main(int argc, char** argv) {
  CommandLine line("mrs-plan",
                   "mrs-plan: every rank's execution plan, decided and verified before a single device is touched");
  line.app.set_version_flag("--version", "mrs-plan " MRS_VERSION);
  line.elsewhere = kElsewhere;
  BuildCommand build;
  InspectCommand inspect;
  VerifyCommand verify;
  mrs::cli::DiffVerb diff;
  mrs::cli::RulesCommand rules;
  mrs::cli::CheckCommand check;
  mrs::cli::ClusterVerb cluster;
  mrs::cli::ExportVerb exports;
  const CLI::App* const builds = build.Register(line);
  const CLI::App* const inspects = inspect.Register(line);
  const CLI::App* const verifies = verify.Register(line);
  const CLI::App* const diffs = diff.Register(line);
  const CLI::App* const lists_rules = rules.Register(line);
  const CLI::App* const checks = check.Register(line);
  const CLI::App* const clusters = cluster.Register(line);
  const CLI::App* const exports_files = exports.Register(line);
  if (const std::optional<int> exit_code = mrs::cli::Parse(line, argc, argv)) return *exit_code;
  if (builds->parsed()) return build.Run();
  if (inspects->parsed()) return inspect.Run();
  if (diffs->parsed()) return diff.Run();
  if (lists_rules->parsed()) return rules.Run();
  if (checks->parsed()) return check.Run();
  if (clusters->parsed()) return cluster.Run();
  if (exports_files->parsed()) return exports.Run();
  MRS_CHECK(verifies->parsed());
  return verify.Run();
}

}  // namespace

int main(int argc, char** argv) {
  // LLVM is built without exceptions: where it finds no memory it would abort.
  llvm::install_bad_alloc_error_handler([](void*, const char*, bool) {
    mrs::EndProcess("LLVM", {mrs::ErrorKind::kRefused, "out of memory"});
  });
  return mrs::RunMain("mrs-plan", [&] { return Main(argc, argv); });
}
