#include "runtime/engine/verdict.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstring>

namespace mrs {

std::string RankRange(uint32_t first_rank, uint32_t rank_count) {
  if (rank_count == 1) return fmt::format("rank {}", first_rank);
  return fmt::format("ranks {} to {}", first_rank, first_rank + rank_count - 1);
}

std::optional<std::string> Judge(const std::vector<ProcessEnd>& ends, const std::vector<wire::Failure>& failures,
                                 const std::string& phase, bool last_call) {
  for (const ProcessEnd& end : ends) {
    if (!WIFSIGNALED(end.wait_status)) continue;
    const int signal = WTERMSIG(end.wait_status);
    return fmt::format("{} (pid {}) {} killed by signal {} ({}) {}", RankRange(end.first_rank, end.rank_count), end.pid,
                       end.rank_count == 1 ? "was" : "were", signal, strsignal(signal), phase);
  }
  const auto describe = [&](const wire::Failure& failure) {
    return fmt::format("rank {} failed {}: {}", failure.rank, phase, failure.message);
  };
  for (const wire::Failure& failure : failures) {
    if (failure.kind != ErrorKind::kUnavailable) return describe(failure);
  }
  if (!last_call) return std::nullopt;
  if (!failures.empty()) return describe(failures.front());
  for (const ProcessEnd& end : ends) {
    return fmt::format("{} (pid {}) exited with status {} {}", RankRange(end.first_rank, end.rank_count), end.pid,
                       WEXITSTATUS(end.wait_status), phase);
  }
  return std::nullopt;
}

}  // namespace mrs
