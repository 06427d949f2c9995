#include "host/probe/in_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

namespace mrs::probe {
namespace {

constexpr int kThrew = 3;

[[noreturn]] void BeChild(const std::function<void()>& body, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kThrew);  // it ended before the line above
  // A reader of our output must not wait for a child that cannot be killed.
  const int null = open("/dev/null", O_RDWR);
  for (const int stream : {0, 1, 2}) null >= 0 ? dup2(null, stream) : close(stream);
  close_range(3, ~0u, 0);
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &no_core);
  try {
    body();
  } catch (...) {
    _exit(kThrew);
  }
  _exit(0);
}

// Its wait status, or none within the limit.
std::optional<int> Reap(pid_t pid, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    int status = 0;
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid) return status;
    if (got < 0 && errno != EINTR) return std::nullopt;
    if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // there is no timed wait for a process
  }
}

// Where SIGCHLD is ignored, as a parent may have left it, the kernel reaps the child and nobody learns how it ended.
void HearOfChildren() {
  struct sigaction before {};
  if (sigaction(SIGCHLD, nullptr, &before) != 0) return;
  if (before.sa_handler == SIG_IGN || (before.sa_flags & SA_NOCLDWAIT) != 0) signal(SIGCHLD, SIG_DFL);
}

}  // namespace

ChildEnd RunInChild(const std::function<void()>& body, std::chrono::milliseconds limit) {
  HearOfChildren();
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return {ChildEnd::How::kNotStarted, std::strerror(errno)};
  if (pid == 0) BeChild(body, parent);
  const std::optional<int> status = Reap(pid, limit);
  if (!status) {
    kill(pid, SIGKILL);
    Reap(pid, std::chrono::milliseconds(1000));
    return {ChildEnd::How::kHung, fmt::format("no answer within {} s", limit.count() / 1000.0)};
  }
  if (WIFSIGNALED(*status)) {
    const int number = WTERMSIG(*status);
    return {ChildEnd::How::kCrashed, fmt::format("signal {} ({})", number, strsignal(number))};
  }
  if (WEXITSTATUS(*status) != 0) {
    return {ChildEnd::How::kCrashed, fmt::format("exit code {}", WEXITSTATUS(*status))};
  }
  return {};
}

}  // namespace mrs::probe
