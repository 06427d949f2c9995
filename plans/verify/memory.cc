// Everything a rank allocates must fit in what the plan says it may use.
#include "plans/verify/checks.h"

namespace mrs::verify {

Status CheckMemory(const StageView& stage) {
  const uint64_t weights = stage.stage.weight_arena_bytes();
  const uint64_t kv = stage.stage.kv_arena_bytes();
  const uint64_t activations = stage.stage.activation_arena_bytes();
  const uint64_t total = SatAdd(SatAdd(weights, kv), activations);
  const auto& memory = *stage.plan.cluster()->memory_bytes();
  const std::span<const plan::Rank> ranks = View(stage.plan.ranks());
  for (uint32_t rank = 0; rank < memory.size(); ++rank) {
    if (ranks[rank].stage() != stage.index || total <= memory.Get(rank)) continue;
    return Refuse(
        "rank {}: needs {} bytes (weights {}, KV {}, activations {}), but may use {}; plan with more ranks, a smaller "
        "--max-len or --max-seqs, or more --memory",
        rank, total, weights, kv, activations, memory.Get(rank));
  }
  return Status();
}

}  // namespace mrs::verify
