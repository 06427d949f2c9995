#include "runtime/comm/tcp_stream.h"

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

TcpStream::TcpStream(TcpConnection connection, TcpStreamName name)
    : fd_(std::move(connection.fd)), name_(std::move(name)) {
  if (connection.keys) tagged_ = std::make_unique<Tagged>(*connection.keys);
}

std::string TcpStream::Which() const {
  return name_.count == 1 ? "" : fmt::format(" (stream {} of 0 to {})", name_.index, name_.count - 1);
}

Error TcpStream::Lost(int error) const {
  const std::string way =
      name_.through.empty() ? "" : fmt::format(" (or {}, through which it leads, did)", name_.through);
  if (error == EPIPE || error == ECONNRESET) {
    return Unavailable("rank {} closed the connection{}{}", name_.peer, way, Which());
  }
  return Unavailable("the connection to rank {} failed: {}{}", name_.peer, std::strerror(error), Which());
}

// A peer that stopped sending has failed and will not read on either.
Result<size_t> TcpStream::NotWritten() const {
  pollfd gone{.fd = fd_.get(), .events = POLLRDHUP, .revents = 0};
  if (poll(&gone, 1, 0) == 1) return Lost(ECONNRESET);
  return size_t{0};
}

Result<size_t> TcpStream::TryWrite(std::span<const std::byte> head, std::span<const std::byte> body) {
  if (tagged_ != nullptr) return WriteRecord(head, body);
  const ssize_t bytes = SendParts(fd_.get(), std::array{Vector(head), Vector(body)});
  if (bytes >= 0) return static_cast<size_t>(bytes);
  return WouldBlock() ? NotWritten() : Result<size_t>(Lost(errno));
}

Result<size_t> TcpStream::WriteRecord(std::span<const std::byte> head, std::span<const std::byte> body) {
  Tagged& tagged = *tagged_;
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
        SendParts(fd_.get(), std::array{Vector(parts[0]), Vector(parts[1]), Vector(parts[2]), Vector(parts[3])}, more);
    if (sent < 0 && !WouldBlock()) return Lost(errno);
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
    return error != 0 ? NotWritten() : Result<size_t>(size_t{0});
  }
  const ssize_t sent =
      SendParts(fd_.get(), std::array{Vector(std::span<const std::byte>(tagged.rest).subspan(tagged.rest_begin))});
  if (sent < 0) return WouldBlock() ? NotWritten() : Result<size_t>(Lost(errno));
  tagged.rest_begin += static_cast<size_t>(sent);
  return tagged.rest_begin == tagged.rest.size() ? tagged.rest_payload : size_t{0};
}

Result<size_t> TcpStream::TryRead(std::span<std::byte> head, std::span<std::byte> body) {
  if (tagged_ != nullptr) return ReadRecord(head, body);
  std::array<iovec, 2> vectors{Vector(head), Vector(body)};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  const ssize_t bytes = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  if (bytes > 0) return static_cast<size_t>(bytes);
  if (bytes == 0) return Lost(ECONNRESET);
  return WouldBlock() ? Result<size_t>(size_t{0}) : Result<size_t>(Lost(errno));
}

Result<size_t> TcpStream::ReadRecord(std::span<std::byte> head, std::span<std::byte> body) {
  RecordReader& reader = tagged_->reader;
  const auto take = [&]() -> Result<size_t> {
    if (const Status right = reader.Check(); !right.ok())
      return Refuse("rank {} {}{}", name_.peer, right.message(), Which());
    return reader.Take(head, body);
  };
  MRS_ASSIGN_OR_RETURN(const size_t before, take());
  if (before > 0) return before;
  const std::span<std::byte> space = reader.Space();
  const ssize_t bytes = recv(fd_.get(), space.data(), space.size(), MSG_DONTWAIT);
  if (bytes == 0) return Lost(ECONNRESET);
  if (bytes < 0) return WouldBlock() ? Result<size_t>(size_t{0}) : Result<size_t>(Lost(errno));
  reader.Came(static_cast<size_t>(bytes));
  return take();
}

void TcpStream::Shut() { shutdown(fd_.get(), SHUT_WR); }

}  // namespace mrs
