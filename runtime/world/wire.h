// What the supervisor and its ranks say to each other: fixed layout, little-endian, every length capped.
//
//   const std::string message = Encode(Progress{.rank = 1, .bytes_done = 5, .bytes_total = 9});   // header and body
//   MRS_ASSIGN_OR_RETURN(const Header header, DecodeHeader(first_12_bytes, max_body));
//   MRS_ASSIGN_OR_RETURN(const Progress progress, DecodeProgress(body));
//
// The talk, one socket a rank process:
//   supervisor -> rank  Config               which ranks to be, of which plan, over which transport
//   rank -> supervisor  Hello                what this process is; the supervisor compares it with itself
//   supervisor -> rank  Peers                everyone agrees: meet each other and load
//   rank -> supervisor  Progress*, Digests (one a rank, where the plan has none of its weights), Ready
//   supervisor -> rank  Batch                one forward; the first rank of the last stage answers with a Result, the
//                                            others say nothing. As many may be under way as the plan has stages
//   rank -> supervisor  Failure              at any time; the process ends after it
//   supervisor -> rank  Report               of a rehearsal: each rank of the process answers with a Measured, once it
//   is
//                                            done with all batches before
//   supervisor -> rank  Shutdown
// A header is 12 bytes: magic u32, version u16, type u16, body bytes u32. A decoder takes exactly its body: a length
// that does not fit, a number out of range or a byte too many is an error, never a guess.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plans/contract.h"
#include "plans/sha256.h"
#include "plans/status.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/measured.h"
#include "runtime/rank/rehearsal.h"
#include "runtime/world/link_check.h"

