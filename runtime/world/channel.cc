#include "runtime/world/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;

Error Gone(const char* doing) { return Unavailable("the other end of a supervisor-rank socket is gone ({})", doing); }

constexpr std::chrono::seconds kShowEvery{1};

// Milliseconds for poll, rounded up; 0 once the deadline has passed. One with a counter shows that it is there.
int PollTimeout(Deadline deadline, Pulse::Counter* counter) {
  if (counter != nullptr) {
    Pulse::CountIn(counter);
    if (deadline - Clock::now() > kShowEvery) deadline = Clock::now() + kShowEvery;
  }
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now()).count();
  if (left <= 0) return 0;
  return static_cast<int>(std::min<int64_t>((left + 999) / 1000, 1 << 30));
}

}  // namespace

Channel::Channel(Fd fd) : fd_(std::move(fd)) {}

Result<std::pair<Fd, Fd>> Channel::MakePair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return Unavailable("no socket pair for a rank: {}; raise the limit on open files (ulimit -n)", strerror(errno));
  }
  return std::pair<Fd, Fd>(Fd(fds[0]), Fd(fds[1]));
}

Status Channel::Send(const std::string& head, std::span<const std::span<const std::byte>> payload, Deadline deadline,
                     std::span<const int> passed, Hurry hurry) {
  MRS_CHECK(passed.size() <= kMaxPassed && (passed.empty() || tags_ == nullptr));
  if (torn_) return Unavailable("a message before this one could not be sent whole");
  std::vector<iovec> parts;
  parts.push_back({const_cast<char*>(head.data()), head.size()});
  for (const auto& part : payload) {
    if (!part.empty()) parts.push_back({const_cast<std::byte*>(part.data()), part.size()});
  }
  Sending sending{.deadline = deadline, .passed = passed, .hurry = hurry};
  Status sent = tags_ == nullptr ? SendParts(std::move(parts), &sending) : SendTagged(parts, &sending);
  torn_ = !sent.ok() && sending.began;
  return sent;
}

// Record by record, so that the tags of a large message wait for nobody but its own bytes.
Status Channel::SendTagged(std::span<const iovec> parts, Sending* sending) {
  size_t left = 0;
  for (const iovec& part : parts) left += part.iov_len;
  size_t first = 0, begin = 0;  // what is next: byte `begin` of parts[first]
  while (left > 0) {
    const uint32_t length = static_cast<uint32_t>(std::min(left, kMaxRecordPayload));
    std::vector<std::span<const std::byte>> record = {std::as_bytes(std::span(&length, 1))};
    for (size_t missing = length; missing > 0;) {
      const iovec& part = parts[first];
      const size_t bytes = std::min(part.iov_len - begin, missing);
      record.push_back(std::span(static_cast<const std::byte*>(part.iov_base) + begin, bytes));
      missing -= bytes;
      begin += bytes;
      if (begin == part.iov_len) {
        ++first;
        begin = 0;
      }
    }
    const Tag tag = tags_->seal.Next(record);
    record.push_back(tag);
    std::vector<iovec> vectors;
    for (const auto& part : record) vectors.push_back({const_cast<std::byte*>(part.data()), part.size()});
    const Status sent = SendParts(std::move(vectors), sending);
    sending->began = true;  // the record has its number, whatever became of it
    MRS_RETURN_IF_ERROR(sent);
    left -= length;
  }
  return Status();
}

Status Channel::SendParts(std::vector<iovec> parts, Sending* sending) {
  size_t first = 0;
  while (first < parts.size()) {
    msghdr message{};
    message.msg_iov = parts.data() + first;
    message.msg_iovlen = std::min<size_t>(parts.size() - first, 64);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassed)] = {};
    std::span<const int>& passed = sending->passed;
    if (!passed.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(passed.size_bytes());
      cmsghdr* entry = CMSG_FIRSTHDR(&message);
      entry->cmsg_level = SOL_SOCKET;
      entry->cmsg_type = SCM_RIGHTS;
      entry->cmsg_len = CMSG_LEN(passed.size_bytes());
      std::memcpy(CMSG_DATA(entry), passed.data(), passed.size_bytes());
    }
    const ssize_t sent = sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        peer_gone_ = true;
        return Gone("sending");
      }
      pollfd waiting[2] = {{.fd = fd_.get(), .events = POLLOUT, .revents = 0},
                           {.fd = sending->hurry.fd, .events = POLLIN, .revents = 0}};
      const int timeout = PollTimeout(sending->deadline, sending_);
      if (timeout == 0) return Unavailable("a message could not be sent in time: the other end does not read");
      poll(waiting, sending->hurry.fd >= 0 ? 2 : 1, timeout);
      if (waiting[1].revents != 0) {
        sending->deadline = std::min(sending->deadline, Clock::now() + sending->hurry.grace);
        sending->hurry.fd = -1;
      }
      continue;
    }
    passed = {};
    sending->began = true;
    size_t left = static_cast<size_t>(sent);
    while (first < parts.size() && left >= parts[first].iov_len) left -= parts[first++].iov_len;
    if (left > 0) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + left;
      parts[first].iov_len -= left;
    }
  }
  return Status();
}

