// Starts one rank process: this program again, with one socket to its supervisor and nothing else of it.
//
//   MRS_ASSIGN_OR_RETURN(const pid_t pid, SpawnRank("/proc/self/exe", child_end.get()));
//   // runs `mrs-exec rank --fd 3`
//
// The child gets stdin from /dev/null, our stdout and stderr, the socket as descriptor 3 and no other; default signals
// but for SIGUSR1 and SIGUSR2 (as here), an empty signal mask, and a process group of its own, so that a Ctrl-C ends it
// by way of its supervisor.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "plans/status.h"

namespace mrs {

inline constexpr int kRankFd = 3;

// error_fd: its standard error; -1: that of this process.
Result<pid_t> SpawnRank(const std::string& program, int socket_fd, int error_fd = -1);

// waitpid with a bound: the wait status, or an error when the process still runs after `limit`.
Result<int> ReapWithin(pid_t pid, std::chrono::milliseconds limit);

}  // namespace mrs
