// An Fd owns a file descriptor and closes it.
//
//   Fd file(memfd_create("ring", MFD_CLOEXEC));
//   if (!file) return Unavailable("...");
#pragma once

#include <unistd.h>

#include <utility>

namespace mrs {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;  // -1: none
};

}  // namespace mrs
