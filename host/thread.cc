#include "host/thread.h"

#include <utility>

#include "host/process.h"

namespace mrs {

Result<std::thread> StartThread(const char* purpose, std::function<void()> body,
                                std::function<void(const Error&)> escaped) {
  try {
    return std::thread([purpose, body = std::move(body), escaped = std::move(escaped)]() noexcept {
      try {
        try {
          body();
        } catch (...) {
          escaped(CaughtError());
        }
      } catch (...) {
        EndProcess(purpose, CaughtError());
      }
    });
  } catch (...) {
    return Refuse("cannot start a thread: {} (for {}); raise ulimit -u, ulimit -v or the cgroup's pids.max",
                  CaughtError().message, purpose);
  }
}

}  // namespace mrs
