#include "runtime/world/strangers.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <span>

namespace mrs {
namespace {

constexpr size_t kAcceptsATurn = 64;    // then those who are in are looked at again
constexpr size_t kMaxWrongProofs = 64;  // told of; more are counted

std::string NumericAddress(const sockaddr_storage& address, socklen_t length) {
  char host[NI_MAXHOST];
  const int error =
      getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? host : "an unknown address";
}

}  // namespace

std::string PeerAddress(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "an unknown address";
  return NumericAddress(address, length);
}

std::string OwnAddress(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "an unknown address";
  return NumericAddress(address, length);
}

Strangers::Strangers(int listener, std::string_view secret, std::function<bool(const Hello&)> fits)
    : listener_(listener), secret_(secret), fits_(std::move(fits)) {}

void Strangers::AddTo(std::vector<pollfd>* polls) const {
  if (no_room_.empty()) polls->push_back({.fd = listener_, .events = POLLIN, .revents = 0});
  for (const Stranger& stranger : strangers_) {
    polls->push_back({.fd = stranger.fd.get(), .events = POLLIN, .revents = 0});
  }
}

Strangers::State Strangers::Read(Stranger& stranger) {
  const std::span<std::byte> rest = std::as_writable_bytes(std::span(&stranger.message, 1)).subspan(stranger.received);
  const ssize_t bytes = recv(stranger.fd.get(), rest.data(), rest.size(), 0);
  if (bytes == 0) return State::kDropped;
  if (bytes < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? State::kWaiting : State::kDropped;
  }
  stranger.received += static_cast<size_t>(bytes);
  if (stranger.received < sizeof(ConnectorMessage)) return State::kWaiting;
  const Hello& hello = stranger.message.hello;
  if (!fits_(hello)) return State::kDropped;  // which costs nothing
  const Proof proof = MakeProof(secret_, AuthRole::kConnector, stranger.nonce, stranger.message.nonce, hello);
  if (SameProof(proof, stranger.message.proof)) return State::kProven;
  if (wrong_.size() < kMaxWrongProofs) wrong_.push_back({hello, stranger.from});
  return State::kDropped;
}

// False: there is nobody, or the one to go had less time than that.
bool Strangers::PutOne(Time now, std::chrono::milliseconds least) {
  const auto chosen = WhomToPutOut(strangers_, [](const Stranger& stranger) { return &stranger.origin; });
  if (chosen == strangers_.end() || now - chosen->since < least) return false;
  strangers_.erase(chosen);
  ++dropped_count_;
  return true;
}

void Strangers::Accept(Time now) {
  no_room_.clear();
  for (size_t turn = 0; turn < kAcceptsATurn; ++turn) {
    // Whoever makes room had the time that a real one needs.
    if (strangers_.size() >= kMaxCount && !PutOne(now, kLeastPatience)) return;
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    Fd fd(accept4(listener_, reinterpret_cast<sockaddr*>(&address), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      const int error = errno;
      if (error == ECONNABORTED || error == EINTR) continue;
      if (!IsScarce(error, listener_)) return;
      if (PutOne(now, std::chrono::milliseconds(0))) continue;
      no_room_ = fmt::format("{}; raise the limit on open files (ulimit -n)", std::strerror(error));
      return;
    }
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const Result<Nonce> nonce = RandomNonce();
    // 32 bytes always fit an empty socket buffer.
    if (!nonce.ok() || send(fd.get(), nonce->data(), sizeof(Nonce), MSG_NOSIGNAL) != sizeof(Nonce)) continue;
    strangers_.push_back({.fd = std::move(fd),
                          .origin = OriginOf(address),
                          .from = NumericAddress(address, length),
                          .nonce = *nonce,
                          .message = {},
                          .received = 0,
                          .since = now});
  }
}

std::vector<Guest> Strangers::Advance(Time now, const Hello& answer) {
  std::vector<Guest> guests;
  std::erase_if(strangers_, [&](Stranger& stranger) {
    State state = Read(stranger);
    if (state == State::kWaiting && now - stranger.since >= kPatience) state = State::kDropped;
    if (state == State::kDropped) ++dropped_count_;
    if (state != State::kProven) return state == State::kDropped;
    AcceptorMessage reply;
    reply.hello = answer;
    reply.hello.magic = stranger.message.hello.magic;
    reply.proof = MakeProof(secret_, AuthRole::kAcceptor, stranger.nonce, stranger.message.nonce, reply.hello);
    if (send(stranger.fd.get(), &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply)) return true;
    auto channel = std::make_unique<Channel>(std::move(stranger.fd));
    if (stranger.message.hello.integrity != 0) {
      channel->Protect(KeysOf(AuthRole::kAcceptor, MakeKeys(secret_, stranger.nonce, stranger.message.nonce)));
    }
    guests.push_back({std::move(channel), stranger.message.hello, stranger.from, now});
    return true;
  });
  Accept(now);
  return guests;
}

}  // namespace mrs
