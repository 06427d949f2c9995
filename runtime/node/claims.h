// What each source says of this node, held against the plan; identity.h holds them against each other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/node/identity.h"

namespace mrs::node {

// "10.0.0.1:9000" said by MISTRALRS_MN_WORKER_SERVER_ADDR.
struct HeadClaim {
  std::string address;  // without brackets; "": not said
  uint16_t port = 0;    // 0: not said
  std::string said;     // "MISTRALRS_MN_WORKER_SERVER_ADDR=10.0.0.1:9000"
};

struct Claim {
  std::optional<uint32_t> node;  // index into the plan's nodes; none: this source tells sizes or the head alone
  std::string said;              // "LWS_WORKER_INDEX=1"
  HeadClaim head;
  std::vector<std::string> notices;
};

// Nothing: this source says nothing.
using Heard = Result<std::optional<Claim>>;

Heard HearFlags(const IdentityFlags& flags, const std::vector<PlanNode>& nodes);
Heard HearLws(const Environment& environment, const std::vector<PlanNode>& nodes);
Heard HearSlurm(const Environment& environment, const std::vector<PlanNode>& nodes);
Heard HearMistralrs(const Environment& environment, const std::vector<PlanNode>& nodes);
Heard HearRing(const RingFound& ring, const std::vector<PlanNode>& nodes);

// A variable that is set to something: a shell's `NAME= command` and a manifest's empty value unset it.
const std::string* Find(const Environment& environment, std::string_view name);
// Why it says nothing: "is not set", "is empty".
std::string_view Absence(const Environment& environment, std::string_view name);
// "NAME=value", shown safely and short.
std::string Shown(std::string_view name, std::string_view value);
// A variable as a whole number. Nothing where it is not set.
Result<std::optional<uint32_t>> FindNumber(const Environment& environment, std::string_view name, uint32_t min,
                                           uint32_t max);
// "2 nodes (gpu-a, gpu-b)", "1 node (node-0)".
std::string Describe(const std::vector<PlanNode>& nodes);
uint32_t RankCount(const std::vector<PlanNode>& nodes);

// "10.0.0.1:9000", "[fe80::1]:9000", "head"; `port_needed` or not. What is wrong with it is the error.
Result<HeadClaim> ReadHead(std::string_view name, std::string_view text, bool port_needed);
// The first host of a Slurm node list: "gpu-[03-05,9],x" -> "gpu-03"; "" where it is no such list.
std::string FirstHost(std::string_view list);
// Two addresses that are numbers, and not the same one. Names may be anything's.
bool SurelyUnlike(const std::string& a, const std::string& b);

inline constexpr uint32_t kMaxNodes = 1 << 16;

}  // namespace mrs::node
