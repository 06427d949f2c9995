#include "planner/export/deployment.h"

#include <algorithm>
#include <map>

#include "planner/cluster/cluster_file.h"
#include "plans/rank_memory.h"

namespace mrs::deploy {

bool Deployment::has_addresses() const {
  return std::none_of(nodes.begin(), nodes.end(), [](const Node& node) { return node.address.empty(); });
}

Result<Deployment> ReadDeployment(const plan::Plan& plan, std::string plan_sha256) {
  Deployment out;
  out.model = plan.model()->name()->str();
  out.plan_sha256 = std::move(plan_sha256);
  out.rank_count = plan.ranks()->size();
  out.tp = plan.tp();
  out.stages = plan.stages()->size();
  out.max_len = plan.max_len();
  out.max_seqs = plan.max_seqs();
  out.dtype = plan::EnumNameDType(plan.numerics()->weight_dtype());
  out.chain = plan::EnumNameChain(plan.numerics()->chain());
  // Where no cluster was given, the description is a line for people, of one host.
  const std::string description = plan.cluster()->description()->str();
  cluster::Cluster cluster;
  if (description.starts_with("version:")) {
    MRS_ASSIGN_OR_RETURN(cluster, cluster::ParseCluster(description, "the plan's cluster"));
  }
  std::map<uint32_t, Node> nodes;
  for (uint32_t i = 0; i < out.rank_count; ++i) {
    const plan::Rank& rank = *plan.ranks()->Get(i);
    out.cuda |= rank.kind() == plan::DeviceKind::cuda;
    Node& node = nodes[rank.node()];
    if (rank.node() < cluster.nodes.size()) {
      node.name = cluster.nodes[rank.node()].name;
      node.address = cluster.nodes[rank.node()].address;
    } else if (!cluster.nodes.empty()) {
      return Refuse("rank {} is on node {}, but the plan's cluster has {} nodes; rebuild it with mrs-plan", i,
                    rank.node(), cluster.nodes.size());
    }
    if (node.name.empty()) node.name = fmt::format("node-{}", rank.node());
    node.ranks.push_back(i);
    node.devices.push_back(rank.device());
    const uint64_t takes = MemoryOf(*plan.stages()->Get(rank.stage())).Total();
    if (__builtin_add_overflow(node.memory_bytes, takes, &node.memory_bytes)) node.memory_bytes = UINT64_MAX;
  }
  for (auto& [index, node] : nodes) out.nodes.push_back(std::move(node));
  return out;
}

}  // namespace mrs::deploy
