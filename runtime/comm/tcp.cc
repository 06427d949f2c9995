#include "runtime/comm/tcp.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "runtime/comm/scheduled_communicator.h"
#include "runtime/comm/tcp_auth.h"
#include "runtime/comm/tcp_transport.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

constexpr int kMaxMeshRanks = 4096;
// Connections that have not proven themselves yet; more wait in the listener's queue.
constexpr size_t kMaxStrangers = 64;
constexpr std::chrono::seconds kStrangerPatience{2};
constexpr std::chrono::milliseconds kRetryPause{20};

int LeftMs(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

Result<AddressList> Resolve(const std::string& address, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) return Refuse("tcp: address '{}': {}", address, gai_strerror(error));
  return AddressList(list, freeaddrinfo);
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

template <typename Plain>
std::span<std::byte> BytesOf(Plain& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

// What a handshake reads or writes as a whole; the socket does not block. False: the peer closed the connection.
Result<bool> Transfer(int fd, std::span<std::byte> bytes, bool write, Clock::time_point end) {
  while (!bytes.empty()) {
    const ssize_t moved =
        write ? send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) : recv(fd, bytes.data(), bytes.size(), 0);
    if (moved > 0) {
      bytes = bytes.subspan(moved);
      continue;
    }
    if (moved == 0 || errno == ECONNRESET || errno == EPIPE) return false;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return Unavailable("{}", std::strerror(errno));
    pollfd waiting{.fd = fd, .events = static_cast<short>(write ? POLLOUT : POLLIN), .revents = 0};
    const int left = LeftMs(end);
    if (left == 0 || poll(&waiting, 1, left) == 0) return Unavailable("no answer");
  }
  return true;
}

// A connection that may still fail: nullopt when nobody listens there yet.
Result<std::optional<Fd>> TryConnect(const TcpEndpoint& endpoint, Clock::time_point end) {
  MRS_ASSIGN_OR_RETURN(const AddressList list, Resolve(endpoint.address, endpoint.port, 0));
  for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
    Fd fd(socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, info->ai_protocol));
    if (!fd) return Unavailable("tcp: socket: {}", std::strerror(errno));
    SetNoDelay(fd.get());
    if (connect(fd.get(), info->ai_addr, info->ai_addrlen) != 0) {
      if (errno != EINPROGRESS) continue;
      pollfd waiting{.fd = fd.get(), .events = POLLOUT, .revents = 0};
      int error = 0;
      socklen_t length = sizeof(error);
      if (poll(&waiting, 1, LeftMs(end)) != 1 || getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0 ||
          error != 0) {
        continue;
      }
    }
    return std::optional<Fd>(std::move(fd));
  }
  return std::optional<Fd>();
}

Result<Fd> ConnectTo(int peer, const MeshConfig& config, Clock::time_point end) {
  const TcpEndpoint& endpoint = config.endpoints[peer];
  const std::string where =
      fmt::format("tcp: rank {} to rank {} at {}:{}", config.rank, peer, endpoint.address, endpoint.port);
  std::optional<Fd> fd;
  while (!fd) {
    MRS_ASSIGN_OR_RETURN(fd, TryConnect(endpoint, end));
    if (fd) break;
    if (LeftMs(end) == 0) return Unavailable("{}: nobody listens there within {} ms", where, config.deadline.count());
    poll(nullptr, 0, static_cast<int>(std::min<int64_t>(LeftMs(end), kRetryPause.count())));
  }
  const auto refused = [&] {
    return Refuse("{}: the peer closed the connection at the handshake: is the cluster secret the same on both?",
                  where);
  };
  const auto step = [&](std::span<std::byte> bytes, bool write) -> Status {
    const Result<bool> whole = Transfer(fd->get(), bytes, write, end);
    if (!whole) return Unavailable("{}: handshake: {}", where, whole.message());
    return *whole ? Status() : Status(refused());
  };
  Nonce acceptor_nonce;
  MRS_RETURN_IF_ERROR(step(BytesOf(acceptor_nonce), false));
  ConnectorMessage ours;
  MRS_ASSIGN_OR_RETURN(ours.nonce, RandomNonce());
  ours.hello = {.rank = static_cast<uint32_t>(config.rank), .size = static_cast<uint32_t>(config.endpoints.size())};
  ours.proof = MakeProof(config.secret, AuthRole::kConnector, acceptor_nonce, ours.nonce, ours.hello);
  MRS_RETURN_IF_ERROR(step(BytesOf(ours), true));
  AcceptorMessage theirs;
  MRS_RETURN_IF_ERROR(step(BytesOf(theirs), false));
  const Proof proof = MakeProof(config.secret, AuthRole::kAcceptor, acceptor_nonce, ours.nonce, theirs.hello);
  if (!SameProof(proof, theirs.proof)) {
    return Refuse("{}: what listens there does not know the cluster secret", where);
  }
  const Hello expected{.rank = static_cast<uint32_t>(peer), .size = ours.hello.size};
  if (std::memcmp(&expected, &theirs.hello, sizeof(Hello)) != 0) {
    return Refuse("{}: expected rank {} of {} (version {}), found rank {} of {} (version {})", where, expected.rank,
                  expected.size, expected.version, theirs.hello.rank, theirs.hello.size, theirs.hello.version);
  }
  return std::move(*fd);
}

