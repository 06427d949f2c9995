// Everything a rank allocates must fit in what the plan says it may use.
#include <string>

#include "plans/rank_memory.h"
#include "plans/verify/checks.h"

namespace mrs::verify {

Status CheckMemory(const StageView& stage) {
  const RankMemory needs = MemoryOf(stage.stage);
  const uint64_t total = needs.Total();
  const auto& memory = *stage.plan.cluster()->memory_bytes();
  const std::span<const plan::Rank> ranks = View(stage.plan.ranks());
  for (uint32_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].stage() != stage.index) continue;
    if (ranks[rank].kind() == plan::DeviceKind::cpu && needs.Beside() != 0) {
      return Refuse(
          "rank {}: is of cpu, yet its stage has workspace {}, graphs {} and communicators {}, expected 0 each", rank,
          needs.workspace, needs.graphs, needs.communicators);
    }
    if (ranks[rank].kind() == plan::DeviceKind::cuda && (needs.workspace == 0 || needs.graphs == 0)) {
      return Refuse("rank {}: is of cuda, yet its stage has workspace {} and graphs {}, expected more than 0 each",
                    rank, needs.workspace, needs.graphs);
    }
    if (rank >= memory.size() || total <= memory.Get(rank)) continue;
    return Refuse(
        "rank {}: needs {} bytes ({}), but may use {}; plan with more ranks, a smaller --max-len or --max-seqs, or "
        "more "
        "--memory",
        rank, total, MemoryText(needs, [](uint64_t bytes) { return std::to_string(bytes); }), memory.Get(rank));
  }
  return Status();
}

}  // namespace mrs::verify
