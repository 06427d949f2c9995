// A meeting makes the authenticated connections of one rank: some it dials, others it awaits, all at the same time.
//
//   Meeting meeting{.what = "tcp", .rank = 1, .size = 3, .secret = secret, .end = now + 5s};
//   std::vector<Dial> dials(1);          // {.link = {.peer = 0, .from = 1, .to = 0}, .endpoint = {"10.0.0.1", 4000}}
//   std::vector<Awaited> awaited(1);     // {.link = {.peer = 2, .from = 2, .to = 1}}
//   std::vector<MetLink> links = *Meet(&listener, meeting, std::move(dials), std::move(awaited));
//
// Who connects and is no rank is told apart before it costs anything: it gets 32 bytes and one of a fixed number of
// slots, and keeps the slot for as long as others do not need it, 5 s at most. Where slots run out, the address that
// has most loses its oldest: a rank that is put out so tries again.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plans/status.h"
#include "runtime/comm/fd.h"
#include "runtime/comm/tcp.h"
#include "runtime/comm/tcp_auth.h"

namespace mrs {

// A connection leads from one rank to another, and may be a part of a way between two that are no neighbours.
struct LinkId {
  int peer = 0;    // at the other end of this connection
  int from = 0;    // the rank that dials at the beginning of the way
  int to = 0;      // the rank at its end
  int stream = 0;  // which of several between the same ranks
  bool operator==(const LinkId&) const = default;
};

struct Dial {
  LinkId link;
  TcpEndpoint endpoint;
  Fd fd = {};             // connected already, through others: only the handshake is missing
  std::string role = {};  // "its right neighbour, "; for errors
};

struct Awaited {
  LinkId link;
  Fd fd = {};  // connected already; else the listener gives it
  std::string role = {};
};

struct MetLink {
  LinkId link;
  Fd fd;
  bool dialed = false;
  Nonce acceptor_nonce = {};
  Nonce connector_nonce = {};
};

struct Meeting {
  std::string what;  // "tcp" or "ring": how errors begin
  int rank = 0;
  int size = 0;
  MeshShape shape = MeshShape::kMesh;
  bool integrity = false;
  int streams = 1;  // of two ranks of different hosts; the same on all ranks
  std::string secret;
  std::chrono::steady_clock::time_point end;
  std::chrono::milliseconds deadline;  // `end` as the caller said it, for errors
  // For who is dialed to be connected to, where all are known to listen: a firewall that is in the way is found so,
  // which no deadline of the whole could tell from a rank that takes its time. 0: as long as there is time.
  std::chrono::milliseconds reach{0};
  TcpTuning tuning = {};
  std::vector<std::string>* notes = nullptr;  // borrowed
  const std::atomic<bool>* abort = nullptr;   // borrowed
  Pulse* pulse = nullptr;                     // borrowed; told which rank is waited for
  // Where set, `end` moves on with each connection that is made, and who waits for others alone waits so much longer.
  std::optional<std::chrono::milliseconds> others_later = {};
  // A way through others ends where one of them ends, or gives up: it knows why, and says so in this time.
  std::chrono::milliseconds way_ended_later{500};
};

// All links, dialed ones first, each in the order given. kRefused: a peer that knows another secret, rank, world size,
// shape, integrity or count of streams. kUnavailable: somebody is missing at the end, or abort.
Result<std::vector<MetLink>> Meet(const TcpListener* listener, const Meeting& meeting, std::vector<Dial> dials,
                                  std::vector<Awaited> awaited);

}  // namespace mrs
