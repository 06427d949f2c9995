#include "host/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;

// Once poll says that a pipe can be written, this much of it does not block.
constexpr size_t kPieceBytes = 4096;
constexpr std::chrono::seconds kPatience{1};  // with whoever reads the log

// Of an open descriptor, one piece. 0: it takes nothing now.
ssize_t WritePiece(int fd, std::string_view text) noexcept {
  for (;;) {
    const ssize_t written = write(fd, text.data(), std::min(text.size(), kPieceBytes));
    if (written >= 0) return written;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return -1;
  }
}

std::mutex along_mutex;
std::function<void(std::string_view)> along;

}  // namespace

void SayText(std::string_view text) noexcept {
  try {
    const std::lock_guard lock(along_mutex);
    if (along) along(text);
  } catch (...) {  // it is said here, at least
  }
  PassOn(text);
}

void HearAlong(std::function<void(std::string_view)> hear) {
  const std::lock_guard lock(along_mutex);
  along = std::move(hear);
}

void PassOn(std::string_view text) noexcept {
  static std::mutex mutex;
  Clock::time_point end = Clock::now() + kPatience;
  std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
  // Whoever holds it waits for a second at most; its lines mixed with ours are better than ours lost.
  while (!lock.owns_lock() && Clock::now() < end) {
    poll(nullptr, 0, 1);
    lock = std::unique_lock<std::mutex>(mutex, std::try_to_lock);
  }
  end = Clock::now() + kPatience;
  while (!text.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return;
    pollfd waiting{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    if (poll(&waiting, 1, static_cast<int>(left)) <= 0) continue;
    const ssize_t written = WritePiece(STDERR_FILENO, text);
    if (written < 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

Status Print(std::string_view text, int interrupt_fd) {
  while (!text.empty()) {
    // poll passes over a descriptor of -1.
    pollfd waiting[] = {{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0},
                        {.fd = interrupt_fd, .events = POLLIN, .revents = 0}};
    if (poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) return Error{ErrorKind::kCancelled, "standard output: interrupted"};
    const ssize_t written = WritePiece(STDOUT_FILENO, text);
    if (written < 0) return Refuse("standard output: cannot write: {}", std::strerror(errno));
    text.remove_prefix(static_cast<size_t>(written));
  }
  return Status();
}

}  // namespace mrs
