// A node's side: to the head, however long it takes to come, and then whatever it says.
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "plans/printable.h"
#include "runtime/comm/tcp_auth.h"
#include "runtime/comm/tcp_socket.h"
#include "runtime/world/node_facts.h"
#include "runtime/world/rendezvous.h"
#include "runtime/world/strangers.h"

namespace mrs {
namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

constexpr milliseconds kLookupWait{3000};  // of one try; the answer may come to a later one
constexpr milliseconds kLookupPause{10};
constexpr milliseconds kConnectWait{3000};  // of one try
constexpr milliseconds kHandshakeWait{5000};
constexpr milliseconds kRetryPause{200};
constexpr milliseconds kSendWait{1000};
constexpr milliseconds kSayEvery{5000};
constexpr milliseconds kLastWordWait{1000};
constexpr milliseconds kHeardWait{2000};  // for the head to answer to why this node does not join
// A connection that is put out to make room for others, or for being slow, is made again; one with another secret is
// put out each time.
constexpr int kMaxRefusals = 3;

class Joining {
 public:
  Joining(const TcpEndpoint& head, const Party& party) : head_(head), party_(party) {}

  // kUnavailable from a try means that another may do better.
  Result<NodeLink> Join() {
    const Time started = Clock::now();
    Time next_say = started + kSayEvery;
    for (;;) {
      nobody_listens_ = false;
      Result<NodeLink> link = Try();
      if (link.ok() || link.error().kind != ErrorKind::kUnavailable) return link;
      // A head that heard a wrong secret ends, and what is between may still listen in its place.
      if (refusals_ >= kMaxRefusals || (refusals_ > 0 && nobody_listens_)) return Refuse("{}", refusal_);
      const Time now = Clock::now();
      if (now - started >= party_.start_timeout) {
        return Unavailable("{}: {} was not reached at {} port {} within {} s (--start-timeout): {}", Me(), HeadText(),
                           head_.address, head_.port, std::chrono::duration<double>(party_.start_timeout).count(),
                           link.message());
      }
      if (now >= next_say) {
        next_say = now + kSayEvery;
        party_.say(fmt::format("waiting for   {} at {} port {}, {:.0f} s: {}", HeadText(), head_.address, head_.port,
                               std::chrono::duration<double>(now - started).count(), link.message()));
      }
      MRS_RETURN_IF_ERROR(Pause(kRetryPause));
    }
  }

  bool TellWhyNot(const std::string& why) {
    const Result<std::unique_ptr<Channel>> control = Shake(wire::kFirstConnection);
    const Time end = Clock::now() + kHeardWait;
    if (!control.ok() || !(*control)->Send(wire::Encode(wire::Leaving{why}), end).ok()) return false;
    // What it answers ends the connection; this end must not be closed before that is read.
    while (Clock::now() < end) {
      const Result<bool> readable = WaitFor((*control)->fd(), POLLIN, end);
      if (!readable.ok() || !*readable) break;
      const Result<std::optional<Message>> message = (*control)->TryReceive();
      if (!message.ok() || message->has_value()) break;
    }
    return true;
  }

 private:
  std::string Me() const { return NodeText(party_.nodes, party_.node); }
  std::string HeadText() const { return NodeText(party_.nodes, 0); }

  static Error Stopped() { return Error{ErrorKind::kCancelled, "shutting down"}; }

  // kCancelled once the caller wants to stop.
  Status Pause(milliseconds time) {
    pollfd stop{.fd = party_.stop_fd, .events = POLLIN, .revents = 0};
    poll(&stop, 1, static_cast<int>(time.count()));  // a negative descriptor is left out
    return stop.revents != 0 ? Status(Stopped()) : Status();
  }

  // Until the socket is ready; false at the end of the time.
  Result<bool> WaitFor(int fd, short events, Time end) {
    for (;;) {
      pollfd waiting[] = {{.fd = fd, .events = events, .revents = 0},
                          {.fd = party_.stop_fd, .events = POLLIN, .revents = 0}};
      const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
      if (left <= 0) return false;
      poll(waiting, 2, static_cast<int>(std::min<int64_t>(left, 1000)));
      if (waiting[1].revents != 0) return Stopped();
      if (waiting[0].revents != 0) return true;
    }
  }

