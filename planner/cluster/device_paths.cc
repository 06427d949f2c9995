#include "planner/cluster/device_paths.h"

#include <map>

namespace mrs::cluster {
namespace {

// Sockets and switches above devices, and no card: no path between devices crosses anything else.
Node WithoutOthers(const Node& node) {
  Node out = node;
  out.nics.clear();
  out.sockets.clear();
  out.switches.clear();
  std::vector<int> socket_of(node.sockets.size(), -1), switch_of(node.switches.size(), -1);
  for (Device& device : out.devices) {
    const auto socket = static_cast<size_t>(device.at.socket);
    if (socket >= node.sockets.size()) continue;  // a node without sockets
    if (socket_of[socket] < 0) {
      socket_of[socket] = static_cast<int>(out.sockets.size());
      out.sockets.push_back(node.sockets[socket]);
    }
    device.at.socket = socket_of[socket];
    for (int at = device.at.parent; at >= 0 && switch_of[at] < 0; at = node.switches[at].at.parent) {
      switch_of[at] = static_cast<int>(out.switches.size());
      out.switches.push_back(node.switches[at]);
      out.switches.back().at.socket = device.at.socket;
    }
    if (device.at.parent >= 0) device.at.parent = switch_of[device.at.parent];
  }
  for (Switch& one : out.switches) {
    if (one.at.parent >= 0) one.at.parent = switch_of[one.at.parent];
  }
  return out;
}

}  // namespace

DevicePaths DevicePathsOf(const Cluster& cluster) {
  Cluster devices{.name = {}, .nodes = {}, .network_gigabits = cluster.network_gigabits};
  for (const Node& node : cluster.nodes) devices.nodes.push_back(WithoutOthers(node));
  DevicePaths out{.paths = PathsOf(devices), .island = {}};
  std::map<int, int> of_domain;  // its island
  int next = 0;
  for (size_t n = 0; n < devices.nodes.size(); ++n) {
    const Node& node = devices.nodes[n];
    const int index = static_cast<int>(n), domain = out.paths.domain_of[n];
    std::vector<int> numbers(node.devices.size());
    for (const std::vector<int>& island : IslandsOf(node, out.paths.Of(index))) {
      const bool joined = domain >= 0 && out.paths.ToDomain(index, island.front()).gigabytes > 0;
      const auto known = joined ? of_domain.find(domain) : of_domain.end();
      const int number = known != of_domain.end() ? known->second : next++;
      if (joined) of_domain.emplace(domain, number);
      for (const int device : island) numbers[device] = number;
    }
    out.island.push_back(std::move(numbers));
  }
  return out;
}

}  // namespace mrs::cluster
