#include "host/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>

#include "host/output.h"

namespace mrs {
namespace {

const char* program_name = program_invocation_short_name;  // until RunMain, which comes before any thread

// A program started with one of them closed would get it for the next file it opens, and print into that file. What is
// put there instead refuses: an output that was closed stays an error for whoever needs it.
Status TakeStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    const int opened = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    if (opened != fd) {
      return Refuse("descriptor {} is closed, and /dev/null cannot be opened in its place: {}", fd,
                    opened < 0 ? std::strerror(errno) : "another descriptor came");
    }
  }
  return Status();
}

[[noreturn]] void Terminate() noexcept {
  if (std::current_exception() == nullptr) EndProcess("internal error", {ErrorKind::kRefused, "terminated"});
  EndProcess("ended", CaughtError());
}

// Constructors of other files run before main, and may find no memory.
__attribute__((constructor(101))) void HearBeforeMain() {
  program_name = program_invocation_short_name;
  std::set_terminate(Terminate);
}

}  // namespace

void RaiseDescriptorLimit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  [[maybe_unused]] const int done = setrlimit(RLIMIT_NOFILE, &limit);  // the old one does, too
}

Error CaughtError() noexcept {
  // Short enough for no allocation.
  const auto out_of_memory = [] { return Error{ErrorKind::kRefused, "out of memory"}; };
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::exception& error) {
    try {
      return Error{ErrorKind::kRefused, error.what()};
    } catch (...) {
      return out_of_memory();
    }
  } catch (...) {
    return Error{ErrorKind::kRefused, "unknown error"};
  }
}

void EndProcess(const char* what, const Error& error) noexcept {
  SayText(program_name);
  SayText(": ");
  SayText(what);
  SayText(": ");
  SayText(error.message);
  SayText("\n");
  _exit(1);
}

int Fail(const Error& error) noexcept {
  // There may be no memory for a longer one.
  std::array<char, 4096> line;
  const auto written = fmt::format_to_n(line.data(), line.size(), "{}: {}\n", program_name, error.message);
  if (written.size <= line.size()) {
    SayText({line.data(), written.size});
  } else {
    Say("{}: {}\n", program_name, error.message);
  }
  return error.kind == ErrorKind::kUsage ? 2 : 1;
}

int RunMain(const char* program, const std::function<int()>& body) noexcept {
  program_name = program;
  std::set_terminate(Terminate);
  signal(SIGPIPE, SIG_IGN);  // a reader that left: EPIPE
  signal(SIGXFSZ, SIG_IGN);  // a file past its limit (ulimit -f): EFBIG
  try {
    if (const Status taken = TakeStandardDescriptors(); !taken.ok()) return Fail(taken.error());
    return body();
  } catch (...) {
    return Fail(CaughtError());
  }
}

}  // namespace mrs
