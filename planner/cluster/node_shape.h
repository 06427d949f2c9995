// How the links, switches and network cards of a node are laid out, as far as judging them asks.
//
//   three cards, two of which have a bridge   ->  LinksAreBridges: the third lacks nothing
//   four of the eight GPUs of a DGX-1         ->  not LinksAreEven: 4, 4, 5 and 5 links are no fault of any
//   two cards by each of four switches, one of them moved away  ->  CardsByGroup: 2, 2, 2 and 1; UsualCards: 2
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "planner/cluster/cluster.h"
#include "planner/cluster/paths.h"

namespace mrs::cluster {

// NVLinks and xGMI links of each device, to whatever they lead.
std::vector<int> LinkCounts(const Node& node);

// Whether three of four devices of `model` that have links have at least `most`, or three of four joined pairs the
// same number: then fewer are a fault, and not the way in which a mesh is made.
bool LinksAreEven(const Node& node, std::string_view model, int most);

// Whether every device with links has them to one other alone.
bool LinksAreBridges(const Node& node);

// [switch] Whether a GPU hangs from it, by whatever is between.
std::vector<bool> SwitchesOfDevices(const Node& node);

// How many switches are above it.
int SwitchDepth(const Node& node, size_t one);

// Gbit/s of the fastest network card that hangs from it; 0: none, or not known.
double FastestNicBelow(const Node& node, size_t one);

// Gbit/s that a PCIe link carries, 128b/130b from 3.0 on, 8b/10b before, headers left out; 0: not known.
double PcieGigabits(const PcieLink& link);

// Devices that share their near cards, and how many these are.
struct NearCards {
  std::vector<int> gpus;  // indices of Node.devices
  int cards = 0;
};

// Of the cards of one rate, by the groups of GPUs that they serve: those that are `within` that class of each other.
// GPUs that are near to no card are as large groups as the largest of the others. Empty where no card is near to any.
std::vector<NearCards> CardsByGroup(const Node& node, const Paths& paths, double gigabits,
                                    PathClass within = PathClass::kPxb);

// How many cards most groups have; the larger number where two are as frequent. 0 where there is no group.
int UsualCards(const std::vector<NearCards>& groups);

}  // namespace mrs::cluster
