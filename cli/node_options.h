// What a node of several is told: which one it is, by flags, the environment and RING_CONFIG's file, and how the nodes
// meet and are connected.
//
//   NodeOptions node;  node.Register(line);
//   MRS_ASSIGN_OR_RETURN(const NodeIdentity self, node.Identify(nodes, environ));   // runtime/node/identity.h
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/link_options.h"
#include "runtime/node/identity.h"

namespace mrs::cli {

struct NodeOptions {
  IdentityFlags flags;
  std::string secret_file;  // "": none
  bool insecure = false;
  std::string integrity;  // "on", "off", or "": as there is a secret
  LinkOptions links;
  double start_timeout_s = 600;
  std::string interface;  // whose address this node binds; "": not said

  void Register(CommandLine& line);
  // `entries` as environ(7) has them.
  Result<NodeIdentity> Identify(const std::vector<PlanNode>& nodes, const char* const* entries) const;
  // The address that --interface, or else NCCL_SOCKET_IFNAME in `entries`, gives this node; "": neither does. A notice
  // says that the latter was read, which is a hint: one that fits nothing here is passed over.
  Result<std::string> InterfaceAddress(const char* const* entries, std::vector<std::string>* notices) const;
};

}  // namespace mrs::cli
