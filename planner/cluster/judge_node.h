// What is wrong within one node, held against its catalogue rows and its own parts: findings.h without the other nodes.
//
//   JudgeNode(node)  ->  {"cluster.pcie-narrow", "device 3", "PCIe x4; expected x16, ...", 18 GB/s}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

struct NodeFinding {
  std::string_view id;        // of FindingKinds
  std::string place;          // within the node
  std::string what;           // found and expected
  double cost_gigabytes = 0;  // as Finding has it
};

// In the order of the node's parts.
std::vector<NodeFinding> JudgeNode(const Node& node);

// Whether devices may have links that the description does not tell: such are not judged.
bool LinksUntold(const Node& node);

}  // namespace mrs::cluster
