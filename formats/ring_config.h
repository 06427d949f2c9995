// RING_CONFIG of mistral.rs: the file that tells one rank of a TCP ring who it is and where its right neighbour
// listens.
//
//   {"master_ip": "10.0.0.1", "master_port": 9000, "port": 9001, "right_port": 9002, "right_ip": "10.0.0.2",
//    "rank": 0, "world_size": 2}
//     ->  rank 0 of 2 listens on 9001 for its left neighbour, and on 9000 as the master; it connects to 10.0.0.2:9002
//
// One file a rank. Fields and rules are those of RingRankConfig, ring::RingComm and ring_ops in mistral.rs,
// https://github.com/EricLBuehler/mistral.rs/blob/9e922623f24b/mistralrs-quant/src/distributed/mod.rs, where most
// breaches are a panic at start or a hang. Whether the files of all ranks agree is planner/check/ring_check.h's to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json_positions.h"
#include "plans/status.h"

namespace mrs {

struct RingRankConfig {
  std::optional<std::string> master_ip;  // where rank 0 is; every other rank must say it
  uint16_t master_port = 0;              // on which rank 0 hands requests to the others; 0: left out
  uint16_t port = 0;                     // on which this rank hears its left neighbour
  uint16_t right_port = 0;               // the right neighbour's `port`
  std::optional<std::string> right_ip;   // absent: this host
  uint32_t rank = 0;
  uint32_t world_size = 0;

  bool operator==(const RingRankConfig&) const = default;
};

// Absent, 0.0.0.0, localhost, 127.x.y.z and their like in IPv6: the host itself.
bool IsThisHost(const std::optional<std::string>& address);

enum class RingRule {
  kSyntax,      // no JSON object
  kField,       // missing, of another type or out of range
  kAddress,     // neither a host name nor an IP address as it is written before a port
  kUnknownKey,  // mistral.rs passes over it, so an optional key that is misspelt changes nothing: a warning
  kWorldSize,   // 2, 4, 8, ...
  kRankRange,   // 0 to world_size - 1
  kMasterIp,    // of a rank other than 0
  kPortClash,   // rank 0 listens on two ports
  kOwnNeighbour,
};

struct RingFault {
  RingRule rule = RingRule::kSyntax;
  std::string message;
  TextPlace begin;                         // line 0: of the whole file
  TextPlace end;                           // past it
  std::optional<std::string> replacement;  // of the text between them, where it is clear
};

// Everything that is wrong with one file, in the order of the text; `config` is whole where nothing of kSyntax, kField
// or kAddress is among it.
struct RingReading {
  RingRankConfig config;
  std::vector<RingFault> faults;
  bool whole() const;
};
struct RingNeeds {
  bool master = true;  // false: where rank 0 is and listens is known from elsewhere, and master_* may be left out
};
RingReading ReadRing(std::string_view text, const RingNeeds& needs = {});

// For whoever runs it: the config, or the first fault that is no warning,
//   "ring_0.json: line 4, column 11: 'port': expected a whole number from 1 to 65535, got 70000".
Result<RingRankConfig> ParseRingConfig(std::string_view text, std::string_view where, const RingNeeds& needs = {});
Result<RingRankConfig> ReadRingConfig(const std::string& path, const RingNeeds& needs = {});

inline constexpr size_t kMaxRingBytes = 64 << 10;

// Where a field's value stands, as faults have it; of a field that is left out, nowhere.
struct RingField {
  TextPlace begin, end;
};
std::optional<RingField> FindRingField(std::string_view text, std::string_view key);

}  // namespace mrs
