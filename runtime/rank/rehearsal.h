// What of a plan is rehearsed where its weights are not: the same programs on zeros, and how much of them.
//
//   ChooseScope(plan, /*node=*/0, ReadHostMemory())                 // kAll; of 70 billion parameters in 24 GiB:
//   kLayers RehearsedStageOf(stage, RehearsalScope::kLayers).layers         // {0}; of two kinds of attention {0, 5}
//   RehearsalBatch(plan, spaces, {.tokens = 64, ...}, variant)      // a batch that fills this bucket
//
// Everything here is decided from the plan alone, so that the supervisor and all ranks decide alike.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/memory.h"
#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/rank/executor.h"
#include "runtime/rank/kv_spaces.h"

namespace mrs {

// The values travel (runtime/world/wire.h).
enum class RehearsalScope : uint8_t {
  kNone = 0,    // no rehearsal: weights are loaded
  kLinks = 1,   // what is between the ranks, no program
  kLayers = 2,  // one layer of each kind, room for the weights of these layers alone; the largest bucket among others
  kAll = 3,     // every bucket through every layer, all arenas at their planned size
};

// What runs of a stage. A layer of each KV class stands for all of its kind.
struct RehearsedStage {
  std::vector<uint32_t> layers;  // ascending
  std::vector<uint64_t>
      weight_offsets;         // [Stage.weights] in the arena; of what does not run: where a layer that does lies
  uint64_t weight_bytes = 0;  // of the arena
};
RehearsedStage RehearsedStageOf(const plan::Stage& stage, RehearsalScope scope);
// Steps of no layer (embedding, head, what goes to other stages) always run.
bool RunsIn(const RehearsedStage& stage, const plan::Step& step);

// What the ranks of one node take of its host: of a GPU's, the buffers that its weights pass.
struct NodeNeed {
  uint32_t rank_count = 0;
  uint64_t now_bytes = 0;  // weights and activations
  uint64_t kv_bytes = 0;   // touched as sequences come
};
NodeNeed NeedOfNode(const plan::Plan& plan, uint32_t node);
bool Fits(const NodeNeed& need, const HostMemory& host);
// kAll where the node's ranks fit, else kLayers.
RehearsalScope ChooseScope(const plan::Plan& plan, uint32_t node, const HostMemory& host);

// Tokens 0 of as many sequences as the bucket takes, each from its start, with all logits that it takes. Never more
// than a serving engine could send.
Batch RehearsalBatch(const plan::Plan& plan, const std::vector<KvSpace>& spaces, const plan::Bucket& bucket,
                     Variant variant);

}  // namespace mrs
