// For LD_PRELOAD: spoils one TCP link between ranks, once so many bytes have gone over it.
//
//   MRS_BAD_LINK="2 0 flip-sent 4096"   // what rank 2 sends to rank 0: a bit of byte 4096 is flipped
//
// A rank of a mesh connects to every lower one, in their order: rank 2 is the process that connected to two ports, and
// the first of them is rank 0's. Kinds: flip-sent, flip-received, swallow (what is sent is thrown away from there on),
// close.
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace {

struct Connected {
  int fd;
  unsigned short port;
};
std::mutex mutex;
std::vector<Connected> connected;  // one for each port, in the order of the first attempts
unsigned long long sent = 0, received = 0;

struct Wish {
  unsigned rank = 0, peer = 0;
  char kind[32] = "";
  unsigned long long after = 0;
  bool is(const char* name) const { return std::strcmp(kind, name) == 0; }
};

const Wish& Wished() {
  static const Wish wish = [] {
    Wish read;
    const char* text = std::getenv("MRS_BAD_LINK");
    if (text == nullptr || std::sscanf(text, "%u %u %31s %llu", &read.rank, &read.peer, read.kind, &read.after) != 4) {
      read.rank = ~0u;
    }
    return read;
  }();
  return wish;
}

template <typename Function>
Function Real(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// With the mutex held.
bool IsTheLink(int fd) {
  const Wish& wish = Wished();
  return connected.size() == wish.rank && wish.peer < connected.size() && connected[wish.peer].fd == fd;
}

// Flips a bit of the byte that is `at` bytes into the vectors.
void Flip(const msghdr* message, unsigned long long at) {
  for (size_t i = 0; i < message->msg_iovlen; ++i) {
    const iovec& part = message->msg_iov[i];
    if (at < part.iov_len) {
      static_cast<unsigned char*>(part.iov_base)[at] ^= 4;
      return;
    }
    at -= part.iov_len;
  }
}

}  // namespace

extern "C" int connect(int fd, const sockaddr* address, socklen_t length) {
  const int result = Real(&connect, "connect")(fd, address, length);
  const int error = errno;
  if (address->sa_family == AF_INET && (result == 0 || error == EINPROGRESS)) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof(in));
    const std::lock_guard lock(mutex);
    bool known = false;
    for (Connected& one : connected) {
      if (one.port == in.sin_port) {
        one.fd = fd;
        known = true;
      }
    }
    if (!known) connected.push_back({fd, in.sin_port});
  }
  errno = error;
  return result;
}

extern "C" ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  const Wish& wish = Wished();
  {
    const std::lock_guard lock(mutex);
    if (IsTheLink(fd)) {
      size_t bytes = 0;
      for (size_t i = 0; i < message->msg_iovlen; ++i) bytes += message->msg_iov[i].iov_len;
      const bool due = sent + bytes > wish.after;
      if (due && wish.is("swallow")) return static_cast<ssize_t>(bytes);
      if (due && wish.is("close")) shutdown(fd, SHUT_RDWR);
      if (due && wish.is("flip-sent") && sent <= wish.after) {
        // The sender's own bytes stay as they are.
        std::vector<std::vector<char>> copies;
        std::vector<iovec> vectors;
        for (size_t i = 0; i < message->msg_iovlen; ++i) {
          const auto* begin = static_cast<const char*>(message->msg_iov[i].iov_base);
          copies.emplace_back(begin, begin + message->msg_iov[i].iov_len);
        }
        for (std::vector<char>& copy : copies) vectors.push_back({copy.data(), copy.size()});
        msghdr spoilt = *message;
        spoilt.msg_iov = vectors.data();
        Flip(&spoilt, wish.after - sent);
        const ssize_t result = Real(&sendmsg, "sendmsg")(fd, &spoilt, flags);
        if (result > 0) sent += static_cast<unsigned long long>(result);
        return result;
      }
    }
  }
  const ssize_t result = Real(&sendmsg, "sendmsg")(fd, message, flags);
  const int error = errno;
  const std::lock_guard lock(mutex);
  if (result > 0 && IsTheLink(fd)) sent += static_cast<unsigned long long>(result);
  errno = error;
  return result;
}

extern "C" ssize_t recvmsg(int fd, msghdr* message, int flags) {
  const ssize_t result = Real(&recvmsg, "recvmsg")(fd, message, flags);
  const int error = errno;
  const std::lock_guard lock(mutex);
  if (result > 0 && IsTheLink(fd)) {
    const Wish& wish = Wished();
    const auto bytes = static_cast<unsigned long long>(result);
    if (wish.is("flip-received") && received <= wish.after && wish.after < received + bytes) {
      Flip(message, wish.after - received);
    }
    received += bytes;
  }
  errno = error;
  return result;
}