// An accepted connection of which nothing is known yet.
struct Stranger {
  Fd fd;
  Nonce nonce;  // sent to it
  ConnectorMessage message;
  size_t received = 0;
  Clock::time_point patience_end;
};

enum class StrangerState { kWaiting, kProven, kDropped };

// Reads what came from a stranger and, once that is whole, checks the proof.
Result<StrangerState> Advance(Stranger& stranger, const MeshConfig& config) {
  const std::span<std::byte> rest = BytesOf(stranger.message).subspan(stranger.received);
  const ssize_t bytes = recv(stranger.fd.get(), rest.data(), rest.size(), 0);
  if (bytes == 0) return StrangerState::kDropped;
  if (bytes < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? StrangerState::kWaiting
                                                                     : StrangerState::kDropped;
  }
  stranger.received += static_cast<size_t>(bytes);
  if (stranger.received < sizeof(ConnectorMessage)) return StrangerState::kWaiting;
  const Proof proof =
      MakeProof(config.secret, AuthRole::kConnector, stranger.nonce, stranger.message.nonce, stranger.message.hello);
  return SameProof(proof, stranger.message.proof) ? StrangerState::kProven : StrangerState::kDropped;
}

// Answers a proven connection; returns its rank. Its hello is to be believed, but may be of another world.
Result<int> Welcome(const Stranger& stranger, const MeshConfig& config, const std::vector<Fd>& sockets,
                    Clock::time_point end) {
  const Hello& hello = stranger.message.hello;
  AcceptorMessage answer;
  answer.hello = {.rank = static_cast<uint32_t>(config.rank), .size = static_cast<uint32_t>(config.endpoints.size())};
  answer.proof = MakeProof(config.secret, AuthRole::kAcceptor, stranger.nonce, stranger.message.nonce, answer.hello);
  // Sent even to a rank that is refused, so that it can name the difference too.
  const Result<bool> sent = Transfer(stranger.fd.get(), BytesOf(answer), true, end);
  if (hello.magic != answer.hello.magic || hello.version != answer.hello.version || hello.size != answer.hello.size) {
    return Refuse("tcp: rank {} of {} (version {}): rank {} of {} (version {}) connected; start all with the same plan",
                  config.rank, answer.hello.size, answer.hello.version, hello.rank, hello.size, hello.version);
  }
  if (hello.rank <= answer.hello.rank || hello.rank >= hello.size || sockets[hello.rank]) {
    return Refuse("tcp: rank {} of {}: rank {} connected, which is not expected or is there already", config.rank,
                  hello.size, hello.rank);
  }
  if (!sent) return Unavailable("tcp: rank {}: handshake with rank {}: {}", config.rank, hello.rank, sent.message());
  if (!*sent)
    return Unavailable("tcp: rank {}: rank {} closed the connection at the handshake", config.rank, hello.rank);
  return static_cast<int>(hello.rank);
}

