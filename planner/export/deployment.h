// What whoever starts a plan needs of it: its nodes, which ranks run where, and what they take.
//
//   ReadDeployment(plan, "9f3c...")   ->   {nodes {a 10.0.0.1 ranks 0 1} {b 10.0.0.2 ranks 2 3}, tp 4, ...}
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::deploy {

// A node of the cluster that has ranks; mrs-exec counts these, and only these, from 0, the head.
struct Node {
  std::string name;
  std::string address;            // a host name or an IP address, without brackets; "": the cluster file says none
  std::vector<uint32_t> ranks;    // ascending
  std::vector<uint32_t> devices;  // of each rank, its ordinal on the node
  uint64_t memory_bytes = 0;      // that its ranks take: of the host (CPU ranks), or of its GPUs
};

struct Deployment {
  std::string model;  // what clients call it
  std::string plan_sha256;
  bool cuda = false;
  std::vector<Node> nodes;
  uint32_t rank_count = 0;
  uint32_t tp = 1;
  uint32_t stages = 1;
  uint32_t max_len = 0;
  uint32_t max_seqs = 0;
  std::string dtype;  // "bf16"
  std::string chain;  // "pair2"

  bool has_addresses() const;  // of all nodes
};

Result<Deployment> ReadDeployment(const plan::Plan& plan, std::string plan_sha256);

}  // namespace mrs::deploy
