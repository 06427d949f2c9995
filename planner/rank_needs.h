// What one rank of each stage needs of its device, from the model and the layout alone: before any graph, any header,
// any weight. The numbers are those of the plan, byte for byte (planner/rank_needs_test.cc).
//
//   RankNeeds(llama_70b, {layout of tp 8, bf16, 8192 tokens, 16 sequences})
//     ->  [{weights 17643372544, activations 40132672, a sequence of 8192 tokens 335544320}]
#pragma once

#include <cstdint>
#include <vector>

#include "planner/cuda_reserve.h"
#include "planner/layout.h"
#include "planner/model_spec.h"
#include "planner/passes/kv_blocks.h"

namespace mrs {

struct NeedsOf {
  Layout layout;
  bool bf16 = true;  // matrices, their inputs and KV; else f32
  int64_t max_len = 0;
  int64_t max_seqs = 0;
  bool cuda = false;
  Collectives collectives = Collectives::kStaged;  // of CUDA ranks (cuda_reserve.h)
};

// In bytes; what an int64_t does not hold is at its top.
struct RankNeed {
  int64_t weights = 0;
  int64_t activations = 0;
  CudaReserve beside;                      // of a CUDA rank
  std::vector<planner::KvClassBlocks> kv;  // sequence_blocks is decided, block_count is not
  int64_t sequence = 0;                    // the KV cache of one sequence of max_len tokens

  int64_t Fixed() const;  // all but KV
  int64_t Least() const;  // with the KV of one sequence
};

// Of each stage; spec.architecture must be supported, and the layout legal.
std::vector<RankNeed> RankNeeds(const ModelSpec& spec, const NeedsOf& of);
// Of a stage that of.layout need not have; `first` and `last`: of the stages.
RankNeed NeedOfStage(const ModelSpec& spec, const NeedsOf& of, const LayoutStage& stage, bool first, bool last);

}  // namespace mrs