namespace mrs::wire {

inline constexpr uint32_t kMagic = 0x5753524d;  // "MRSW"
inline constexpr uint16_t kVersion = 8;
inline constexpr size_t kHeaderBytes = 12;
inline constexpr uint32_t kMaxControlBytes = 1 << 20;  // any message but Batch and Result
inline constexpr uint32_t kMaxWorld = 4096;
inline constexpr uint32_t kMaxPathBytes = 4096;
inline constexpr uint32_t kMaxAddressBytes = 256;  // numeric, with a zone, or a name
inline constexpr uint32_t kMaxTextBytes = 16384;
inline constexpr uint32_t kMaxCongestionBytes = 16;            // TCP_CA_NAME_MAX of Linux
inline constexpr uint32_t kMaxBatchTokens = 1 << 20;           // also sequences, logit rows and table stride
inline constexpr uint32_t kMaxExchanges = 4096;                // kinds and sizes of what ranks exchange
inline constexpr uint32_t kMaxDigests = 65000;                 // of one rank; they fit into kMaxControlBytes
inline constexpr uint32_t kMaxSpaces = contract::kMaxWindows;  // of KV blocks

using Body = std::span<const std::byte>;

enum class MessageType : uint16_t {
  kConfig = 1,
  kHello = 2,
  kPeers = 3,
  kProgress = 4,
  kReady = 5,
  kBatch = 6,
  kResult = 7,
  kFailure = 8,
  kShutdown = 9,
  kReport = 10,
  kMeasured = 11,
  kDigests = 12,
  // Between nodes, node_wire.h.
  kFacts = 32,
  kSeat = 33,
  kClaim = 34,
  kWaiting = 35,
  kStands = 36,
  kBeat = 37,
  kEnded = 38,
  kLeaving = 39,
  kVerdict = 40,
  kLog = 41,
};
const char* MessageTypeName(MessageType type);  // "unknown" for any other number

enum class Transport : uint8_t { kLocal = 1, kShm = 2, kTcp = 3, kRing = 4, kMixed = 5 };  // mixed: comm/mixed.h
const char* TransportName(Transport transport);
// Ranks connect by TCP: each listens.
constexpr bool UsesSockets(Transport transport) {
  return transport == Transport::kTcp || transport == Transport::kRing || transport == Transport::kMixed;
}

struct Header {
  MessageType type = MessageType::kShutdown;
  uint32_t body_bytes = 0;
};

// The plan travels beside this message as the descriptor of a sealed file, after it the board on which the rank says
// how far it is (progress_board.h), and with Transport::kShm the shared memory: every rank gets the bytes that the
// supervisor verified, whatever has become of the plan's file. With Transport::kMixed both of comm/mixed.h's HostLinks
// come after it, where several ranks are of this host.
struct Config {
  std::string plan_path;  // for messages
  Sha256Digest plan_sha256 = {};
  std::string model_dir;
  uint32_t world_size = 0;
  uint32_t first_rank = 0;  // this process runs ranks first_rank .. first_rank + rank_count - 1
  uint32_t rank_count = 0;
  Transport transport = Transport::kLocal;
  uint32_t threads = 1;          // per rank
  uint8_t isa = 0;               // kernels::Isa
  bool spin = false;             // the host has a core for every thread of every rank
  bool spin_for_batch = false;   // and one more for the supervisor
  bool cuda_graphs = true;       // of GPUs: decodes run as graphs
  bool dependent_launch = true;  // of GPUs: kernels may be there before the one before has ended
  RehearsalScope rehearsal = RehearsalScope::kNone;
  std::string listen_address = {};         // UsesSockets: numeric, of this host
  uint16_t listen_port = 0;                // of first_rank; 0: any that is free
  uint32_t meet_within_ms = 0;             // kRing: from the last connection made on; 0: as long as it takes
  std::vector<uint32_t> local_ranks = {};  // kMixed: of this host, this one among them, ascending
  bool integrity = false;                  // UsesSockets: a tag on every message between ranks (comm/integrity.h)
  uint32_t streams = 1;                    // kTcp, kMixed: connections to each rank of another host (comm/stripes.h)
  std::string congestion = {};             // UsesSockets: control of all connections; "": see comm/tcp_socket.h
};

// Facts, so that a rank that is not like its supervisor is found before anything heavy happens.
struct Hello {
  std::string mrs_version;
  uint16_t format_major = 0;
  uint16_t format_minor = 0;
  uint32_t numerics_revision = 0;
  Sha256Digest plan_sha256 = {};
  uint32_t world_size = 0;
  uint32_t first_rank = 0;
  uint16_t listen_port = 0;  // UsesSockets: on the listen address; else 0
};

struct Endpoint {
  std::string address;  // numeric; of a ring's right neighbour as its left one has it, which may be a name
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

struct Peers {
  std::array<uint8_t, 32> secret = {};  // between nodes: what the secret is made of (node_main.h)
  std::vector<Endpoint> endpoints;      // UsesSockets: one a rank; else empty
};

struct Progress {
  uint32_t rank = 0;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

// Of what a rank reads and others, too (runtime/rank/shared_slices.h).
struct Digests {
  uint32_t rank = 0;
  std::vector<std::string> xxh3;  // 16 bytes each
};

struct Ready {
  uint32_t first_rank = 0;
  uint64_t resident_bytes = 0;  // of the process
  uint32_t graphs = 0;          // captured, of the process' rank that has most; 0: none
  uint32_t capture_ms = 0;      // of the one that took longest
};

// What one rank measured in a rehearsal.
struct Measured {
  uint32_t rank = 0;
  uint64_t resident_bytes = 0;        // of its process
  std::vector<LinkTimes> links = {};  // that it sends over
  std::vector<MeasuredExchange> exchanges = {};
};

struct BatchMessage {
  uint64_t step = 0;
  Batch batch;
};

// Spans point into the body that was decoded.
struct ResultMessage {
  uint64_t step = 0;
  StepOutput output;
};

struct Failure {
  uint32_t rank = 0;
  ErrorKind kind = ErrorKind::kRefused;
  std::string message;
};

// `first_12_bytes` has kHeaderBytes. Refuses another magic or version, an unknown type, and a body past
// `max_body_bytes`.
Result<Header> DecodeHeader(Body first_12_bytes, uint32_t max_body_bytes);

std::string Encode(const Config& config);
std::string Encode(const Hello& hello);
std::string Encode(const Peers& peers);
std::string Encode(const Progress& progress);
std::string Encode(const Digests& digests);
std::string Encode(const Ready& ready);
std::string Encode(uint64_t step, const Batch& batch);
std::string Encode(const Failure& failure);
std::string Encode(const Measured& measured);
std::string EncodeReport();
// The header of a message whose body is at hand: what passes a message on needs not know what it says.
std::string EncodeHeader(MessageType type, uint32_t body_bytes);
std::string EncodeShutdown();
// The start of a Result; output.candidates and output.logits follow as they lie in memory.
std::string EncodeResultHead(uint64_t step, const StepOutput& output);

Result<Config> DecodeConfig(Body body);
Result<Hello> DecodeHello(Body body);
Result<Peers> DecodePeers(Body body);
Result<Progress> DecodeProgress(Body body);
Result<Digests> DecodeDigests(Body body);
Result<Ready> DecodeReady(Body body);
Result<Measured> DecodeMeasured(Body body);
Result<BatchMessage> DecodeBatch(Body body);
Result<ResultMessage> DecodeResult(Body body);  // body: 8-byte aligned
Result<Failure> DecodeFailure(Body body);

// Bytes of a Batch or Result body, for the caps of either side.
struct BatchCounts {
  uint64_t tokens = 0;
  uint64_t sequences = 0;
  uint64_t logit_rows = 0;
  uint64_t spaces = 0;
  uint64_t table_stride = 0;
};
uint64_t BatchBodyBytes(const BatchCounts& counts);
uint64_t ResultBodyBytes(uint64_t candidates_bytes, uint64_t logits_count);

}  // namespace mrs::wire
