// One end of the socket between supervisor and rank: whole messages in, whole messages out, each by a deadline.
//
//   Channel channel(Fd(fd));
//   MRS_RETURN_IF_ERROR(channel.Send(wire::Encode(hello), {}, deadline));
//   MRS_ASSIGN_OR_RETURN(const Message message, channel.Receive(deadline));   // message.body lies until the next one
//
// One thread at a time in each direction. A peer that is gone is kUnavailable, with `peer_gone()` true. Between nodes
// what goes over it may be records with tags (Protect): bytes that were changed on the way are kRefused, from then on.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/integrity.h"
#include "runtime/comm/pulse.h"
#include "runtime/world/wire.h"

namespace mrs {

using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kForever = Deadline::max();  // where what ends the wait is not time

struct Message {
  wire::MessageType type = wire::MessageType::kShutdown;
  wire::Body body;  // in the channel, 8-byte aligned
};

// What cuts the wait of a Send short: once `fd` is readable, it has `grace` left at most.
struct Hurry {
  int fd = -1;
  std::chrono::milliseconds grace{0};
};

class Channel {
 public:
  static constexpr size_t kMaxPassed = 4;  // descriptors beside one message

  explicit Channel(Fd fd);

  // Both ends of a new connection, close-on-exec.
  static Result<std::pair<Fd, Fd>> MakePair();

  // From now on all bytes, of both directions, are records with tags of these keys; no descriptors can pass.
  void Protect(const LinkKeys& keys) { tags_ = std::make_unique<Tags>(keys); }

  // Bodies of more bytes than this are refused before they are read.
  void set_max_body_bytes(uint32_t max_body_bytes) { max_body_bytes_ = max_body_bytes; }
  // Polls awake for this long before it blocks.
  void set_spin(std::chrono::microseconds spin) { spin_ = spin; }
  // Counters of a pulse, moved at least once a second while a Receive or a Send waits; null: none.
  void set_pulse(Pulse::Counter* receiving, Pulse::Counter* sending) {
    receiving_ = receiving;
    sending_ = sending;
  }

  // Sends `head` (a message, or its start) and then `payload`; `passed` descriptors travel beside it.
  Status Send(const std::string& head, std::span<const std::span<const std::byte>> payload, Deadline deadline,
              std::span<const int> passed = {}, Hurry hurry = {});
  Status Send(const std::string& head, Deadline deadline) { return Send(head, {}, deadline); }

  // The next message. With `other_fd` >= 0 the wait also ends (nullopt) when that descriptor becomes readable.
  Result<Message> Receive(Deadline deadline);
  Result<std::optional<Message>> ReceiveOr(Deadline deadline, int other_fd);

  // Takes what has arrived without waiting: nullopt when no message is whole yet.
  Result<std::optional<Message>> TryReceive();

  int fd() const { return fd_.get(); }
  bool peer_gone() const { return peer_gone_; }
  // What has come beside the messages since the last call, in order.
  std::vector<Fd> TakePassed() { return std::exchange(passed_, {}); }

 private:
  struct Tags {
    explicit Tags(const LinkKeys& keys) : seal(keys.write), reader(keys.read) {}
    Seal seal;
    RecordReader reader;
  };
  struct Sending {  // of one message
    Deadline deadline;
    std::span<const int> passed;
    Hurry hurry;
    bool began = false;
  };

  Result<std::optional<Message>> TakeMessage();
  // False: nothing there yet. True: `bytes` is shorter by what was read.
  Result<bool> ReadSome(std::span<std::byte>* bytes);
  Result<bool> ReadTagged(std::span<std::byte>* bytes);
  Status SendParts(std::vector<iovec> parts, Sending* sending);
  Status SendTagged(std::span<const iovec> parts, Sending* sending);

  Fd fd_;
  std::unique_ptr<Tags> tags_;  // null: none
  bool torn_ = false;           // a part of a message is out, and its rest never will be: nothing can follow
  std::optional<Error> spoilt_;
  uint32_t max_body_bytes_ = wire::kMaxControlBytes;
  std::chrono::microseconds spin_{0};
  Pulse::Counter* receiving_ = nullptr;
  Pulse::Counter* sending_ = nullptr;
  std::atomic<bool> peer_gone_{false};  // either direction finds out
  std::vector<Fd> passed_;
  std::byte header_[wire::kHeaderBytes];
  size_t header_read_ = 0;
  bool in_body_ = false;
  wire::Header current_;
  std::vector<uint64_t> body_;  // words, for alignment; grows only
  size_t body_read_ = 0;
};

}  // namespace mrs
