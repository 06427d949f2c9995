#include "runtime/comm/tcp_dialer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

namespace mrs {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRetryPause{20};
constexpr milliseconds kClosedPause{50};
constexpr milliseconds kAttempt{3000};   // for one of several addresses
constexpr milliseconds kMostALook{250};  // of a look that came later this process stood still itself
// A rank that is put out for the sake of others tries again; one with another secret is put out each time.
constexpr int kMaxClosed = 4;

template <typename Plain>
std::span<std::byte> BytesOf(Plain& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

const char* ShapeName(uint32_t shape) { return shape == static_cast<uint32_t>(MeshShape::kRing) ? "ring" : "tcp"; }

}  // namespace

Hello OwnHello(const Meeting& meeting, const LinkId& link) {
  return {.rank = static_cast<uint32_t>(meeting.rank),
          .size = static_cast<uint32_t>(meeting.size),
          .shape = static_cast<uint32_t>(meeting.shape),
          .integrity = static_cast<uint16_t>(meeting.integrity),
          .streams = static_cast<uint8_t>(meeting.streams),
          .stream = static_cast<uint8_t>(link.stream),
          .from = static_cast<uint32_t>(link.from),
          .to = static_cast<uint32_t>(link.to)};
}

std::string UnlikeWorlds(const Hello& theirs, const Hello& ours) {
  if (theirs.magic != ours.magic || theirs.version != ours.version || theirs.size != ours.size) {
    return "start all with the same plan";
  }
  if (theirs.shape != ours.shape) {
    return fmt::format("its transport is {}, not {}: give all the same --transport", ShapeName(theirs.shape),
                       ShapeName(ours.shape));
  }
  if (theirs.integrity != ours.integrity) {
    const auto name = [](uint32_t integrity) { return integrity != 0 ? "on" : "off"; };
    return fmt::format("its integrity tags are {}, not {}: give all the same --cluster-integrity",
                       name(theirs.integrity), name(ours.integrity));
  }
  if (theirs.streams != ours.streams) {
    return fmt::format("its streams are {}, not {}: give all the same --cluster-streams", theirs.streams, ours.streams);
  }
  return "";
}

Dialer::Dialer(const Meeting& meeting, Dial dial) : meeting_(&meeting), dial_(std::move(dial)) {
  if (!dial_.fd) return;
  fd_ = std::move(dial_.fd);
  dial_.endpoint.address.clear();
  state_ = State::kHearing;
  why_ = "the way there is open, but nothing comes through it";
}

std::string Dialer::Where() const {
  std::string text =
      fmt::format("{}: rank {} to {}rank {}", meeting_->what, meeting_->rank, dial_.role, dial_.link.peer);
  if (!dial_.endpoint.address.empty()) {
    text += fmt::format(" at {}", AddressText(dial_.endpoint.address, dial_.endpoint.port));
  }
  return text;
}

std::string Dialer::Why() const { return fmt::format("{}: {} (for {} ms)", Where(), why_, meeting_->deadline.count()); }

MetLink Dialer::Take() {
  return {.link = dial_.link,
          .fd = std::move(fd_),
          .dialed = true,
          .acceptor_nonce = acceptor_nonce_,
          .connector_nonce = ours_.nonce};
}

pollfd Dialer::Waits(Clock::time_point* until) const {
  switch (state_) {
    case State::kResting:
      *until = std::min(*until, until_);
      return {.fd = -1, .events = 0, .revents = 0};
    case State::kLooking:
      *until = std::min(*until, Clock::now() + kRetryPause);
      return {.fd = -1, .events = 0, .revents = 0};
    case State::kConnecting:
      *until = std::min(*until, until_);
      return {.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    case State::kHearing:
    case State::kAnswered:
      return {.fd = fd_.get(), .events = POLLIN, .revents = 0};
    case State::kEnded:
    case State::kDone:
      break;
  }
  return {.fd = -1, .events = 0, .revents = 0};
}

void Dialer::Rest(milliseconds pause) {
  fd_ = Fd();
  state_ = State::kResting;
  until_ = Clock::now() + pause;
}

// Time counts where this process saw it pass: who was frozen judges nobody.
bool Dialer::OutOfReach() {
  const Clock::time_point now = Clock::now();
  if (last_look_ != Clock::time_point()) {
    apart_ += std::min(std::chrono::duration_cast<milliseconds>(now - last_look_), kMostALook);
  }
  last_look_ = now;
  if (state_ == State::kHearing || state_ == State::kAnswered || state_ == State::kDone) apart_ = milliseconds(0);
  return meeting_->reach.count() > 0 && apart_ >= meeting_->reach;
}

Status Dialer::Advance() {
  if (OutOfReach()) {
    return Unavailable(
        "{}: {} (for {} ms); rank {} listens there, but nothing comes through: open its port to rank {}, in the "
        "firewalls "
        "of both hosts and between them",
        Where(), why_, meeting_->reach.count(), dial_.link.peer, meeting_->rank);
  }
  if (state_ == State::kResting && Clock::now() >= until_) {
    lookup_.emplace(dial_.endpoint.address, dial_.endpoint.port);
    state_ = State::kLooking;
  }
  if (state_ == State::kLooking && lookup_->done()) {
    Result<AddressList> found = lookup_->Take();
    if (!found.ok()) {
      why_ = found.message();
      Rest(kRetryPause * 10);
      return Status();
    }
    list_ = *std::move(found);
    address_ = list_.get();
    ConnectNext();
  }
  if (state_ == State::kConnecting) {
    pollfd waiting{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (poll(&waiting, 1, 0) == 1) {
      int error = 0;
      socklen_t size = sizeof(error);
      if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
      if (error == 0) {
        Connected();
      } else {
        why_ = ConnectErrorText(error);
        address_ = address_->ai_next;
        ConnectNext();
      }
    } else if (Clock::now() >= until_) {
      why_ = ConnectErrorText(ETIMEDOUT);
      address_ = address_->ai_next;
      ConnectNext();
    } else {
      why_ = ConnectErrorText(ETIMEDOUT);  // so far
    }
  }
  return state_ == State::kHearing || state_ == State::kAnswered ? Hear() : Status();
}

void Dialer::ConnectNext() {
  for (; address_ != nullptr; address_ = address_->ai_next) {
    fd_ = Fd(socket(address_->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address_->ai_protocol));
    if (!fd_) {
      why_ = fmt::format("no socket: {}", std::strerror(errno));
      continue;
    }
    if (!meeting_->tuning.source.empty()) {
      const Result<AddressList> source = Resolve(meeting_->tuning.source, 0, AI_NUMERICHOST);
      if (!source.ok()) {
        why_ = source.message();
        continue;
      }
      if (bind(fd_.get(), (*source)->ai_addr, (*source)->ai_addrlen) != 0) {
        why_ = fmt::format("from {}: {}", meeting_->tuning.source, std::strerror(errno));
        continue;
      }
    }
    if (connect(fd_.get(), address_->ai_addr, address_->ai_addrlen) == 0) return Connected();
    if (errno == EINPROGRESS) {
      state_ = State::kConnecting;
      until_ = Clock::now() + kAttempt;
      return;
    }
    why_ = ConnectErrorText(errno);
  }
  Rest(kRetryPause);
}

void Dialer::Connected() {
  // Where nobody listens on a port of the range that the kernel takes own ports from, it may connect to itself.
  if (ConnectedToItself(fd_.get())) {
    why_ = ConnectErrorText(ECONNREFUSED);
    return Rest(kRetryPause);
  }
  const std::string note = TuneSocket(fd_.get(), meeting_->tuning.congestion);
  if (!note.empty() && meeting_->notes != nullptr) {
    std::vector<std::string>& notes = *meeting_->notes;
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }
  why_ = "connected, but what listens there says nothing";
  state_ = State::kHearing;
  received_ = 0;
}

// The acceptor's nonce, then its answer.
Status Dialer::Hear() {
  for (;;) {
    const std::span<std::byte> next = state_ == State::kHearing ? BytesOf(acceptor_nonce_) : BytesOf(theirs_);
    const ssize_t bytes = recv(fd_.get(), next.data() + received_, next.size() - received_, MSG_DONTWAIT);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Status();
    if (bytes <= 0) return Closed();
    received_ += static_cast<size_t>(bytes);
    if (received_ < next.size()) continue;
    received_ = 0;
    if (state_ == State::kAnswered) return CheckAnswer();
    MRS_ASSIGN_OR_RETURN(ours_.nonce, RandomNonce());
    ours_.hello = OwnHello(*meeting_, dial_.link);
    ours_.proof = MakeProof(meeting_->secret, AuthRole::kConnector, acceptor_nonce_, ours_.nonce, ours_.hello);
    state_ = State::kAnswered;
    // 96 bytes always fit an empty socket buffer.
    if (send(fd_.get(), &ours_, sizeof(ours_), MSG_NOSIGNAL) != sizeof(ours_)) return Closed();
    why_ = "connected, but what listens there does not answer";
  }
}

Status Dialer::Closed() {
  received_ = 0;
  if (dial_.endpoint.address.empty()) {  // it cannot be dialed again
    fd_ = Fd();
    state_ = State::kEnded;
    why_ = "the way there ended at the handshake";
    return Status();
  }
  why_ = "the peer closed the connection at the handshake";
  if (state_ == State::kAnswered && ++closed_count_ == kMaxClosed) {
    return Refuse("{}: {}: is the cluster secret the same on both?", Where(), why_);
  }
  Rest(kClosedPause * std::max(1, closed_count_));
  return Status();
}

Status Dialer::CheckAnswer() {
  const Proof proof = MakeProof(meeting_->secret, AuthRole::kAcceptor, acceptor_nonce_, ours_.nonce, theirs_.hello);
  if (!SameProof(proof, theirs_.proof)) {
    return Refuse("{}: what listens there does not know the cluster secret", Where());
  }
  const Hello& theirs = theirs_.hello;
  if (const std::string unlike = UnlikeWorlds(theirs, ours_.hello); !unlike.empty()) {
    return Refuse("{}: expected rank {} of {} (version {}), found rank {} of {} (version {}); {}", Where(),
                  dial_.link.peer, ours_.hello.size, ours_.hello.version, theirs.rank, theirs.size, theirs.version,
                  unlike);
  }
  if (theirs.rank != static_cast<uint32_t>(dial_.link.peer)) {
    if (meeting_->shape == MeshShape::kRing) {
      return Refuse("{}: rank {} is there: the ring is not closed; correct right_ip and right_port of rank {}", Where(),
                    theirs.rank, meeting_->rank);
    }
    return Refuse("{}: rank {} is there", Where(), theirs.rank);
  }
  if (theirs.from != ours_.hello.from || theirs.to != ours_.hello.to || theirs.stream != ours_.hello.stream) {
    return Refuse("{}: it answered for another connection than this one", Where());
  }
  state_ = State::kDone;
  return Status();
}

}  // namespace mrs
