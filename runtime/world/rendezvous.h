// Nodes meet before anything heavy: all are there, each is who it says, and all are alike; or every one hears why not.
//
//   head:  MRS_ASSIGN_OR_RETURN(std::vector<NodeLink> links, HoldRendezvous(std::move(listener), party));
//   node:  MRS_ASSIGN_OR_RETURN(NodeLink link, JoinRendezvous({"10.0.0.1", 29500}, party));
//   // while it waits: "waiting for  node 2 (c at 10.0.0.3)"
//
// See node_wire.h for what is said. The head listens on its own address alone, and until the world stands; strangers
// are strangers.h's. The first difference is told to all who are there or come within kLinger, and ends the world. A
// node that goes away before all are there may come again; one that cannot take part says so in the place of its facts.
// Both say in the hellos that their proofs cover whether there
// are to be tags (comm/integrity.h) from there on.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plans/cluster_nodes.h"
#include "plans/reader.h"
#include "plans/status.h"
#include "runtime/comm/tcp.h"
#include "runtime/world/channel.h"
#include "runtime/world/node_wire.h"

namespace mrs {

inline constexpr std::chrono::milliseconds kNodeBeatEvery{500};
// Heard of one node before the others are heard again, however much it says.
inline constexpr int kNodeMessagesATurn = 16;
inline constexpr std::chrono::milliseconds kNodeSilence{4000};  // until a node counts as lost
inline constexpr std::chrono::milliseconds kLinger{2000};

// One process of a rendezvous.
struct Party {
  std::vector<PlanNode> nodes;  // of the plan; the first is the head
  uint32_t node = 0;            // which of them this process is
  wire::Facts facts;            // of this process
  std::string secret;           // "": none, which is the caller's decision
  bool integrity = false;       // tags on both connections from the proofs on; with a secret alone
  std::chrono::milliseconds start_timeout{600000};
  wire::Stands stands = {};                                                               // the head's, for all ranks
  std::function<std::string()> why_stopped = [] { return "the head was asked to end"; };  // for the others
  int stop_fd = -1;                         // once it is readable, kCancelled
  const plan::Plan* plan = nullptr;         // the head's: what its nodes need
  std::optional<std::string> refused = {};  // the head's: why there will be no world
  std::vector<std::string> head_also = {};  // of a node: other addresses at which the head may be, tried in turn
  std::string own_address = {};             // of a node, numeric: it comes from there; "": from where the plan has it
  std::function<void(const std::string&)> say = [](const auto&) {};  // a line for people, without its end
};

// A node as the head has it, or the head as a node has it.
struct NodeLink {
  uint32_t node = 0;
  std::string address;               // of the other side, numeric
  std::string own_address;           // of this side
  std::unique_ptr<Channel> control;  // see node_wire.h
  std::unique_ptr<Channel> work;
  wire::Stands stands;                  // of a node
  std::optional<wire::RingFacts> ring;  // the head's, of a rank with a RING_CONFIG
};

// Links to all nodes but the head, by number.
Result<std::vector<NodeLink>> HoldRendezvous(TcpListener listener, const Party& party);
Result<NodeLink> JoinRendezvous(const TcpEndpoint& head, const Party& party);

// Of a node that will not join: the head hears why, so that nobody waits for it. One try, of some seconds at most;
// false where the head is not there.
bool TellWhyNotJoining(const TcpEndpoint& head, const Party& party, const std::string& why);

}  // namespace mrs
