#include "runtime/world/finding_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/world/verdict.h"

namespace mrs {
namespace {

constexpr size_t kNamed = 8;  // ranks in one list; the rest are counted

std::string Joined(const std::vector<std::string>& parts, size_t most) {
  std::vector<std::string> shown(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(std::min(parts.size(), most)));
  if (parts.size() > most) shown.push_back(fmt::format("{} others", parts.size() - most));
  if (shown.size() == 1) return shown[0];
  const std::string last = shown.back();
  shown.pop_back();
  return fmt::format("{} and {}", fmt::join(shown, ", "), last);
}

// "rank 1 (pid 77)", "rank 2 on node 1 (b at 10.0.0.2)", "ranks 0 to 3 (pid 76) and rank 5 (pid 81)": a process whose
// ranks are all there is one name.
std::string Who(const std::vector<uint32_t>& ranks, const WorldNames& names) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < ranks.size();) {
    const auto holds = [&](const NamedProcess& process) {
      return ranks[i] >= process.first_rank && ranks[i] - process.first_rank < process.rank_count;
    };
    const auto process = std::ranges::find_if(names.processes, holds);
    if (process == names.processes.end()) {
      parts.push_back(fmt::format("rank {}", ranks[i++]));
      continue;
    }
    const size_t count = process->rank_count;
    const bool whole =
        ranks[i] == process->first_rank && ranks.size() - i >= count && ranks[i + count - 1] - ranks[i] == count - 1;
    std::string part = RankRange(ranks[i], whole ? process->rank_count : 1);
    if (!process->place.empty()) part += fmt::format(" on {}", process->place);
    if (process->pid != 0) part += fmt::format(" (pid {})", process->pid);
    parts.push_back(std::move(part));
    i += whole ? count : 1;
  }
  return Joined(parts, kNamed);
}

std::string Where(const Finding& finding, const WorldNames& names) {
  const RankProgress& progress = finding.progress;
  switch (progress.phase) {
    case RankPhase::kUnseen:
    case RankPhase::kStarting:
      return "while starting";
    case RankPhase::kMeeting:
      return "while meeting the others";
    case RankPhase::kLoading:
      return "while loading weights";
    case RankPhase::kIdle:
      return "while idle";
    case RankPhase::kSending:
      return fmt::format("while sending the result of step {}", progress.step);
    case RankPhase::kWorking:
      break;
  }
  if (progress.operation == 0) return fmt::format("at step {}, before its first operation", progress.step);
  const std::string name = names.step_name ? names.step_name(finding.ranks[0], progress.plan_step) : "";
  return fmt::format("at step {}, operation {} of {}{}", progress.step, progress.operation, progress.operations,
                     name.empty() ? "" : fmt::format(" ('{}')", name));
}

}  // namespace

std::string RankList(const std::vector<uint32_t>& ranks) {
  std::vector<std::string> parts;
  for (const uint32_t rank : ranks) parts.push_back(fmt::format("{}", rank));
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", Joined(parts, kNamed));
}

std::string Describe(const Finding& finding, const WorldNames& names) {
  const std::string who = Who(finding.ranks, names);
  const std::string where = Where(finding, names);
  const bool many = finding.ranks.size() > 1;
  const double seconds = std::chrono::duration<double>(finding.since).count();
  const std::string wait = finding.waiting.empty() ? ""
                                                   : fmt::format("; {} {} for it", RankList(finding.waiting),
                                                                 finding.waiting.size() == 1 ? "waits" : "wait");
  switch (finding.kind) {
    case Finding::Kind::kLost:
      return fmt::format("{} {} frozen or cut off: no sign of life for {:.1f} s {}", who, many ? "are" : "is", seconds,
                         where);
    case Finding::Kind::kUnstarted:
      return fmt::format("{} {} not start: no sign of life for {:.1f} s", who, many ? "do" : "does", seconds);
    case Finding::Kind::kHangs:
      return fmt::format("{} hangs {}: alive, but no progress for {:.1f} s{}", who, where, seconds, wait);
    case Finding::Kind::kDeaf:
      return fmt::format("{} {} {}: alive, but {} not looked for a message for {:.1f} s", who, many ? "hang" : "hangs",
                         where, many ? "have" : "has", seconds);
    case Finding::Kind::kCircle:
      return fmt::format("{} wait for each other {}: no byte has moved between them for {:.1f} s", who, where, seconds);
    case Finding::Kind::kMissed:
      return fmt::format("{} hangs after step {}: alive, but idle for {:.1f} s{}", who, finding.progress.step, seconds,
                         wait);
    case Finding::Kind::kOwes:
      return fmt::format("{} hangs after step {}: alive, but idle for {:.1f} s; the supervisor waits for its message",
                         who, finding.progress.step, seconds);
    case Finding::Kind::kSlow:
      return fmt::format("step {} is slow: after {:.1f} s {} is at operation {} of {}, {:.2g} operations a second{}",
                         finding.progress.step, seconds, who, finding.progress.operation, finding.progress.operations,
                         seconds > 0 ? finding.progress.operation / seconds : 0.0, wait);
  }
  return who;
}

}  // namespace mrs
