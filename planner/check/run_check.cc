#include "planner/check/run_check.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>

#include "formats/input_file.h"
#include "formats/json.h"
#include "formats/json_positions.h"
#include "planner/check/check_cluster.h"
#include "planner/check/check_model.h"
#include "planner/check/find_inputs.h"
#include "planner/check/ring_check.h"

namespace mrs::check {
namespace {

constexpr size_t kMaxRingFiles = 1024;  // of 64 KiB at most

void Append(std::vector<Diagnostic>& to, std::vector<Diagnostic> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

// "ring2_10.json" -> "ring2_#.json".
std::string WithoutLastNumber(const std::string& name) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto last = std::find_if(name.rbegin(), name.rend(), digit);
  const auto first = std::find_if_not(last, name.rend(), digit);
  return fmt::format("{}{}{}", std::string(name.begin(), first.base()), last == name.rend() ? "" : "#",
                     std::string(last.base(), name.end()));
}

bool RanksRepeat(const std::vector<RingSource>& files, const std::vector<size_t>& group) {
  std::set<uint32_t> ranks;
  return std::any_of(group.begin(), group.end(),
                     [&](size_t i) { return files[i].has_rank && !ranks.insert(files[i].rank).second; });
}

// The files of one folder by their names, where that leaves no rank twice; else as they are.
std::vector<std::vector<size_t>> SplitByName(const std::vector<RingSource>& files, const std::vector<size_t>& group) {
  if (!RanksRepeat(files, group)) return {group};
  std::map<std::string, std::vector<size_t>> by_name;
  for (const size_t i : group) {
    by_name[WithoutLastNumber(std::filesystem::path(files[i].path).filename().string())].push_back(i);
  }
  std::vector<std::vector<size_t>> parts;
  for (auto& [name, part] : by_name) {
    if (part.size() < 2 || RanksRepeat(files, part)) return {group};
    parts.push_back(std::move(part));
  }
  return parts;
}

void CheckRings(const std::vector<Input>& inputs, Report& report) {
  std::vector<RingFile> files;
  std::vector<RingSource> sources;
  for (const Input& input : inputs) {
    if (input.kind != InputKind::kRing) continue;
    if (files.size() == kMaxRingFiles) {
      report.diagnostics.push_back(Finding(
          "check.too-much", WholeOf(input.path),
          fmt::format("the {} RING_CONFIG files before it are as many as are checked in one go", kMaxRingFiles)));
      break;
    }
    Result<std::string> text = ReadFile(input.path, kMaxRingBytes);
    if (!text) {
      report.diagnostics.push_back(
          Finding("ring.syntax", WholeOf(input.path), SplitPlace(text.message(), input.path, "").message));
      continue;
    }
    RingReading reading = ReadRing(*text);
    sources.push_back({input.path, input.folder, reading.whole(), reading.config.rank});
    files.push_back({input.path, *std::move(text), std::move(reading)});
  }
  for (const std::vector<size_t>& group : GroupRings(sources)) {
    std::vector<RingFile> ring;
    for (const size_t i : group) {
      report.checked.push_back({"ring", files[i].path});
      Append(report.diagnostics, CheckRingFile(files[i]));
      ring.push_back(std::move(files[i]));
    }
    const bool whole = ring.size() > 1 || !sources[group.front()].folder.empty();
    Append(report.diagnostics, CheckRing(ring, whole));
  }
}

}  // namespace

std::vector<std::vector<size_t>> GroupRings(const std::vector<RingSource>& files) {
  std::map<std::string, std::vector<size_t>> by_folder;
  for (size_t i = 0; i < files.size(); ++i) by_folder[files[i].folder].push_back(i);
  // Folders with one file each, of one name, side by side.
  std::map<std::string, std::vector<size_t>> side_by_side;
  std::vector<std::vector<size_t>> groups;
  for (auto& [folder, group] : by_folder) {
    if (folder.empty() || group.size() > 1) {
      const auto parts = SplitByName(files, group);
      groups.insert(groups.end(), parts.begin(), parts.end());
      continue;
    }
    const std::filesystem::path path = files[group.front()].path;
    side_by_side[fmt::format("{}/{}", std::filesystem::path(folder).parent_path().string(),
                             WithoutLastNumber(path.filename().string()))]
        .push_back(group.front());
  }
  for (auto& [place, group] : side_by_side) groups.push_back(std::move(group));
  std::sort(groups.begin(), groups.end());
  return groups;
}

Report RunCheck(const CheckOptions& options) {
  Report report;
  FoundInputs found = FindInputs(options.paths);
  report.passed_over = std::move(found.passed_over);
  report.diagnostics = std::move(found.diagnostics);
  PlanContext plans = options.plans;
  std::error_code error;
  if (!plans.model_dir.empty() && !std::filesystem::is_directory(plans.model_dir, error)) {
    report.diagnostics.push_back(
        Finding("check.unreadable", WholeOf(plans.model_dir), "--model: is no folder, so no plan is held against it"));
    plans.model_dir.clear();
  }
  if (!plans.cluster.empty()) {  // what is wrong with it is told once, and not of each plan
    report.checked.push_back({"cluster", plans.cluster});
    Append(report.diagnostics, CheckClusterFile(plans.cluster));
  }
  for (const Input& input : found.inputs) {
    switch (input.kind) {
      case InputKind::kModelFolder:
        report.checked.push_back({"model", input.path});
        Append(report.diagnostics, CheckModelFolder(input.path, input.weights_due));
        break;
      case InputKind::kModelConfig:
        report.checked.push_back({"model", input.path});
        Append(report.diagnostics, CheckModelConfig(input.path));
        break;
      case InputKind::kPlan:
        report.checked.push_back({"plan", input.path});
        Append(report.diagnostics, CheckPlan(input.path, plans));
        break;
      case InputKind::kCluster:
        report.checked.push_back({"cluster", input.path});
        Append(report.diagnostics, CheckClusterFile(input.path));
        break;
      case InputKind::kRing:
        break;
    }
  }
  CheckRings(found.inputs, report);
  return report;
}

}  // namespace mrs::check
