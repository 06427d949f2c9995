#include "planner/cluster/node_shape.h"

#include <algorithm>
#include <map>

namespace mrs::cluster {
namespace {

bool JoinsDevices(const PeerLink& link) { return link.kind != PeerKind::kC2c; }

}  // namespace

std::vector<int> LinkCounts(const Node& node) {
  std::vector<int> counts(node.devices.size());
  for (const PeerLink& link : node.links) {
    if (JoinsDevices(link)) counts[link.from] += link.count;
  }
  return counts;
}

bool LinksAreEven(const Node& node, std::string_view model, int most) {
  const std::vector<int> links = LinkCounts(node);
  size_t with = 0, like = 0, pairs = 0, alike = 0;
  for (size_t device = 0; device < links.size(); ++device) {
    if (node.devices[device].model != model || links[device] == 0) continue;
    ++with;
    like += links[device] >= most;
  }
  std::map<int, size_t> pairs_of;  // [count]
  for (const PeerLink& link : node.links) {
    if (!JoinsDevices(link) || link.to < 0) continue;
    ++pairs;
    alike = std::max(alike, ++pairs_of[link.count]);
  }
  // Pairs of one number are even only where most pairs are joined: a ring with a chord is not.
  const size_t all = with * (with - 1);
  return like * 4 >= with * 3 || (pairs > 0 && alike * 4 >= pairs * 3 && pairs * 4 >= all * 3);
}

bool LinksAreBridges(const Node& node) {
  std::map<int, int> peer;
  return std::all_of(node.links.begin(), node.links.end(), [&](const PeerLink& link) {
    if (!JoinsDevices(link)) return true;
    return link.to >= 0 && peer.try_emplace(link.from, link.to).first->second == link.to;
  });
}

std::vector<bool> SwitchesOfDevices(const Node& node) {
  std::vector<bool> out(node.switches.size());
  for (const Device& device : node.devices) {
    if (device.kind == DeviceKind::kCpu) continue;
    for (int at = device.at.parent; at >= 0 && !out[at]; at = node.switches[at].at.parent) out[at] = true;
  }
  return out;
}

int SwitchDepth(const Node& node, size_t one) {
  int depth = 0;
  for (int parent = node.switches[one].at.parent; parent >= 0; parent = node.switches[parent].at.parent) ++depth;
  return depth;
}

double FastestNicBelow(const Node& node, size_t one) {
  double fastest = 0;
  for (const Nic& nic : node.nics) {
    int at = nic.at.parent;
    while (at >= 0 && at != static_cast<int>(one)) at = node.switches[at].at.parent;
    if (at >= 0) fastest = std::max(fastest, nic.gigabits);
  }
  return fastest;
}

double PcieGigabits(const PcieLink& link) {
  return link.gigatransfers * link.lanes * (link.gigatransfers >= 8 ? 128.0 / 130 : 0.8);
}

std::vector<NearCards> CardsByGroup(const Node& node, const Paths& paths, double gigabits, PathClass within) {
  std::map<std::vector<int>, NearCards> by_cards;
  std::vector<int> without;
  size_t largest = 0;
  for (int device = 0; device < paths.device_count; ++device) {
    if (node.devices[device].kind == DeviceKind::kCpu) continue;
    std::vector<int> near;
    for (int nic = 0; nic < paths.nic_count; ++nic) {
      if (node.nics[nic].gigabits != gigabits) continue;
      if (paths.At(paths.Device(device), paths.Nic(nic)).path_class <= within) near.push_back(nic);
    }
    if (near.empty()) {
      without.push_back(device);
      continue;
    }
    NearCards& group = by_cards[near];
    group.cards = static_cast<int>(near.size());
    group.gpus.push_back(device);
    largest = std::max(largest, group.gpus.size());
  }
  std::vector<NearCards> groups;
  for (auto& [cards, group] : by_cards) groups.push_back(std::move(group));
  for (size_t begin = 0; largest > 0 && begin < without.size(); begin += largest) {
    const size_t end = std::min(begin + largest, without.size());
    groups.push_back(
        {{without.begin() + static_cast<ptrdiff_t>(begin), without.begin() + static_cast<ptrdiff_t>(end)}, 0});
  }
  return groups;
}

int UsualCards(const std::vector<NearCards>& groups) {
  std::map<int, int> count_of;
  for (const NearCards& group : groups) ++count_of[group.cards];
  int usual = 0, most = 0;
  for (const auto& [cards, count] : count_of) {
    if (count >= most) usual = cards, most = count;
  }
  return usual;
}

}  // namespace mrs::cluster
