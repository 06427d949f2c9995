// Which node of the plan is this one, where is the head, and from what is that known?
//
//   IdentifyNode({.node = 1}, {}, nodes)   ->  node 1 of 2, head 10.0.0.1 (the plan's), from "--node 1"
//   LWS_WORKER_INDEX=1 LWS_GROUP_SIZE=2 LWS_LEADER_ADDRESS=m-0.m   ->  node 1 of 2, head m-0.m
//   LWS_GROUP_SIZE=3, and a plan of 2 nodes   ->  "LWS_GROUP_SIZE=3, but the plan has 2 nodes (gpu-a, gpu-b): ..."
//
// Everything that says something is heard: --node, --head, LeaderWorkerSet, Slurm, mistral.rs' MISTRALRS_MN_*, and
// RING_CONFIG. All must agree with the plan and with each other; half of a source is a mistake, too. A pure function:
// whoever calls it brings the environment (EnvironmentOf) and the ring's file (formats/ring_config.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/ring_config.h"
#include "plans/cluster_nodes.h"
#include "plans/status.h"

namespace mrs {

using Environment = std::map<std::string, std::string, std::less<>>;

// What IdentifyNode looks at, of a process' environment as execve(2) passes it on.
Environment EnvironmentOf(const char* const* entries);

struct IdentityFlags {
  std::optional<uint32_t> node;  // --node K
  std::string head = {};         // --head ADDRESS[:PORT]; "": not given
  uint16_t cluster_port = 0;     // --cluster-port N; 0: not given
};

// The file that RING_CONFIG names, read with .master_elsewhere where the plan has the head's address.
struct RingFound {
  std::string path;
  RingRankConfig config;
};

// With a ring each rank is started by a command of its own: node is its rank, and nodes the ring's world_size.
struct NodeIdentity {
  uint32_t node = 0;                 // 0 is the head, which serves
  uint32_t nodes = 1;                // commands that make up the world
  std::vector<uint32_t> ranks;       // those that this one starts
  std::string head_address;          // "": nobody says, which is so for one node alone
  uint16_t head_port = 0;            // of the rendezvous; 0: nobody says
  std::string source;                // for people: "LWS_WORKER_INDEX=1", "the plan, which has one node"
  std::vector<std::string> notices;  // what was taken otherwise than it was written
  std::optional<RingFound> ring;

  bool is_head() const { return node == 0; }
};

// `nodes` is not empty.
Result<NodeIdentity> IdentifyNode(const IdentityFlags& flags, const Environment& environment,
                                  const std::vector<PlanNode>& nodes, std::optional<RingFound> ring = std::nullopt);

}  // namespace mrs