  // A name may take as long as the resolver likes, and this process may be asked to end meanwhile.
  Result<AddressList> LookUp(const std::string& address, uint16_t port) {
    const auto at = lookups_.try_emplace({address, port}, address, port).first;
    const Time end = Clock::now() + kLookupWait;
    while (!at->second.done()) {
      if (Clock::now() >= end) return Unavailable("'{}' is being looked up still", Printable(address));
      MRS_RETURN_IF_ERROR(Pause(kLookupPause));
    }
    Result<AddressList> found = at->second.Take();
    lookups_.erase(at);
    return found;
  }

  // From the address that the plan has for this node, so that the head sees who it is; where that is no address of this
  // host from any other, and the head will say so.
  Status BindSource(int fd, int family) {
    const std::string& own = party_.own_address.empty() ? party_.nodes[party_.node].address : party_.own_address;
    if (own.empty()) return Status();
    const Result<AddressList> list = LookUp(own, 0);
    if (!list.ok() && list.error().kind != ErrorKind::kRefused) return list.status();
    for (const addrinfo* info = list.ok() ? list->get() : nullptr; info != nullptr; info = info->ai_next) {
      if (info->ai_family == family && bind(fd, info->ai_addr, info->ai_addrlen) == 0) break;
    }
    return Status();
  }

  // The first address is the likeliest: its failure is told.
  Result<Fd> Connect() {
    Result<Fd> fd = Connect(head_.address);
    for (const std::string& address : party_.head_also) {
      if (fd.ok() || fd.error().kind != ErrorKind::kUnavailable) return fd;
      Result<Fd> other = Connect(address);
      if (other.ok() || other.error().kind != ErrorKind::kUnavailable) return other;
    }
    return fd;
  }

  Result<Fd> Connect(const std::string& address) {
    const Result<AddressList> resolved = LookUp(address, head_.port);
    if (!resolved.ok() && resolved.error().kind == ErrorKind::kCancelled) return resolved.error();
    if (!resolved.ok()) return Unavailable("{}", resolved.message());  // a name may come to be known
    const AddressList& list = *resolved;
    std::string why = "it has no address";
    for (const addrinfo* info = list.get(); info != nullptr; info = info->ai_next) {
      Fd fd(socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, info->ai_protocol));
      if (!fd) return Unavailable("no socket: {}", std::strerror(errno));
      const int on = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      MRS_RETURN_IF_ERROR(BindSource(fd.get(), info->ai_family));
      int error = connect(fd.get(), info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
      if (error == EINPROGRESS) {
        MRS_ASSIGN_OR_RETURN(const bool ready, WaitFor(fd.get(), POLLOUT, Clock::now() + kConnectWait));
        socklen_t length = sizeof(error);
        error = ETIMEDOUT;
        if (ready) getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      }
      // Where nobody listens on a port of the range that the kernel takes own ports from, it may connect to itself.
      if (error == 0 && ConnectedToItself(fd.get())) error = ECONNREFUSED;
      if (error == 0) return fd;
      nobody_listens_ = error == ECONNREFUSED;
      why = ConnectErrorText(error);
    }
    return Unavailable("{}", why);
  }

  // False: the other end closed the connection.
  Result<bool> Transfer(int fd, std::span<std::byte> bytes, bool write, Time end) {
    while (!bytes.empty()) {
      const ssize_t moved =
          write ? send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) : recv(fd, bytes.data(), bytes.size(), 0);
      if (moved > 0) {
        bytes = bytes.subspan(static_cast<size_t>(moved));
        continue;
      }
      if (moved == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) return false;
      MRS_ASSIGN_OR_RETURN(const bool ready, WaitFor(fd, write ? POLLOUT : POLLIN, end));
      if (!ready) return Unavailable("what listens there says nothing");
    }
    return true;
  }

