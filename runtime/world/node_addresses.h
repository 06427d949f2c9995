// Whether a node comes from where the plan has it. Names are looked up apart: nobody waits for a resolver that takes
// its time, and a name that is not known yet is asked for again, as hosts are started (a headless service of
// Kubernetes).
//
//   NodeAddresses addresses(nodes);                      // {"b", "b.cluster.local"}: starts to look
//   addresses.Advance(now, missing);                     // takes answers, asks again
//   addresses.IsAt(1, "10.0.0.2", guest.since, now)      // kLater, until there is an answer younger than the guest
//
// The zone of a link-local IPv6 address ("%eth0") is each host's own, and not compared. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plans/cluster_nodes.h"
#include "runtime/comm/tcp_socket.h"

namespace mrs {

class NodeAddresses {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Match { kYes, kNo, kUnknown, kLater };

  explicit NodeAddresses(const std::vector<PlanNode>& nodes);

  // In the place of what the plan has: a name or a numeric address.
  void Tell(size_t node, const std::string& address);
  void Advance(Time now, const std::function<bool(size_t node)>& missing);

  // `from`: numeric. kUnknown: nothing says where the node is. kLater: looked up; of a name only an answer to what was
  // asked after `since` says no, as hosts that are started again may have other addresses.
  Match IsAt(size_t node, const std::string& from, Time since, Time now);
  // What is known now, without asking.
  bool IsKnownAt(size_t node, const std::string& from) const;
  // "b.cluster.local: Name or service not known"; "" where nothing is wrong.
  const std::string& WhyUnknown(size_t node) const { return nodes_[node].why; }

 private:
  struct Node {
    std::string name = {};                // "": numeric, or nothing
    std::vector<std::string> known = {};  // numeric, without zones
    std::string why = {};
    std::optional<Lookup> lookup = {};
    Time asked = {};        // when the last lookup began
    Time answered_to = {};  // when that began which was answered last
  };
  void Ask(Node& node, Time now);
  void TakeAnswer(Node& node);

  std::vector<Node> nodes_;
  size_t asking_ = 0;
};

// "fe80::1%eth0" -> "fe80::1".
std::string WithoutZone(const std::string& address);

}  // namespace mrs
