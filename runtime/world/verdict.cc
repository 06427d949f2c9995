#include "runtime/world/verdict.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

namespace mrs {

namespace {

// A peer is missed; why, another rank may say.
bool IsConsequence(ErrorKind kind) { return kind == ErrorKind::kUnavailable || kind == ErrorKind::kTimedOut; }

// Ways to ask a process to end. Often all processes of a group are asked at once.
bool AsksToEnd(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT; }

}  // namespace

std::string RankRange(uint32_t first_rank, uint32_t rank_count) {
  if (rank_count == 1) return fmt::format("rank {}", first_rank);
  return fmt::format("ranks {} to {}", first_rank, first_rank + rank_count - 1);
}

std::optional<std::string> Judge(const Evidence& evidence, bool last_call) {
  const auto& [ends, failures, seen, phase, places, node_lost] = evidence;
  const auto place = [&places = places](uint32_t rank) { return rank < places.size() ? places[rank] : std::string(); };
  const auto signalled = [&ends = ends, &phase = phase, &place](bool asked) -> std::optional<std::string> {
    for (const ProcessEnd& end : ends) {
      if (!end.wait_status.has_value() || !WIFSIGNALED(*end.wait_status)) continue;
      const int signal = WTERMSIG(*end.wait_status);
      if (AsksToEnd(signal) != asked) continue;
      return fmt::format("{}{} (pid {}) {} killed by signal {} ({}) {}", RankRange(end.first_rank, end.rank_count),
                         place(end.first_rank), end.pid, end.rank_count == 1 ? "was" : "were", signal,
                         strsignal(signal), phase);
    }
    return std::nullopt;
  };
  if (std::optional<std::string> killed = signalled(/*asked=*/false)) return killed;
  const auto describe = [&phase = phase, &place](const wire::Failure& failure) {
    return fmt::format("rank {}{} failed {}: {}", failure.rank, place(failure.rank), phase, failure.message);
  };
  for (const wire::Failure& failure : failures) {
    if (!IsConsequence(failure.kind)) return describe(failure);
  }
  if (node_lost.has_value()) return fmt::format("{} {}", *node_lost, phase);
  if (!seen.empty()) return seen;
  if (!last_call) return std::nullopt;
  if (std::optional<std::string> killed = signalled(/*asked=*/true)) return killed;
  if (!failures.empty()) return describe(failures.front());
  for (const ProcessEnd& end : ends) {
    const std::string who =
        fmt::format("{}{} (pid {})", RankRange(end.first_rank, end.rank_count), place(end.first_rank), end.pid);
    if (end.wait_status.has_value())
      return fmt::format("{} exited with status {} {}", who, WEXITSTATUS(*end.wait_status), phase);
    return fmt::format("{} ended {}, and how is not known: something else in this process waited for it", who, phase);
  }
  return std::nullopt;
}

}  // namespace mrs
