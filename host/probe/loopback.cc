#include "host/probe/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace mrs::probe {
namespace {

struct Socket {
  int fd = -1;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

bool Ready(int fd, short events, std::chrono::milliseconds limit) {
  pollfd waiting{fd, events, 0};
  return poll(&waiting, 1, static_cast<int>(limit.count())) == 1;
}

Error Cannot(const char* what, const std::string& address) {
  return Unavailable("cannot {} {}: {}", what, address, std::strerror(errno));
}

}  // namespace

Status TryTcp(const std::string& address, std::chrono::milliseconds limit) {
  constexpr std::string_view kWord = "mrs-doctor";
  sockaddr_in at{};
  at.sin_family = AF_INET;
  if (inet_pton(AF_INET, address.c_str(), &at.sin_addr) != 1) return Refuse("{}: no IPv4 address", address);
  socklen_t size = sizeof(at);
  const auto name = reinterpret_cast<sockaddr*>(&at);
  Socket listener{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (listener.fd < 0) return Cannot("make a TCP socket for", address);
  if (bind(listener.fd, name, size) != 0) return Cannot("bind", address);
  if (listen(listener.fd, 1) != 0) return Cannot("listen on", address);
  if (getsockname(listener.fd, name, &size) != 0) return Cannot("ask for the port of", address);
  Socket client{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (client.fd < 0) return Cannot("make a TCP socket for", address);
  if (connect(client.fd, name, size) != 0 && errno != EINPROGRESS) return Cannot("connect to", address);
  if (!Ready(listener.fd, POLLIN, limit) || !Ready(client.fd, POLLOUT, limit)) {
    return TimedOut("cannot connect to {} within {} ms: a firewall drops it", address, limit.count());
  }
  Socket server{accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC)};
  if (server.fd < 0) return Cannot("accept on", address);
  const timeval most{.tv_sec = static_cast<time_t>(limit.count() / 1000),
                     .tv_usec = static_cast<suseconds_t>(limit.count() % 1000 * 1000)};
  setsockopt(server.fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
  char heard[kWord.size()] = {};
  if (send(client.fd, kWord.data(), kWord.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(kWord.size())) {
    return Cannot("send over", address);
  }
  if (!Ready(server.fd, POLLIN, limit)) return TimedOut("nothing arrives over {} within {} ms", address, limit.count());
  if (recv(server.fd, heard, sizeof(heard), MSG_WAITALL) != static_cast<ssize_t>(sizeof(heard)) ||
      std::string_view(heard, sizeof(heard)) != kWord) {
    return Unavailable("what arrives over {} is not what was sent", address);
  }
  return Status();
}

}  // namespace mrs::probe
