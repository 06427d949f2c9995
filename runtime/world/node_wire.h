// What nodes say to each other, in messages as of wire.h: before they stand, and while they do.
//
// A node has two connections to the head, node 0 of the plan, each begun by the proofs of comm/tcp_auth.h. The talk on
// the first, on which nothing large is ever sent, so that who lives is heard of at once:
//   node -> head  Facts       what it is; the head compares it with itself. Or Leaving: why it does not join
//   head -> node  Seat        these agree; the other connection begins with what the seat says
//   head -> node  Waiting*    who is missing still; every half second, which says that the head lives
//   head -> node  Stands      all are there
//   both          Beat*       every half second, from Facts to the end; a node's says how far its ranks are
//   node -> head  Ended, Failure (wire.h), Leaving    what its ranks, and it itself, came to: evidence. Leaving may
//   come
//                                                     before all are there
//   node -> head  Log                                 what it and its ranks say on standard error
//   head -> node  Verdict     why the world ends; or Shutdown (wire.h), where it ends in order
// On the second:
//   node -> head  Claim
//   and from Stands on what a rank and its supervisor say (wire.h): Hello, a Peers, Progress, Ready, Batch, Result
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plans/sha256.h"
#include "plans/status.h"
#include "runtime/world/progress_board.h"
#include "runtime/world/wire.h"

namespace mrs::wire {

// Of a handshake (comm/tcp_auth.h), in the place of "MRSH": which of its two connections a node begins. The hello's
// `rank` is the node, its `size` 0.
inline constexpr uint32_t kFirstConnection = 0x4e53524d;   // "MRSN"
inline constexpr uint32_t kSecondConnection = 0x4f53524d;  // "MRSO"
inline constexpr uint32_t kMaxRendezvousBytes = 32 << 10;  // of a message before the world stands

using Token = std::array<uint8_t, 16>;

// What RING_CONFIG's file says of a rank that was started with it, and where that is.
struct RingFacts {
  std::string file;            // for people
  Endpoint listen;             // for its left neighbour; numeric
  Endpoint right;              // where its right neighbour listens, as the file has it; address "": on its own host
  std::string network;         // NetworkId of comm/interfaces.h; "": not known
  uint64_t machine_bytes = 0;  // memory of the whole machine, whatever limits this process; 0: not known
  bool operator==(const RingFacts&) const = default;
};

struct Facts {
  std::string mrs_version;
  uint16_t format_major = 0;
  uint16_t format_minor = 0;
  uint32_t numerics_revision = 0;
  Sha256Digest plan_sha256 = {};
  uint32_t node = 0;
  uint32_t node_count = 0;  // that hold ranks
  bool rehearses = false;
  uint32_t streams = 1;         // connections between two ranks of different hosts
  std::vector<uint32_t> ranks;  // which it will start
  uint64_t memory_bytes = 0;    // that the host, or the cgroup around the process, has
  std::optional<RingFacts> ring = std::nullopt;
  bool operator==(const Facts&) const = default;
};

struct Seat {
  Token token = {};
};

struct Claim {
  Token token = {};
};

struct Waiting {
  std::string text;  // who is missing
};

struct Stands {
  RehearsalScope rehearsal = RehearsalScope::kNone;  // as the head's ranks have it
  uint16_t cluster_port = 0;  // from which the ranks' ports are counted (plans/cluster_ports.h); 0: any that is free
};

struct RankBeat {
  uint32_t rank = 0;
  RankProgress progress;
};

struct Beat {
  std::vector<RankBeat> ranks;  // none from the head
};

// A rank process that ended.
struct Ended {
  uint32_t first_rank = 0;
  uint32_t rank_count = 1;
  uint32_t pid = 0;
  std::optional<int32_t> wait_status = std::nullopt;
};

// A node that ends by itself: "it was asked to end (signal 15, Terminated)".
struct Leaving {
  std::string text;
};

struct Verdict {
  std::string text;
};

inline constexpr size_t kMaxLogLines = 256;
inline constexpr size_t kMaxLogText = 1024;  // bytes of a line

// What a node, or one of its ranks, said on standard error; any bytes.
struct LogLine {
  std::optional<uint32_t> rank = std::nullopt;
  std::string text;
  bool operator==(const LogLine&) const = default;
};

struct Log {
  std::vector<LogLine> lines;
  uint64_t dropped = 0;  // lines that are not among them (log_lines.h)
};

std::string Encode(const Facts& facts);
std::string Encode(const Seat& seat);
std::string Encode(const Claim& claim);
std::string Encode(const Waiting& waiting);
std::string Encode(const Stands& stands);
std::string Encode(const Beat& beat);
std::string Encode(const Ended& ended);
std::string Encode(const Leaving& leaving);
std::string Encode(const Verdict& verdict);
std::string Encode(const Log& log);

// Of another version what comes before the plan is read, and no more: it may go on otherwise.
Result<Facts> DecodeFacts(Body body);
Result<Seat> DecodeSeat(Body body);
Result<Claim> DecodeClaim(Body body);
Result<Waiting> DecodeWaiting(Body body);
Result<Stands> DecodeStands(Body body);
Result<Beat> DecodeBeat(Body body);
Result<Ended> DecodeEnded(Body body);
Result<Leaving> DecodeLeaving(Body body);
Result<Verdict> DecodeVerdict(Body body);
Result<Log> DecodeLog(Body body);

}  // namespace mrs::wire
