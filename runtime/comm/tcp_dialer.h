// A Dialer makes one authenticated connection: it looks the address up, connects, and proves itself, as far as it gets
// without waiting; and again after a pause, as long as there is time, since the peer may not have started yet.
//
//   Dialer dialer(meeting, std::move(dial));
//   while (!dialer.done()) { poll(dialer.Waits(&until)...); MRS_RETURN_IF_ERROR(dialer.Advance()); }
//   dialer.Why()        // "tcp: rank 1 to rank 0 at 10.0.0.1:4000: connection refused: nobody listens there (for 5000
//   ms)"
#pragma once

#include <poll.h>

#include <optional>
#include <string>

#include "runtime/comm/tcp_meeting.h"
#include "runtime/comm/tcp_socket.h"

namespace mrs {

// What this rank says of itself on a connection of a way.
Hello OwnHello(const Meeting& meeting, const LinkId& link);

// How the hello of another rank is of another world than the own one, and what to do; empty: they are of one.
std::string UnlikeWorlds(const Hello& theirs, const Hello& ours);

class Dialer {
 public:
  Dialer(const Meeting& meeting, Dial dial);

  bool done() const { return state_ == State::kDone; }
  // What led there through others is gone, and nothing more is tried.
  bool ended() const { return state_ == State::kEnded; }
  std::string WhyEnded() const { return fmt::format("{}: {}", Where(), why_); }
  const LinkId& link() const { return dial_.link; }
  // What Advance waits for; fd -1: for nothing but time, *until being lowered to when.
  pollfd Waits(std::chrono::steady_clock::time_point* until) const;
  // An error: no second attempt can help.
  Status Advance();
  // Why there is no connection yet.
  std::string Why() const;
  MetLink Take();

 private:
  using Clock = std::chrono::steady_clock;
  enum class State { kResting, kLooking, kConnecting, kHearing, kAnswered, kEnded, kDone };

  std::string Where() const;
  bool OutOfReach();
  void Rest(std::chrono::milliseconds pause);
  void ConnectNext();
  void Connected();
  Status Hear();
  Status Closed();
  Status CheckAnswer();

  const Meeting* meeting_;
  Dial dial_;
  State state_ = State::kResting;
  std::optional<Lookup> lookup_;
  AddressList list_{nullptr, freeaddrinfo};
  const addrinfo* address_ = nullptr;  // in list_: the one that is tried
  Clock::time_point until_{};          // of the rest, or of the attempt
  std::string why_ = "nothing was tried yet";
  std::chrono::milliseconds apart_{0};  // how long, by looks that came at their time, nothing was connected
  Clock::time_point last_look_{};
  int closed_count_ = 0;  // so often in a row after this rank had proven itself
  Fd fd_;
  size_t received_ = 0;  // of what comes next
  Nonce acceptor_nonce_ = {};
  ConnectorMessage ours_ = {};
  AcceptorMessage theirs_ = {};
};

}  // namespace mrs
