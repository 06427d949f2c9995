// A sound node, and one cluster for each way in which something can be wrong, with all that is said of it.
//
//   for (const PlantedFault& fault : PlantedFaults()) FindingsText(FindingsOf(fault.cluster)) == fault.text
//
// The texts are whole: `mrs-plan cluster check` prints `text`, `mrs-plan check` a line "FILE: " + diagnostic for each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"

namespace mrs::cluster {

struct PlantedFault {
  std::string_view id;  // that this is a case of
  Cluster cluster;
  std::string text;
  std::vector<std::string> diagnostics;
};

// Four A100 modules by two switches, a card by each, on an NVSwitch.
Node SoundNode();
std::vector<PlantedFault> PlantedFaults();

}  // namespace mrs::cluster