Result<bool> Channel::ReadTagged(std::span<std::byte>* bytes) {
  RecordReader& reader = tags_->reader;
  for (;;) {
    if (const Status right = reader.Check(); !right.ok()) return Refuse("it {}", right.message());
    if (const size_t taken = reader.Take(*bytes, {}); taken > 0) {
      *bytes = bytes->subspan(taken);
      return true;
    }
    const std::span<std::byte> space = reader.Space();
    const ssize_t got = recv(fd_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (got <= 0) {
      peer_gone_ = true;
      return Gone("receiving");
    }
    reader.Came(static_cast<size_t>(got));
  }
}

Result<bool> Channel::ReadSome(std::span<std::byte>* bytes) {
  if (tags_ != nullptr) return ReadTagged(bytes);
  for (;;) {
    iovec part{bytes->data(), bytes->size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassed)];
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (got <= 0) {
      peer_gone_ = true;
      return Gone("receiving");
    }
    for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr; entry = CMSG_NXTHDR(&message, entry)) {
      if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
      for (size_t at = CMSG_LEN(0); at + sizeof(int) <= entry->cmsg_len; at += sizeof(int)) {
        int fd;
        std::memcpy(&fd, reinterpret_cast<char*>(entry) + at, sizeof(int));
        passed_.emplace_back(fd);
      }
    }
    *bytes = bytes->subspan(static_cast<size_t>(got));
    return true;
  }
}

// What follows bytes that were no message, or were changed, is nothing that can be told apart.
Result<std::optional<Message>> Channel::TryReceive() {
  if (spoilt_.has_value()) return *spoilt_;
  Result<std::optional<Message>> message = TakeMessage();
  if (!message.ok() && !peer_gone_) spoilt_ = message.error();
  return message;
}

Result<std::optional<Message>> Channel::TakeMessage() {
  while (!in_body_) {
    std::span<std::byte> rest = std::span(header_).subspan(header_read_);
    MRS_ASSIGN_OR_RETURN(const bool progress, ReadSome(&rest));
    if (!progress) return std::optional<Message>();
    header_read_ = wire::kHeaderBytes - rest.size();
    if (!rest.empty()) continue;
    MRS_ASSIGN_OR_RETURN(current_, wire::DecodeHeader(header_, max_body_bytes_));
    in_body_ = true;
    body_read_ = 0;
    if (body_.size() * 8 < current_.body_bytes) body_.resize((size_t{current_.body_bytes} + 7) / 8);
  }
  const std::span<std::byte> body(reinterpret_cast<std::byte*>(body_.data()), current_.body_bytes);
  while (body_read_ < body.size()) {
    std::span<std::byte> rest = body.subspan(body_read_);
    MRS_ASSIGN_OR_RETURN(const bool progress, ReadSome(&rest));
    if (!progress) return std::optional<Message>();
    body_read_ = body.size() - rest.size();
  }
  in_body_ = false;
  header_read_ = 0;
  return std::optional<Message>(Message{.type = current_.type, .body = body});
}

Result<std::optional<Message>> Channel::ReceiveOr(Deadline deadline, int other_fd) {
  const Deadline spin_until = std::min(deadline, Clock::now() + spin_);
  for (;;) {
    MRS_ASSIGN_OR_RETURN(std::optional<Message> message, TryReceive());
    if (message.has_value()) return message;
    if (Clock::now() < spin_until) continue;
    pollfd waiting[2] = {{.fd = fd_.get(), .events = POLLIN, .revents = 0},
                         {.fd = other_fd, .events = POLLIN, .revents = 0}};
    const int timeout = PollTimeout(deadline, receiving_);
    if (timeout == 0) return Unavailable("no message came in time");
    poll(waiting, other_fd >= 0 ? 2 : 1, timeout);
    if (waiting[0].revents == 0 && waiting[1].revents != 0) return std::optional<Message>();
  }
}

Result<Message> Channel::Receive(Deadline deadline) {
  MRS_ASSIGN_OR_RETURN(std::optional<Message> message, ReceiveOr(deadline, -1));
  MRS_CHECK(message.has_value());
  return *message;
}

}  // namespace mrs