  Result<std::unique_ptr<Channel>> Shake(uint32_t connection) {
    MRS_ASSIGN_OR_RETURN(Fd fd, Connect());
    const Time end = Clock::now() + kHandshakeWait;
    const auto bytes = [](auto& plain) { return std::as_writable_bytes(std::span(&plain, 1)); };
    Nonce theirs;
    MRS_ASSIGN_OR_RETURN(const bool greeted, Transfer(fd.get(), bytes(theirs), /*write=*/false, end));
    nobody_listens_ = !greeted;
    if (!greeted) return Unavailable("what listens there closed the connection at once");
    ConnectorMessage ours;
    MRS_ASSIGN_OR_RETURN(ours.nonce, RandomNonce());
    ours.hello = {.magic = connection,
                  .version = wire::kVersion,
                  .rank = party_.node,
                  .size = 0,
                  .integrity = static_cast<uint16_t>(party_.integrity)};
    ours.proof = MakeProof(party_.secret, AuthRole::kConnector, theirs, ours.nonce, ours.hello);
    MRS_ASSIGN_OR_RETURN(const bool sent, Transfer(fd.get(), bytes(ours), /*write=*/true, end));
    AcceptorMessage answer;
    bool answered = sent;
    if (sent) {
      MRS_ASSIGN_OR_RETURN(answered, Transfer(fd.get(), bytes(answer), /*write=*/false, end));
    }
    const std::string where = fmt::format("{} at {} port {}", HeadText(), head_.address, head_.port);
    if (!answered) {
      ++refusals_;
      refusal_ = fmt::format(
          "{}: {} refused this node's proof: the cluster secret is not the same on both; give both the same "
          "--cluster-secret-file",
          Me(), where);
      return Unavailable("what listens there closed the connection at this node's proof");
    }
    refusals_ = 0;
    const Proof proof = MakeProof(party_.secret, AuthRole::kAcceptor, theirs, ours.nonce, answer.hello);
    if (!SameProof(proof, answer.proof) || answer.hello.magic != connection) {
      return Refuse(
          "{}: what listens in the place of {} does not know the cluster secret; give both the same "
          "--cluster-secret-file",
          Me(), where);
    }
    if (answer.hello.version != wire::kVersion) {
      return Refuse("{}: its wire version is {}, the head's is {}; run the same mrs-exec on every node", Me(),
                    wire::kVersion, answer.hello.version);
    }
    if ((answer.hello.integrity != 0) != party_.integrity) {
      return UnlikeIntegrity(party_.nodes, party_.node, party_.integrity);
    }
    auto channel = std::make_unique<Channel>(std::move(fd));
    if (party_.integrity) {
      channel->Protect(KeysOf(AuthRole::kConnector, MakeKeys(party_.secret, theirs, ours.nonce)));
    }
    channel->set_max_body_bytes(wire::kMaxRendezvousBytes);
    return channel;
  }

  Result<NodeLink> Try() {
    NodeLink link;
    MRS_ASSIGN_OR_RETURN(link.control, Shake(wire::kFirstConnection));
    link.address = PeerAddress(link.control->fd());
    link.own_address = OwnAddress(link.control->fd());
    MRS_RETURN_IF_ERROR(link.control->Send(wire::Encode(party_.facts), Clock::now() + kSendWait));
    const Time began = Clock::now();
    Time next_say = began + kSayEvery;
    Time heard = began;
    Time last_look = began;
    for (;;) {
      MRS_ASSIGN_OR_RETURN(const bool readable, WaitFor(link.control->fd(), POLLIN, Clock::now() + kNodeBeatEvery));
      const Time now = Clock::now();
      if (now - last_look > kNodeBeatEvery * 4) heard = now;  // this process stood still itself
      last_look = now;
      MRS_RETURN_IF_ERROR(link.control->Send(wire::Encode(wire::Beat{}), now + kSendWait));
      if (now - heard >= kNodeSilence && !readable) {
        return Unavailable("the head has said nothing for {} s", kNodeSilence.count() / 1000);
      }
      for (;;) {
        const Result<std::optional<Message>> message = link.control->TryReceive();
        if (!message.ok() && !link.control->peer_gone()) {
          const std::string why = fmt::format("{} is gone: {}", HeadText(), message.message());
          [[maybe_unused]] const Status told =
              link.control->Send(wire::Encode(wire::Leaving{fmt::format("for it, {}", why)}), now + kSendWait);
          return Refuse("{}", why);
        }
        MRS_RETURN_IF_ERROR(message.status());
        if (!message->has_value()) break;
        heard = now;
        const Result<bool> stands = Hear(link, **message, began, &next_say);
        if (!stands.ok()) return WithLastWord(link, stands.error());
        if (*stands) return link;
      }
    }
  }

