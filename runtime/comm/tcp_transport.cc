#include "runtime/comm/tcp_transport.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace mrs {
namespace {

template <typename Byte>
iovec Vector(std::span<Byte> bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

// All parts in one call, so that a small message is one packet.
template <size_t N>
ssize_t SendParts(int fd, std::array<iovec, N> parts, int more = 0) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | more);
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

TcpTransport::TcpTransport(int rank, std::vector<TcpLink> links, std::shared_ptr<void> support)
    : rank_(rank), support_(std::move(support)), links_(std::move(links)), tagged_(links_.size()) {
  for (size_t peer = 0; peer < links_.size(); ++peer) {
    if (links_[peer].keys) tagged_[peer] = std::make_unique<Tagged>(*links_[peer].keys);
  }
}

Error TcpTransport::Lost(int peer, int error) const {
  const std::string& through = links_[peer].through;
  const std::string way = through.empty() ? "" : fmt::format(" (or {}, through which it leads, did)", through);
  if (error == EPIPE || error == ECONNRESET) return Unavailable("rank {} closed the connection{}", peer, way);
  return Unavailable("the connection to rank {} failed: {}", peer, std::strerror(error));
}

// A peer that stopped sending has failed and will not read on either.
Result<size_t> TcpTransport::NotWritten(int peer) const {
  pollfd gone{.fd = links_[peer].fd.get(), .events = POLLRDHUP, .revents = 0};
  if (poll(&gone, 1, 0) == 1) return Lost(peer, ECONNRESET);
  return size_t{0};
}

Result<size_t> TcpTransport::TryWrite(int peer, std::span<const std::byte> head, std::span<const std::byte> body) {
  if (tagged_[peer] != nullptr) return WriteRecord(peer, head, body);
  const ssize_t bytes = SendParts(links_[peer].fd.get(), std::array{Vector(head), Vector(body)});
  if (bytes >= 0) return static_cast<size_t>(bytes);
  return WouldBlock() ? NotWritten(peer) : Result<size_t>(Lost(peer, errno));
}

Result<size_t> TcpTransport::WriteRecord(int peer, std::span<const std::byte> head, std::span<const std::byte> body) {
  const int fd = links_[peer].fd.get();
  Tagged& tagged = *tagged_[peer];
  if (tagged.rest_begin == tagged.rest.size()) {
    // Where another record follows at once, its beginning fills the packet that this one ends in.
    const int more = head.size() + body.size() > kMaxRecordPayload ? MSG_MORE : 0;
    head = head.first(std::min(head.size(), kMaxRecordPayload));
    body = body.first(std::min(body.size(), kMaxRecordPayload - head.size()));
    const uint32_t length = static_cast<uint32_t>(head.size() + body.size());
    if (length == 0) return size_t{0};
    const auto length_bytes = std::as_bytes(std::span(&length, 1));
    const Tag tag = tagged.seal.Next({length_bytes, head, body});
    const std::array<std::span<const std::byte>, 4> parts{length_bytes, head, body, std::span(tag)};
    const ssize_t sent =
        SendParts(fd, std::array{Vector(parts[0]), Vector(parts[1]), Vector(parts[2]), Vector(parts[3])}, more);
    if (sent < 0 && !WouldBlock()) return Lost(peer, errno);
    const int error = sent < 0 ? errno : 0;
    size_t skip = static_cast<size_t>(std::max<ssize_t>(sent, 0));
    if (skip == length + kRecordOverhead) return static_cast<size_t>(length);
    // It has its number: from here on these bytes, and no others, are what comes next.
    tagged.rest.clear();
    tagged.rest_begin = 0;
    tagged.rest_payload = length;
    for (const std::span<const std::byte> part : parts) {
      const size_t gone = std::min(skip, part.size());
      skip -= gone;
      tagged.rest.insert(tagged.rest.end(), part.begin() + static_cast<ptrdiff_t>(gone), part.end());
    }
    return error != 0 ? NotWritten(peer) : Result<size_t>(size_t{0});
  }
  const ssize_t sent =
      SendParts(fd, std::array{Vector(std::span<const std::byte>(tagged.rest).subspan(tagged.rest_begin))});
  if (sent < 0) return WouldBlock() ? NotWritten(peer) : Result<size_t>(Lost(peer, errno));
  tagged.rest_begin += static_cast<size_t>(sent);
  return tagged.rest_begin == tagged.rest.size() ? tagged.rest_payload : size_t{0};
}

Result<size_t> TcpTransport::TryRead(int peer, std::span<std::byte> head, std::span<std::byte> body) {
  if (tagged_[peer] != nullptr) return ReadRecord(peer, head, body);
  std::array<iovec, 2> vectors{Vector(head), Vector(body)};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  const ssize_t bytes = recvmsg(links_[peer].fd.get(), &message, MSG_DONTWAIT);
  if (bytes > 0) return static_cast<size_t>(bytes);
  if (bytes == 0) return Lost(peer, ECONNRESET);
  return WouldBlock() ? Result<size_t>(size_t{0}) : Result<size_t>(Lost(peer, errno));
}

Result<size_t> TcpTransport::ReadRecord(int peer, std::span<std::byte> head, std::span<std::byte> body) {
  RecordReader& reader = tagged_[peer]->reader;
  const auto take = [&]() -> Result<size_t> {
    if (const Status right = reader.Check(); !right.ok()) return Refuse("rank {} {}", peer, right.message());
    return reader.Take(head, body);
  };
  MRS_ASSIGN_OR_RETURN(const size_t before, take());
  if (before > 0) return before;
  const std::span<std::byte> space = reader.Space();
  const ssize_t bytes = recv(links_[peer].fd.get(), space.data(), space.size(), MSG_DONTWAIT);
  if (bytes == 0) return Lost(peer, ECONNRESET);
  if (bytes < 0) return WouldBlock() ? Result<size_t>(size_t{0}) : Result<size_t>(Lost(peer, errno));
  reader.Came(static_cast<size_t>(bytes));
  return take();
}

void TcpTransport::Wait(int write_peer, int read_peer, std::chrono::milliseconds limit) {
  std::array<pollfd, 2> polls{};
  nfds_t count = 0;
  if (read_peer >= 0) polls[count++] = {.fd = socket(read_peer), .events = POLLIN, .revents = 0};
  if (write_peer >= 0) polls[count++] = {.fd = socket(write_peer), .events = POLLOUT, .revents = 0};
  poll(polls.data(), count, static_cast<int>(limit.count()));
}

// Only the sending side: what the peers sent before, this rank's last words included, can still be read by both.
void TcpTransport::Shut() {
  for (const TcpLink& link : links_) {
    if (link.fd) shutdown(link.fd.get(), SHUT_WR);
  }
}

}  // namespace mrs