// Takes in connections until all higher ranks are there. Many at a time, so that one who says nothing keeps nobody out.
Status AcceptHigher(const TcpListener& listener, const MeshConfig& config, Clock::time_point end,
                    std::vector<Fd>& sockets) {
  const int size = static_cast<int>(config.endpoints.size());
  int missing_count = size - 1 - config.rank;
  int dropped_count = 0;
  std::vector<Stranger> strangers;
  std::vector<pollfd> polls;
  while (missing_count > 0) {
    if (LeftMs(end) == 0) {
      int first = config.rank + 1;
      while (sockets[first]) ++first;
      return Unavailable(
          "tcp: rank {} of {}: no connection from rank {} within {} ms ({} ranks missing, {} connections "
          "without the cluster secret)",
          config.rank, size, first, config.deadline.count(), missing_count, dropped_count);
    }
    polls.clear();
    for (const Stranger& stranger : strangers) {
      polls.push_back({.fd = stranger.fd.get(), .events = POLLIN, .revents = 0});
    }
    if (strangers.size() < kMaxStrangers) polls.push_back({.fd = listener.fd(), .events = POLLIN, .revents = 0});
    poll(polls.data(), polls.size(), std::min(LeftMs(end), 100));
    for (size_t i = strangers.size(); i-- > 0;) {
      Stranger& stranger = strangers[i];
      MRS_ASSIGN_OR_RETURN(StrangerState state, Advance(stranger, config));
      if (state == StrangerState::kProven) {
        MRS_ASSIGN_OR_RETURN(const int peer, Welcome(stranger, config, sockets, end));
        sockets[peer] = std::move(stranger.fd);
        --missing_count;
      } else if (state == StrangerState::kDropped || Clock::now() >= stranger.patience_end) {
        ++dropped_count;
        state = StrangerState::kDropped;
      }
      if (state != StrangerState::kWaiting) strangers.erase(strangers.begin() + static_cast<ptrdiff_t>(i));
    }
    while (strangers.size() < kMaxStrangers) {
      Fd fd(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) break;
      SetNoDelay(fd.get());
      Stranger stranger{.fd = std::move(fd),
                        .nonce = {},
                        .message = {},
                        .received = 0,
                        .patience_end = Clock::now() + kStrangerPatience};
      MRS_ASSIGN_OR_RETURN(stranger.nonce, RandomNonce());
      // 32 bytes always fit an empty socket buffer.
      if (send(stranger.fd.get(), stranger.nonce.data(), sizeof(Nonce), MSG_NOSIGNAL) != sizeof(Nonce)) continue;
      strangers.push_back(std::move(stranger));
    }
  }
  return Status();
}

}  // namespace

Result<TcpListener> TcpListener::Bind(const std::string& address, uint16_t port) {
  MRS_ASSIGN_OR_RETURN(const AddressList list, Resolve(address, port, AI_PASSIVE));
  Fd fd(socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, list->ai_protocol));
  const int on = 1;
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd.get(), list->ai_addr, list->ai_addrlen) != 0 || listen(fd.get(), SOMAXCONN) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return Unavailable("tcp: listening on {} port {}: {}", address, port, std::strerror(errno));
  }
  const in_port_t bound_port = bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                           : reinterpret_cast<sockaddr_in&>(bound).sin_port;
  return TcpListener(std::move(fd), ntohs(bound_port));
}

Result<std::unique_ptr<Communicator>> ConnectMesh(const TcpListener& listener, const MeshConfig& config,
                                                  const CommOptions& options) {
  const int size = static_cast<int>(std::min<size_t>(config.endpoints.size(), kMaxMeshRanks + 1));
  if (size > kMaxMeshRanks) return Refuse("tcp: a mesh of more than {} ranks", kMaxMeshRanks);
  if (config.rank < 0 || config.rank >= size) return Refuse("tcp: rank {} of {} does not exist", config.rank, size);
  const Clock::time_point end = Clock::now() + config.deadline;
  std::vector<Fd> sockets(size);
  // A lower rank answers only when it accepts, which it does after its own lower ranks answered: rank 0 at once.
  for (int peer = 0; peer < config.rank; ++peer) {
    MRS_ASSIGN_OR_RETURN(sockets[peer], ConnectTo(peer, config, end));
  }
  MRS_RETURN_IF_ERROR(AcceptHigher(listener, config, end, sockets));
  auto link = std::make_shared<Link<TcpTransport>>(TcpTransport(config.rank, std::move(sockets)), options);
  return std::unique_ptr<Communicator>(
      std::make_unique<ScheduledCommunicator<TcpTransport>>(std::move(link), AllRanks(size)));
}

}  // namespace mrs
