#include "runtime/world/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>

extern char** environ;

namespace mrs {

Result<pid_t> SpawnRank(const std::string& program, int socket_fd, int error_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (error_fd >= 0) posix_spawn_file_actions_adddup2(&actions, error_fd, 2);
  posix_spawn_file_actions_adddup2(&actions, socket_fd, kRankFd);  // clears close-on-exec, also of 3 itself
  posix_spawn_file_actions_addclosefrom_np(&actions, kRankFd + 1);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigfillset(&signals);
  for (const int number : {SIGUSR1, SIGUSR2})
    sigdelset(&signals, number);  // ignored here, and so from its first moment
  posix_spawnattr_setsigdefault(&attributes, &signals);
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);

  std::string name = "mrs-exec", verb = "rank", flag = "--fd", fd = std::to_string(kRankFd);
  char* const arguments[] = {name.data(), verb.data(), flag.data(), fd.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return Unavailable("cannot start a rank process from {}: {}; raise ulimit -u or the cgroup's pids.max", program,
                       strerror(error));
  return pid;
}

Result<int> ReapWithin(pid_t pid, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    int status = 0;
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) return status;
    if (got < 0 && errno != EINTR) return Unavailable("process {} cannot be waited for: {}", pid, strerror(errno));
    if (std::chrono::steady_clock::now() >= deadline) return Unavailable("process {} still runs", pid);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // there is no timed wait for a process
  }
}

}  // namespace mrs
