// What is wrong with a cluster, or slower than it has to be.
//
//   for (const Finding& finding : FindingsOf(cluster)) ...
//   // {"cluster.pcie-narrow", "node-0: device 3", "PCIe x4; the model has x16", 18 GB/s, "reseat the card, ..."}
//
// What a node is held against is its catalogue row, its other devices of the same model, and the other nodes: a cluster
// that is slow all over, by design, is quiet. Figures are those of paths.h.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

struct Finding {
  std::string_view id;        // stable, one of FindingIds
  std::string place;          // "node-0: device 3"
  std::string what;           // found and expected
  double cost_gigabytes = 0;  // per second that are lost, one way; 0: nothing that has this unit
  std::string_view mend;      // what to do
  bool by_design = false;     // a note on how such machines are made, and no fault
};

std::vector<Finding> FindingsOf(const Cluster& cluster);

// Every id with when it fires and what to do about it.
struct FindingKind {
  std::string_view id, when, mend;
  bool by_design = false;  // as Finding has it
};
std::span<const FindingKind> FindingKinds();

// What is said where nothing was found: "sound: looked at 1 node, 4 devices and 2 network cards: NVLinks, ...", and
// what the description leaves out, so that it could not be judged.
std::string SoundText(const Cluster& cluster);

// "cluster.pcie-narrow  node-0: device 3\n  PCIe x4; ...\n", and the same as JSON.
std::string FindingsText(std::span<const Finding> findings);
std::string FindingsJson(std::span<const Finding> findings);

}  // namespace mrs::cluster
