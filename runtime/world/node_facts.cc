#include "runtime/world/node_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "plans/contract.h"
#include "plans/printable.h"
#include "runtime/rank/weight_reads.h"
#include "runtime/rank/weight_tiles.h"
#include "runtime/world/hello.h"

namespace mrs {

wire::Facts FactsOf(const OpenedPlan& opened, const std::vector<PlanNode>& nodes, uint32_t node,
                    uint64_t memory_bytes) {
  const wire::Hello hello = MakeHello(opened);
  return {.mrs_version = hello.mrs_version,
          .format_major = hello.format_major,
          .format_minor = hello.format_minor,
          .numerics_revision = hello.numerics_revision,
          .plan_sha256 = hello.plan_sha256,
          .node = node,
          .node_count = static_cast<uint32_t>(nodes.size()),
          .ranks = nodes.at(node).ranks,
          .memory_bytes = memory_bytes};
}

std::string RanksText(const std::vector<uint32_t>& ranks) {
  if (ranks.size() == 1) return fmt::format("rank {}", ranks[0]);
  if (ranks.size() == 2) return fmt::format("ranks {} and {}", ranks[0], ranks[1]);
  if (!ranks.empty() && ranks.back() - ranks.front() == ranks.size() - 1) {
    return fmt::format("ranks {} to {}", ranks.front(), ranks.back());
  }
  return fmt::format("ranks {}", fmt::join(ranks, ", "));
}

Status CompareFacts(const std::vector<PlanNode>& nodes, const wire::Facts& head, const wire::Facts& node) {
  std::string who = node.node < nodes.size() ? NodeText(nodes, node.node) : fmt::format("node {}", node.node);
  if (node.node < nodes.size() && !nodes[node.node].of_ring) {
    who += fmt::format(", {}", RanksText(nodes[node.node].ranks));
  }
  const auto differs = [&](const char* field, const auto& actual, const auto& expected, const char* hint) {
    return Refuse("{}: its {} is {}, the head's is {}; {}", who, field, actual, expected, hint);
  };
  constexpr const char* kSameProgram = "run the same mrs-exec on every node";
  constexpr const char* kSamePlan = "give every node the same plan file";
  if (node.mrs_version != head.mrs_version) {
    return differs("mrs version", Printable(node.mrs_version), head.mrs_version, kSameProgram);
  }
  if (node.format_major != head.format_major || node.format_minor != head.format_minor) {
    return differs("plan format", fmt::format("{}.{}", node.format_major, node.format_minor),
                   fmt::format("{}.{}", head.format_major, head.format_minor), kSameProgram);
  }
  if (node.numerics_revision != head.numerics_revision) {
    return differs("numerics revision", node.numerics_revision, head.numerics_revision, kSameProgram);
  }
  if (node.plan_sha256 != head.plan_sha256) {
    return differs("plan", Hex(node.plan_sha256), Hex(head.plan_sha256), kSamePlan);
  }
  if (node.ring.has_value() != head.ring.has_value()) {
    return Refuse("{}: it was started {} RING_CONFIG, the head {} it; start all alike", who,
                  node.ring.has_value() ? "with" : "without", head.ring.has_value() ? "with" : "without");
  }
  if (node.node_count != head.node_count) return differs("count of nodes", node.node_count, head.node_count, kSamePlan);
  if (node.node >= nodes.size()) {
    return Refuse("a node says that it is node {}, and the plan has {} nodes, from 0; give each node its own --node",
                  node.node, nodes.size());
  }
  if (node.ranks != nodes[node.node].ranks) {
    return Refuse("{}: it would start {}, and the plan has {} there; {}", who, RanksText(node.ranks),
                  RanksText(nodes[node.node].ranks), kSamePlan);
  }
  if (node.rehearses != head.rehearses) {
    return Refuse("{}: it was started {} --rehearse, the head {} it; start all alike", who,
                  node.rehearses ? "with" : "without", head.rehearses ? "with" : "without");
  }
  if (node.streams != head.streams) {
    return differs("--cluster-streams", node.streams, head.streams, "give all nodes the same");
  }
  return Status();
}

Status UnlikeIntegrity(const std::vector<PlanNode>& nodes, uint32_t node, bool of_node) {
  return Refuse(
      "{}: its --cluster-integrity is {}, the head's is {}; give all nodes the same, and the same secret (it is on "
      "where there is one)",
      node < nodes.size() ? NodeText(nodes, node) : fmt::format("node {}", node), of_node ? "on" : "off",
      of_node ? "off" : "on");
}

std::vector<uint64_t> MemoryNeeds(const plan::Plan& plan) {
  std::vector<uint64_t> needs(plan.ranks()->size());
  for (uint32_t rank = 0; rank < needs.size(); ++rank) {
    const plan::Stage& stage = StageOf(plan, rank);
    // A GPU's rank has all on its device; its weights pass buffers of the host.
    if (plan.ranks()->Get(rank)->kind() == plan::DeviceKind::cuda) {
      needs[rank] = HostBytesOf(plan, rank);
      continue;
    }
    for (const uint64_t bytes : {stage.weight_arena_bytes(), stage.activation_arena_bytes(), stage.kv_arena_bytes()}) {
      if (__builtin_add_overflow(needs[rank], bytes, &needs[rank])) needs[rank] = UINT64_MAX;
    }
  }
  return needs;
}

Status CompareMemory(const std::vector<PlanNode>& nodes, const plan::Plan& plan, const wire::Facts& node) {
  uint64_t need = 0;
  const std::vector<uint32_t>& ranks = nodes.at(node.node).ranks;
  const std::vector<uint64_t> needs = MemoryNeeds(plan);
  for (const uint32_t rank : ranks) {
    if (__builtin_add_overflow(need, needs.at(rank), &need)) need = UINT64_MAX;
  }
  if (need <= node.memory_bytes) return Status();
  return Refuse("{}, {}: its memory is {} bytes, the plan's ranks there need {}; plan with --memory, or for more nodes",
                NodeText(nodes, node.node), RanksText(ranks), node.memory_bytes, need);
}

}  // namespace mrs