  // A head that ends while this node takes its seat has said why.
  Error WithLastWord(NodeLink& link, const Error& error) {
    if (error.kind != ErrorKind::kUnavailable) return error;
    const Time end = Clock::now() + kLastWordWait;
    while (Clock::now() < end) {
      const Result<std::optional<Message>> message = link.control->TryReceive();
      if (!message.ok()) return error;
      if (message->has_value() && (*message)->type == wire::MessageType::kVerdict) {
        const Result<wire::Verdict> verdict = wire::DecodeVerdict((*message)->body);
        if (verdict.ok()) return Refuse("{}", Printable(verdict->text));
      }
      if (message->has_value()) continue;
      const Result<bool> readable = WaitFor(link.control->fd(), POLLIN, end);
      if (!readable.ok()) return readable.error();
    }
    return error;
  }

  // True: the world stands.
  Result<bool> Hear(NodeLink& link, const Message& message, Time began, Time* next_say) {
    switch (message.type) {
      case wire::MessageType::kSeat: {
        MRS_ASSIGN_OR_RETURN(const wire::Seat seat, wire::DecodeSeat(message.body));
        MRS_ASSIGN_OR_RETURN(link.work, Shake(wire::kSecondConnection));
        MRS_RETURN_IF_ERROR(link.work->Send(wire::Encode(wire::Claim{seat.token}), Clock::now() + kSendWait));
        return false;
      }
      case wire::MessageType::kWaiting: {
        MRS_ASSIGN_OR_RETURN(const wire::Waiting waiting, wire::DecodeWaiting(message.body));
        if (Clock::now() < *next_say) return false;
        *next_say = Clock::now() + kSayEvery;
        party_.say(fmt::format("waiting for   {}, {:.0f} s", Printable(waiting.text),
                               std::chrono::duration<double>(Clock::now() - began).count()));
        return false;
      }
      case wire::MessageType::kStands: {
        MRS_ASSIGN_OR_RETURN(link.stands, wire::DecodeStands(message.body));
        if (!link.work) return Refuse("the head says that the world stands, and gave this node no seat");
        return true;
      }
      case wire::MessageType::kVerdict: {
        MRS_ASSIGN_OR_RETURN(const wire::Verdict verdict, wire::DecodeVerdict(message.body));
        return Refuse("{}", Printable(verdict.text));
      }
      default:
        return Refuse("the head sent a {} message before the world stands", wire::MessageTypeName(message.type));
    }
  }

  const TcpEndpoint head_;
  const Party& party_;
  std::map<std::pair<std::string, uint16_t>, Lookup> lookups_;  // under way
  int refusals_ = 0;                                            // in a row, after this node had proven itself
  std::string refusal_;
  bool nobody_listens_ = false;  // nor does anything in the head's place that greets
};

}  // namespace

Result<NodeLink> JoinRendezvous(const TcpEndpoint& head, const Party& party) { return Joining(head, party).Join(); }

bool TellWhyNotJoining(const TcpEndpoint& head, const Party& party, const std::string& why) {
  return Joining(head, party).TellWhyNot(why);
}

}  // namespace mrs
