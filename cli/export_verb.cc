#include "cli/export_verb.h"

#include <filesystem>
#include <map>
#include <system_error>

#include "host/output.h"
#include "host/process.h"
#include "plans/printable.h"
#include "plans/reader.h"
#include "plans/writer.h"

namespace mrs::cli {
namespace {

const std::map<std::string, deploy::Target> kTargets = {{"lws", deploy::Target::kLws},
                                                        {"slurm", deploy::Target::kSlurm},
                                                        {"systemd", deploy::Target::kSystemd},
                                                        {"mistralrs", deploy::Target::kMistralrs}};

// Each whole or not at all; what was there under these names is replaced.
Status WriteFiles(const std::string& folder, const std::vector<deploy::ExportFile>& files) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Unavailable("-o {}: cannot be made: {}", ShownValue(folder), error.message());
  for (const deploy::ExportFile& file : files) {
    MRS_RETURN_IF_ERROR(WritePlanFile(fmt::format("{}/{}", folder, file.name), file.text));
  }
  return Status();
}

std::string Report(const deploy::Exported& exported, const std::string& folder) {
  std::string text;
  for (const deploy::ExportFile& file : exported.files) {
    text += fmt::format("wrote         {}/{}\n", Printable(folder), file.name);
  }
  for (const std::string& step : exported.steps) text += fmt::format("then          {}\n", step);
  for (const std::string& lack : exported.lacks) text += fmt::format("not expressed {}\n", lack);
  return text;
}

}  // namespace

CLI::App* ExportVerb::Register(CommandLine& line) {
  CLI::App* const verb = line.app.add_subcommand("export", "Write the files that start a plan on its nodes");
  AddText(line, *verb, "plan", &plan, "a file name", "x.mrsplan")->required();
  AddChoice(line, *verb, "--for", &target, {"lws", "slurm", "systemd", "mistralrs"},
            "Who starts it: lws (Kubernetes' LeaderWorkerSet), slurm, systemd, mistralrs (variables and RING_CONFIG "
            "files)")
      ->required();
  AddText(line, *verb, "-o,--output", &out, "a folder", "Where the files go; made where it is not there")->required();
  AddText(line, *verb, "--name", &options.name, "a name", "What the service is called [like the model]");
  AddText(line, *verb, "--plan-path", &options.plan_path, "a file name",
          "Where the plan is on every node [where it is here]");
  AddText(line, *verb, "--model", &options.model_dir, "a folder", "Where the model is on every node [beside the plan]");
  AddText(line, *verb, "--program", &options.program, "a program",
          "mrs-exec on every node, or mistralrs [in the PATH; /usr/local/bin/mrs-exec for systemd]");
  AddText(line, *verb, "--secret-file", &options.secret_file, "a file name",
          "Where the secret of several nodes is; it is never read here [/etc/mrs/cluster-secret]");
  AddText(line, *verb, "--image", &options.image, "an image",
          "lws: the image that has mrs-exec, and bash for its probes");
  AddNumber<uint16_t>(line, *verb, "--port", &options.port, 1, 65535, "Port for clients, at the head")
      ->default_str(fmt::format("{}", options.port));
  AddNumber<uint16_t>(line, *verb, "--cluster-port", &options.cluster_port, 1, 65535,
                      "Port N at which the head meets the other nodes; rank r of mrs-exec listens on N + 1 + r")
      ->default_str("29500; of a ring 9000");
  AddNumber<uint16_t>(line, *verb, "--ring-port", &options.ring_port, 1, 65535,
                      "mistralrs: rank r of the ring listens on this and r")
      ->default_str(fmt::format("{}", options.ring_port));
  verb->add_flag("--no-rehearsal", no_rehearsal, "Start without mrs-exec --rehearse before it");
  verb->footer(
      "Example:\n  mrs-plan export --for systemd two.mrsplan --model /srv/mini -o units\n  mrs-plan export --for "
      "mistralrs two.mrsplan --model /srv/mini -o ring && mrs-plan check ring\ndocs/multi_node.md tells what each "
      "needs.");
  return verb;
}

int ExportVerb::Run() {
  options.rehearse = !no_rehearsal;
  const auto opened = OpenPlan(plan);
  if (!opened) return Fail(opened.error());
  auto deployment = deploy::ReadDeployment(opened->plan(), opened->name());
  if (!deployment) return Fail({deployment.error().kind, fmt::format("plan {}: {}", plan, deployment.message())});
  if (options.plan_path.empty()) {
    std::error_code error;
    options.plan_path = std::filesystem::absolute(plan, error).lexically_normal();
    if (error) return Fail(Unavailable("{}: {}", ShownValue(plan), error.message()));
  }
  const auto exported = deploy::Export(*deployment, kTargets.at(target), options);
  if (!exported) return Fail(exported.error());
  if (const Status written = WriteFiles(out, exported->files); !written.ok()) return Fail(written.error());
  const Status printed = Print(Report(*exported, out));
  return printed.ok() ? 0 : Fail(printed.error());
}

}  // namespace mrs::cli
