// Another process, forked from a test that has no threads, and what it says in the end.
//
//   Child child([&](Child::Side& side) -> std::string { side.Tell(); side.Wait(); return "done"; });
//   child.Wait();                  // until it tells
//   child.Tell();                  // so that it goes on
//   EXPECT_EQ(child.Said(), "done");
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

#include "plans/status.h"

namespace mrs {

// Empty: all went well.
inline std::string TextOf(const Status& status) { return status.ok() ? "" : status.message(); }

class Child {
 public:
  class Side {
   public:
    void Tell() const { EXPECT_EQ(write(to_, "+", 1), 1); }
    // False: the other side is gone.
    bool Wait() const {
      char told = 0;
      return read(from_, &told, 1) == 1 && told == '+';
    }

   private:
    friend class Child;
    int from_ = -1, to_ = -1;
  };

  explicit Child(const std::function<std::string(Side&)>& run) {
    int down[2], up[2], end[2];
    if (pipe(down) != 0 || pipe(up) != 0 || pipe(end) != 0) ADD_FAILURE() << "no pipes";
    pid_ = fork();
    if (pid_ == 0) {
      close(down[1]);
      close(up[0]);
      Side side;
      side.from_ = down[0];
      side.to_ = up[1];
      std::string said;
      try {
        said = run(side);
      } catch (...) {  // the test is the parent's
        _exit(3);
      }
      _exit(write(end[1], said.data(), said.size()) == static_cast<ssize_t>(said.size()) ? 0 : 1);
    }
    close(down[0]);
    close(up[1]);
    close(end[1]);
    side_.from_ = up[0];
    side_.to_ = down[1];
    end_ = end[0];
  }
  Child(const Child&) = delete;
  ~Child() {
    Kill();
    for (const int fd : {side_.from_, side_.to_, end_}) close(fd);
  }

  void Tell() const { side_.Tell(); }
  bool Wait() const { return side_.Wait(); }
  int pid() const { return pid_; }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  // Until it ends: what its function returned; without that, "exit status 9" or "signal 6".
  std::string Said() {
    std::string said;
    char bytes[4096];
    for (ssize_t count = 0; (count = read(end_, bytes, sizeof(bytes))) > 0;)
      said.append(bytes, static_cast<size_t>(count));
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? said : "exit status " + std::to_string(WEXITSTATUS(status));
  }

 private:
  Side side_;
  int end_ = -1;
  pid_t pid_ = -1;
};

}  // namespace mrs
