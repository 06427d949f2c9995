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

bool Holds(const ProcessEnd& end, uint32_t rank) {
  return rank >= end.first_rank && rank - end.first_rank < end.rank_count;
}

}  // namespace

std::string RankRange(uint32_t first_rank, uint32_t rank_count) {
  if (rank_count == 1) return fmt::format("rank {}", first_rank);
  return fmt::format("ranks {} to {}", first_rank, first_rank + rank_count - 1);
}

std::optional<std::string> Judge(const Evidence& evidence, bool last_call) {
  const auto& [ends, failures, silent, phase] = evidence;
  const auto signalled = [&ends = ends, &phase = phase](bool asked) -> std::optional<std::string> {
    for (const ProcessEnd& end : ends) {
      if (!end.wait_status.has_value() || !WIFSIGNALED(*end.wait_status)) continue;
      const int signal = WTERMSIG(*end.wait_status);
      if (AsksToEnd(signal) != asked) continue;
      return fmt::format("{} (pid {}) {} killed by signal {} ({}) {}", RankRange(end.first_rank, end.rank_count),
                         end.pid, end.rank_count == 1 ? "was" : "were", signal, strsignal(signal), phase);
    }
    return std::nullopt;
  };
  if (std::optional<std::string> killed = signalled(/*asked=*/false)) return killed;
  const auto describe = [&phase = phase](const wire::Failure& failure) {
    return fmt::format("rank {} failed {}: {}", failure.rank, phase, failure.message);
  };
  for (const wire::Failure& failure : failures) {
    if (!IsConsequence(failure.kind)) return describe(failure);
  }
  if (!last_call) return std::nullopt;
  if (std::optional<std::string> killed = signalled(/*asked=*/true)) return killed;
  const auto without_a_word = [&failures = failures](const ProcessEnd& end) {
    return std::ranges::none_of(failures, [&](const wire::Failure& failure) { return Holds(end, failure.rank); });
  };
  const auto waited = std::ranges::find(failures, ErrorKind::kTimedOut, &wire::Failure::kind);
  if (waited != failures.end() && silent.size() == 1 && std::ranges::none_of(ends, without_a_word)) {
    return fmt::format("rank {} hangs {}: it says nothing while the others wait; rank {}: {}", silent.front(), phase,
                       waited->rank, waited->message);
  }
  if (!failures.empty()) return describe(failures.front());
  for (const ProcessEnd& end : ends) {
    const std::string who = fmt::format("{} (pid {})", RankRange(end.first_rank, end.rank_count), end.pid);
    if (end.wait_status.has_value())
      return fmt::format("{} exited with status {} {}", who, WEXITSTATUS(*end.wait_status), phase);
    return fmt::format("{} ended {}, and how is not known: something else in this process waited for it", who, phase);
  }
  return std::nullopt;
}

}  // namespace mrs
