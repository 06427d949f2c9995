#include "planner/check/check_plan.h"

#include <unistd.h>

#include "formats/checkpoint_file.h"
#include "planner/check/check_cluster.h"
#include "plans/contract.h"
#include "plans/recorded_file.h"
#include "plans/structure.h"
#include "plans/verify.h"
#include "plans/whole_file.h"

namespace mrs::check {
namespace {

constexpr const char* kRebuild = "rebuild it with mrs-plan build";

// Its own messages begin with the path, which stands in the note's place.
std::string Without(const std::string& prefix, const std::string& message) {
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

std::vector<Diagnostic> StaleFiles(const plan::Plan& plan, const std::string& path, const std::string& model_dir) {
  std::vector<Diagnostic> found;
  for (const RecordedFile& recorded : RecordedFilesOf(plan)) {
    const std::string file = fmt::format("{}/{}", model_dir, recorded.name);
    const Result<int> descriptor = OpenCheckpointFile(file, recorded);
    if (descriptor) {
      close(*descriptor);
      continue;
    }
    Diagnostic& stale = found.emplace_back(
        Finding("plan.stale-files", WholeOf(path),
                fmt::format("{}: {}", recorded.name, Without(fmt::format("{}: ", file), descriptor.message()))));
    stale.notes.push_back({WholeOf(file), "this file"});
  }
  return found;
}

}  // namespace

std::vector<Diagnostic> CheckPlan(const std::string& path, const PlanContext& context) {
  const auto only = [&](std::string_view id, std::string message) {
    return std::vector<Diagnostic>{Finding(id, WholeOf(path), std::move(message))};
  };
  const Result<WholeFile> file = ReadWholeFile(path, contract::kMaxFileBytes);
  if (!file) return only("check.unreadable", Without(fmt::format("{}: ", path), file.message()));
  const auto* start = reinterpret_cast<const char*>(file->bytes().data());
  if (IsGitLfsPointer({start, std::min(file->bytes().size(), kGitLfsPointerStart)})) {
    return only("plan.broken", Without(fmt::format("{}: ", path), GitLfsPointer(path).message));
  }
  const Result<SealedPlan> sealed = CheckStructure(file->bytes());
  if (!sealed) {
    const bool other_format = sealed.message().starts_with("has format ");
    return only(other_format ? "plan.version" : "plan.broken", fmt::format("{}; {}", sealed.message(), kRebuild));
  }
  const plan::Plan& plan = *sealed->plan;
  if (const Status sound = VerifyPlan(plan); !sound.ok()) {
    return only("plan.unsound", fmt::format("{}; {}", sound.message(), kRebuild));
  }
  std::vector<Diagnostic> found;
  if (const std::string producer = plan.producer()->str(); producer != context.producer) {
    found.push_back(Finding("plan.old-producer", WholeOf(path),
                            fmt::format("made by {}, this is {}; {}", producer, context.producer, kRebuild)));
  }
  if (!context.cluster.empty()) {
    for (Diagnostic& other : CheckPlanOfCluster(plan, path, context.cluster)) found.push_back(std::move(other));
  }
  if (context.model_dir.empty()) return found;
  std::vector<Diagnostic> stale = StaleFiles(plan, path, context.model_dir);
  if (stale.empty()) {
    if (const Status proved = context.prove(plan, context.model_dir); !proved.ok()) {
      stale.push_back(Finding("plan.other-model", WholeOf(path),
                              fmt::format("is not the plan of {}: {}", context.model_dir, proved.message())));
    }
  }
  found.insert(found.end(), stale.begin(), stale.end());
  return found;
}

}  // namespace mrs::check
