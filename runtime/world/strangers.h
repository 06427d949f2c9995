// Connections of which nothing is known yet: each gets a nonce, a slot and little time, and whoever proves that it
// knows the secret leaves as a guest. Many, silent or talking nonsense, they keep nobody out: where slots or open files
// run out, the address that has most of them loses its oldest (comm/crowd.h).
//
//   Strangers strangers(listener.fd(), secret, isMine);
//   strangers.AddTo(&polls);  poll(...);
//   for (Guest& guest : strangers.Advance(now)) ...     // proven: guest.hello is to be believed
//
// The handshake is that of comm/tcp_auth.h; this side is the acceptor. A guest whose hello asks for tags speaks with
// them.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/comm/crowd.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/tcp_auth.h"
#include "runtime/world/channel.h"

namespace mrs {

struct Guest {
  std::unique_ptr<Channel> channel;
  Hello hello;
  std::string from;  // its numeric address, without a port
  std::chrono::steady_clock::time_point since = {};
  std::optional<Message> first = {};  // what came of it; of whoever has guests
};

// Whoever said all that the handshake asks for, and did not know the secret.
struct WrongProof {
  Hello hello;  // not to be believed
  std::string from;
};

class Strangers {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // `fits`: hellos that could be of this world; others are dropped, whatever they prove.
  Strangers(int listener, std::string_view secret, std::function<bool(const Hello&)> fits);

  // Without the listener where nothing could be taken from it: its queue stays readable, and is looked at again when
  // Advance is called next.
  void AddTo(std::vector<pollfd>* polls) const;
  // Takes in what has come. Proven ones got this side's proof, with `answer` as its hello.
  std::vector<Guest> Advance(Time now, const Hello& answer);
  std::vector<WrongProof> TakeWrongProofs() { return std::exchange(wrong_, {}); }
  uint64_t dropped_count() const { return dropped_count_; }
  // Why connections wait that nobody can be put out for: "Too many open files; raise ... (ulimit -n)"; "": none does.
  const std::string& no_room() const { return no_room_; }

  // Slots, and how long a stranger has one at least while others wait for it, and at most.
  static constexpr size_t kMaxCount = 256;
  static constexpr std::chrono::milliseconds kLeastPatience{300};
  static constexpr std::chrono::milliseconds kPatience{5000};  // more than a network may stand still

 private:
  struct Stranger {
    Fd fd;
    Origin origin = {};
    std::string from;
    Nonce nonce;  // sent to it
    ConnectorMessage message;
    size_t received = 0;
    Time since;
  };
  enum class State { kWaiting, kProven, kDropped };

  State Read(Stranger& stranger);
  void Accept(Time now);
  bool PutOne(Time now, std::chrono::milliseconds least);

  const int listener_;
  const std::string secret_;
  const std::function<bool(const Hello&)> fits_;
  std::vector<Stranger> strangers_;  // oldest first
  std::vector<WrongProof> wrong_;
  uint64_t dropped_count_ = 0;
  std::string no_room_;
};

// The numeric address of a socket's other end, or its own.
std::string PeerAddress(int fd);
std::string OwnAddress(int fd);

}  // namespace mrs
