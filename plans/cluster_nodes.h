// Who the nodes of a plan are: name, address and ranks of each, from the cluster that the plan holds.
//
//   NodesOf(plan of 4 ranks on two nodes)
//   ->  {{"gpu-a", "10.0.0.1", {0, 1}}, {"gpu-b", "10.0.0.2", {2, 3}}}; the first is the head
//
// A plan holds its cluster as mrs-plan writes it (YAML with one spelling for everything), or as a line for people; of
// that only the lines that name nodes and devices are read here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

// A node that has ranks. Its number is its place among those, in the cluster's order.
struct PlanNode {
  std::string name = {};             // of the cluster, "gpu-a"; "node-3" where it does not tell
  std::string address = {};          // a host name or an IP address without brackets; "": not told
  std::vector<uint32_t> ranks = {};  // of the plan, ascending, at least one
  bool of_ring = false;              // stands for one rank of RING_CONFIG, which has a process of its own
  bool operator==(const PlanNode&) const = default;
};

// Name and address of each node of a cluster's text, in its order; none where it is a line for people.
struct NamedNode {
  std::string name;
  std::string address;  // "": not told
  bool operator==(const NamedNode&) const = default;
};
Result<std::vector<NamedNode>> ReadNodeNames(std::string_view cluster_text);

// The nodes of a verified plan that have ranks. Never empty.
Result<std::vector<PlanNode>> NodesOf(const plan::Plan& plan);

// The model of a rank's device, "H100-SXM", as the cluster of a verified plan has it; "" where it does not tell.
std::string DeviceModelOf(const plan::Plan& plan, uint32_t rank);

// What stands in the place of nodes where each rank of a ring is started by itself: no host is known of any.
std::vector<PlanNode> RingNodes(uint32_t world_size);

// "node 1 (gpu-b at 10.0.0.2)", as messages name it; "rank 1 of the ring".
std::string NodeText(const std::vector<PlanNode>& nodes, size_t number);
// "node 1 (gpu-b at 10.0.0.2)" as where a rank is; "" where that would only name the rank again.
std::string PlaceText(const std::vector<PlanNode>& nodes, size_t number);
// The number of the node that has the rank.
size_t NodeOfRank(const std::vector<PlanNode>& nodes, uint32_t rank);

}  // namespace mrs
