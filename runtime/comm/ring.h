// A ring of authenticated TCP connections: each rank dials its right neighbour and is dialed by its left one.
//
//   TcpListener listener = *TcpListener::Bind("10.0.0.2", 4001);
//   RingConfig config{.rank = 1, .size = 4, .right = {"10.0.0.3", 4002}, .secret = secret};
//   std::unique_ptr<Communicator> world = *ConnectRing(listener, config);
//
// Collectives of all ranks go by neighbour shifts (plans/schedule/ring_schedule.h) and give the bits of every other
// transport. What else is not for a neighbour, as sums of a part of the ranks or what a stage tells another one, goes
// over a way of its own through the ranks between (relay.h), the shorter way round. All connections of a rank, also
// those for others, are dialed to its right neighbour's one port.
//
// Between neighbours, and for messages' tags between those at both ends of a way, the proofs are those of tcp_auth.h.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/tcp.h"

namespace mrs {

constexpr int kMaxRingRanks = 16;

struct RingConfig {
  int rank = 0;
  int size = 0;                              // 2 to 16; sums need a power of two
  TcpEndpoint right = {};                    // where rank + 1 (or 0) listens
  std::string secret = {};                   // the same on all ranks
  std::chrono::milliseconds deadline{5000};  // for the whole ring, from the call on; or kNoTimeout
  std::chrono::milliseconds reach{0};        // see tcp_meeting.h; 0: the deadline's
  // The deadline counts from the last connection that was made; and who only waits for others, rather than cannot reach
  // one, waits so much longer for them to say why.
  std::optional<std::chrono::milliseconds> others_later = {};
  bool integrity = false;  // a tag on every message (integrity.h); the same on all ranks
  Pulse* pulse = nullptr;  // borrowed; told which rank is waited for
  TcpTuning tuning = {};
  std::vector<std::string>* notes = nullptr;  // borrowed: what the caller should print; null: nothing is wanted
};

// kRefused: the ring is not closed, or a neighbour knows another secret, world size, transport or integrity.
// kUnavailable: a neighbour is missing at the deadline; the error says at which address, and what refused or was
// silent.
Result<std::unique_ptr<Communicator>> ConnectRing(const TcpListener& listener, const RingConfig& config,
                                                  const CommOptions& options = {});

}  // namespace mrs
