#include "plans/rank_memory.h"

#include "plans/verify/context.h"

namespace mrs {

using verify::SatAdd;

uint64_t RankMemory::Beside() const { return SatAdd(workspace, SatAdd(graphs, communicators)); }
uint64_t RankMemory::Total() const { return SatAdd(SatAdd(weights, SatAdd(kv, activations)), Beside()); }

RankMemory MemoryOf(const plan::Stage& stage) {
  return {.weights = stage.weight_arena_bytes(),
          .kv = stage.kv_arena_bytes(),
          .activations = stage.activation_arena_bytes(),
          .workspace = stage.workspace_bytes(),
          .graphs = stage.graphs_bytes(),
          .communicators = stage.communicators_bytes()};
}

}  // namespace mrs
