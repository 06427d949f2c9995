#include "runtime/node/identity.h"

#include <string_view>

#include "runtime/node/claims.h"

namespace mrs {
namespace {

using node::Claim;
using node::HeadClaim;
using node::Heard;

constexpr std::string_view kLooked[] = {"LWS_",        "SLURM_",       "MISTRALRS_",
                                        "RING_CONFIG", "NCCL_SOCKET_", "NCCL_NSOCKS_PERTHREAD"};

// What all of them together say, or which two do not agree.
Status Settle(const std::vector<Claim>& claims, const std::vector<PlanNode>& nodes, NodeIdentity* identity) {
  const Claim* first = nullptr;
  const HeadClaim* address = nullptr;
  const HeadClaim* port = nullptr;
  for (const Claim& claim : claims) {
    identity->notices.insert(identity->notices.end(), claim.notices.begin(), claim.notices.end());
    if (claim.node && first == nullptr) first = &claim;
    if (claim.node && *claim.node != *first->node) {
      return Refuse("{} is node {} ({}) of the plan, but {} is node {} ({}): give one of the two, or make them agree",
                    first->said, *first->node, nodes[*first->node].name, claim.said, *claim.node,
                    nodes[*claim.node].name);
    }
    const HeadClaim& head = claim.head;
    if (!head.address.empty()) {
      if (address != nullptr && node::SurelyUnlike(address->address, head.address)) {
        return Refuse("{}, but {}: both say where the head is; give one of the two, or make them agree", address->said,
                      head.said);
      }
      if (address == nullptr) address = &head;
    }
    if (head.port != 0) {
      if (port != nullptr && port->port != head.port) {
        return Refuse("{}, but {}: both say the head's port, {} and {}; give one of the two, or make them agree",
                      port->said, head.said, port->port, head.port);
      }
      if (port == nullptr) port = &head;
    }
  }
  // The cluster file names the address that is meant for this; a scheduler's name of the same host may be on another
  // network.
  const std::string& planned = nodes.front().address;
  if (address != nullptr && !planned.empty() && node::SurelyUnlike(address->address, planned)) {
    return Refuse(
        "{}, but the plan has its head {} at {}: correct it, or the address in the cluster file, and plan anew",
        address->said, nodes.front().name, planned);
  }
  const bool by_flag = address != nullptr && address->said.starts_with("--head");
  const bool of_slurm = address != nullptr && address->said.starts_with("SLURM_");  // its names for its own use
  if (address != nullptr && !planned.empty() && address->address != planned && !by_flag && !of_slurm) {
    identity->notices.push_back(
        fmt::format("the head is met at {}, where the plan has it; {} is not used", planned, address->said));
  }
  identity->head_address = !planned.empty() && !by_flag ? planned : address != nullptr ? address->address : "";
  identity->head_port = port != nullptr ? port->port : 0;
  if (first != nullptr) {
    identity->node = *first->node;
    identity->source = first->said;
    return Status();
  }
  if (nodes.size() > 1) {
    std::string mute;
    for (const Claim& claim : claims) mute += fmt::format("{}{}", mute.empty() ? "" : ", ", claim.said);
    if (!mute.empty()) mute = fmt::format(" ({} does not)", mute);
    return Refuse(
        "the plan has {}, and nothing says which of them this is{}: give --node K (0 to {}), or start it by "
        "LeaderWorkerSet (LWS_WORKER_INDEX), srun (SLURM_NODEID), with mistral.rs' MISTRALRS_MN_* variables, or with "
        "RING_CONFIG",
        node::Describe(nodes), mute, nodes.size() - 1);
  }
  identity->source = "the plan, which has one node";
  return Status();
}

}  // namespace

Environment EnvironmentOf(const char* const* entries) {
  Environment environment;
  for (; entries != nullptr && *entries != nullptr; ++entries) {
    const std::string_view entry = *entries;
    const size_t equals = entry.find('=');
    if (equals == entry.npos) continue;
    for (const std::string_view prefix : kLooked) {
      if (entry.starts_with(prefix)) environment.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
  }
  return environment;
}

Result<NodeIdentity> IdentifyNode(const IdentityFlags& flags, const Environment& environment,
                                  const std::vector<PlanNode>& nodes, std::optional<RingFound> ring) {
  MRS_CHECK(!nodes.empty());
  std::vector<Claim> claims;
  const auto hear = [&](Heard heard) -> Status {
    if (!heard.ok()) return heard.error();
    if (*heard) claims.push_back(**std::move(heard));
    return Status();
  };
  MRS_RETURN_IF_ERROR(hear(node::HearFlags(flags, nodes)));
  MRS_RETURN_IF_ERROR(hear(node::HearLws(environment, nodes)));
  MRS_RETURN_IF_ERROR(hear(node::HearSlurm(environment, nodes)));
  MRS_RETURN_IF_ERROR(hear(node::HearMistralrs(environment, nodes)));
  if (ring) MRS_RETURN_IF_ERROR(hear(node::HearRing(*ring, nodes)));
  NodeIdentity identity;
  MRS_RETURN_IF_ERROR(Settle(claims, nodes, &identity));
  identity.nodes = static_cast<uint32_t>(nodes.size());
  identity.ranks = nodes[identity.node].ranks;
  if (ring) {
    identity.node = ring->config.rank;
    identity.nodes = ring->config.world_size;
    identity.ranks = {ring->config.rank};
    if (identity.head_address.empty()) {  // this host, for all of its ranks
      identity.head_address = ring->config.master_ip == "[::1]" ? "::1" : "127.0.0.1";
    }
    identity.ring = std::move(ring);
  }
  return identity;
}

}  // namespace mrs
