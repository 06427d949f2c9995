#include "runtime/comm/tcp_transport.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mrs {
namespace {

// Head and body in one call, so that a small message is one packet.
template <typename Byte>
std::array<iovec, 2> Vectors(std::span<Byte> head, std::span<Byte> body) {
  return {iovec{const_cast<std::byte*>(head.data()), head.size()},
          iovec{const_cast<std::byte*>(body.data()), body.size()}};
}

Error Lost(int peer, int error) {
  if (error == EPIPE || error == ECONNRESET) return Unavailable("rank {} closed the connection", peer);
  return Unavailable("the connection to rank {} failed: {}", peer, std::strerror(error));
}

}  // namespace

Result<size_t> TcpTransport::TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body) {
  std::array<iovec, 2> vectors = Vectors(head, body);
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  const ssize_t bytes = sendmsg(sockets_[peer].get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (bytes >= 0) return static_cast<size_t>(bytes);
  if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return Lost(peer, errno);
  // A peer that stopped sending has failed and will not read on either.
  pollfd gone{.fd = sockets_[peer].get(), .events = POLLRDHUP, .revents = 0};
  if (poll(&gone, 1, 0) == 1) return Lost(peer, ECONNRESET);
  return size_t{0};
}

Result<size_t> TcpTransport::TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body) {
  std::array<iovec, 2> vectors = Vectors(head, body);
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  const ssize_t bytes = recvmsg(sockets_[peer].get(), &message, MSG_DONTWAIT);
  if (bytes > 0) return static_cast<size_t>(bytes);
  if (bytes == 0) return Lost(peer, ECONNRESET);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return size_t{0};
  return Lost(peer, errno);
}

void TcpTransport::Wait(int write_peer, int read_peer, std::chrono::milliseconds limit) {
  std::array<pollfd, 2> polls{};
  nfds_t count = 0;
  if (read_peer >= 0) polls[count++] = {.fd = sockets_[read_peer].get(), .events = POLLIN, .revents = 0};
  if (write_peer >= 0) polls[count++] = {.fd = sockets_[write_peer].get(), .events = POLLOUT, .revents = 0};
  poll(polls.data(), count, static_cast<int>(limit.count()));
}

// Only the sending side: what the peers sent before, this rank's last words included, can still be read by both.
void TcpTransport::Shut() {
  for (const Fd& socket : sockets_) {
    if (socket) shutdown(socket.get(), SHUT_WR);
  }
}

}  // namespace mrs
