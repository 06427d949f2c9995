// Any bytes to whoever shakes hands between nodes and ranks: a rank that awaits another, one that dialed, and the head
// of a rendezvous; and what follows to a channel, with tags and without. Only whoever knows the secret and says what is
// expected is let in, and of what has tags only what its sender wrote comes out.
//
// The first byte says to whom, and whether the proof is made right for the hello that follows; then 32 bytes of hello,
// 32 of a proof, and whatever comes after the handshake. Random bytes are zeros here, so that a proof can be made
// beforehand.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/comm/tcp_meeting.h"
#include "runtime/world/channel.h"
#include "runtime/world/node_wire.h"
#include "runtime/world/strangers.h"

// In the place of the C library's.
extern "C" ssize_t getrandom(void* bytes, size_t size, unsigned) {
  std::memset(bytes, 0, size);
  return static_cast<ssize_t>(size);
}

namespace {

using namespace mrs;

constexpr std::string_view kSecret = "open sesame";
constexpr uint8_t kToDialer = 1, kToHead = 2, kRight = 4, kRing = 8, kIntegrity = 16, kPlain = 32, kExpected = 64;
constexpr uint8_t kStreams = 4;

void Expect(bool condition) {
  if (!condition) std::abort();
}

template <typename Plain>
void Append(std::string* out, const Plain& value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

Proof ProofOf(AuthRole role, const Hello& hello, uint8_t how, const Proof& wrong) {
  return (how & kRight) != 0 ? MakeProof(kSecret, role, Nonce{}, Nonce{}, hello) : wrong;
}

// The whole input is in the socket, and then its end.
void Write(int fd, const std::string& bytes) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  [[maybe_unused]] const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
}

void ReadAll(Channel& channel) {
  channel.set_max_body_bytes(wire::kMaxRendezvousBytes);
  for (;;) {
    const Result<std::optional<Message>> message = channel.TryReceive();
    if (!message.ok() || !message->has_value()) return;
    [[maybe_unused]] const auto facts = wire::DecodeFacts((*message)->body);
  }
}

void ToRank(uint8_t how, const Hello& hello, const Proof& wrong, std::string_view rest) {
  const bool dialer = (how & kToDialer) != 0;
  const LinkId link =
      dialer ? LinkId{.peer = 1, .from = 2, .to = 1, .stream = 2} : LinkId{.peer = 3, .from = 3, .to = 2, .stream = 2};
  Meeting meeting{.what = "tcp", .rank = 2, .size = 4, .secret = std::string(kSecret)};
  meeting.shape = (how & kRing) != 0 ? MeshShape::kRing : MeshShape::kMesh;
  meeting.integrity = (how & kIntegrity) != 0;
  meeting.streams = kStreams;
  meeting.end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  meeting.deadline = std::chrono::seconds(1);
  meeting.way_ended_later = std::chrono::milliseconds(0);
  Hello said = hello;
  if ((how & kExpected) != 0) {
    said = {.rank = static_cast<uint32_t>(link.peer),
            .size = 4,
            .shape = static_cast<uint32_t>(meeting.shape),
            .integrity = meeting.integrity,
            .streams = kStreams,
            .stream = static_cast<uint8_t>(link.stream),
            .from = static_cast<uint32_t>(link.from),
            .to = static_cast<uint32_t>(link.to)};
  }
  std::string bytes;
  if (dialer) {
    Append(&bytes, Nonce{});
    Append(&bytes, AcceptorMessage{said, ProofOf(AuthRole::kAcceptor, said, how, wrong)});
  } else {
    Append(&bytes, ConnectorMessage{Nonce{}, said, ProofOf(AuthRole::kConnector, said, how, wrong)});
  }
  bytes.append(rest);
  if ((how & kPlain) != 0) bytes.resize(bytes.size() * (how & 3) / 4);  // it ends in the middle
  auto pair = Channel::MakePair();
  Expect(pair.ok());
  Write(pair->first.get(), bytes);
  fcntl(pair->second.get(), F_SETFL, O_NONBLOCK);
  std::vector<Dial> dials;
  std::vector<Awaited> awaited;
  if (dialer) {
    dials.push_back({.link = link, .endpoint = {}, .fd = std::move(pair->second)});
  } else {
    awaited.push_back({.link = link, .fd = std::move(pair->second)});
  }
  const Result<std::vector<MetLink>> met = Meet(nullptr, meeting, std::move(dials), std::move(awaited));
  if (!met.ok()) return;
  Expect((how & kRight) != 0);
  const uint32_t from = static_cast<uint32_t>(link.from), to = static_cast<uint32_t>(link.to);
  Expect(said.magic == Hello{}.magic && said.version == Hello{}.version && said.size == 4 &&
         said.rank == static_cast<uint32_t>(link.peer) && said.shape == static_cast<uint32_t>(meeting.shape) &&
         said.integrity == static_cast<uint16_t>(meeting.integrity) && said.streams == kStreams &&
         said.stream == link.stream && said.from == from && said.to == to);
}

void ToHead(uint8_t how, Hello hello, const Proof& wrong, std::string_view rest) {
  if ((how & kExpected) != 0) {
    hello = {.magic = wire::kFirstConnection,
             .version = wire::kVersion,
             .rank = 1,
             .size = 0,
             .integrity = static_cast<uint16_t>((how & kIntegrity) != 0)};
  }
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t size = sizeof(address.sun_family);  // the kernel chooses a name
  Expect(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener.get(), 4) == 0);
  size = sizeof(address);
  Expect(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Fd stranger(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Expect(connect(stranger.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  std::string bytes;
  Append(&bytes, ConnectorMessage{Nonce{}, hello, ProofOf(AuthRole::kConnector, hello, how, wrong)});
  bytes.append(rest);
  Write(stranger.get(), bytes);
  Strangers strangers(listener.get(), kSecret, [](const Hello& said) {
    return said.magic == wire::kFirstConnection && said.size == 0 && said.integrity <= 1;
  });
  const auto now = std::chrono::steady_clock::now();
  std::vector<Guest> guests = strangers.Advance(now, {});
  if (guests.empty()) guests = strangers.Advance(now, {});
  for (const WrongProof& one : strangers.TakeWrongProofs()) Expect((how & kRight) == 0 && one.hello.size == 0);
  if (guests.empty()) return;
  Expect((how & kRight) != 0 && guests[0].hello.size == 0);
  ReadAll(*guests[0].channel);
}

// A channel that has heard some of what was written as it should be, and then these bytes.
void ToChannel(bool tagged, std::string_view rest) {
  auto pair = Channel::MakePair();
  Expect(pair.ok());
  Channel reader(std::move(pair->second));
  const Keys keys = MakeKeys(kSecret, Nonce{}, Nonce{});
  if (tagged) reader.Protect(KeysOf(AuthRole::kAcceptor, keys));
  const int fd = fcntl(pair->first.get(), F_DUPFD_CLOEXEC, 0);
  const Fd raw(fd);
  Channel writer(std::move(pair->first));
  if (tagged) writer.Protect(KeysOf(AuthRole::kConnector, keys));
  Expect(writer.Send(wire::EncodeShutdown(), std::chrono::steady_clock::now() + std::chrono::seconds(1)).ok());
  const Result<std::optional<Message>> first = reader.TryReceive();
  Expect(first.ok() && first->has_value() && (*first)->type == wire::MessageType::kShutdown);
  Write(raw.get(), std::string(rest));
  if (!tagged) return ReadAll(reader);
  const Result<std::optional<Message>> next = reader.TryReceive();
  Expect(!next.ok() || !next->has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Hello hello;
  Proof wrong;
  if (size < 1 + sizeof(hello) + sizeof(wrong)) return 0;
  const uint8_t how = data[0];
  std::memcpy(&hello, data + 1, sizeof(hello));
  std::memcpy(&wrong, data + 1 + sizeof(hello), sizeof(wrong));
  const size_t begin = 1 + sizeof(hello) + sizeof(wrong);
  const std::string_view rest(reinterpret_cast<const char*>(data) + begin, std::min<size_t>(size - begin, 32 << 10));
  if ((how & (kToHead | kToDialer)) == (kToHead | kToDialer)) {
    ToChannel((how & kIntegrity) != 0, rest);
  } else if ((how & kToHead) != 0) {
    ToHead(how, hello, wrong, rest);
  } else {
    ToRank(how, hello, wrong, rest);
  }
  return 0;
}
