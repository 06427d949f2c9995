#include "plans/runnable.h"

#include <set>

namespace mrs {

Status Runnable(const plan::Plan& plan) {
  const uint32_t ranks = plan.ranks()->size();
  if (plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda) {
    return Refuse(
        "the plan is for {} CUDA rank{}, and mrs-exec has no CUDA backend yet: layout, shards, collectives and memory "
        "are theirs, but the programs are the CPU's ({}); to run the model on this host's cores, plan it with --cpus "
        "{}",
        ranks, ranks == 1 ? "" : "s", plan::EnumNameChain(plan.numerics()->chain()), plan.tp());
  }
  std::set<uint32_t> nodes;
  for (const plan::Rank* rank : *plan.ranks()) nodes.insert(rank->node());
  if (nodes.size() > 1) {
    return Refuse(
        "the plan's {} CPU ranks are on {} nodes, and mrs-exec starts the ranks of one host so far; to run the model "
        "on "
        "this host, plan it with --cpus {}",
        ranks, nodes.size(), plan.tp());
  }
  return Status();
}

}  // namespace mrs
