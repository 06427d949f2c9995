// Which layouts a model may have: the tensor-parallel sizes it can be cut into, and for each other size the rule that
// forbids it; stages that are its layers.
//
//   LegalTp(llama_70b)        ->  1, 2, 4, 8, 16 legal; 3: "not a power of two"; ...
//   CheckTp(llama_70b, 3)     ->  tp 3: not a power of two; legal tensor-parallel sizes of this model: 1, 2, 4, 8, 16
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/canonical_chunks.h"
#include "planner/layout.h"
#include "planner/model_spec.h"
#include "plans/status.h"

namespace mrs {

inline constexpr int64_t kVocabGranule = 16 * 16;  // 16 lanes of the canonical reductions on each of 16 ranks

// Rows of the embedding and of lm_head as planned, the same for every layout: a multiple of kVocabGranule.
int64_t PaddedVocab(int64_t vocab);

struct TpVerdict {
  int64_t tp = 0;
  std::string refusal;  // "": legal
  bool legal() const { return refusal.empty(); }
};

// Verdicts for 1, 2, 3, ... max_tp.
std::vector<TpVerdict> LegalTp(const ModelSpec& spec, int64_t max_tp = kMaxChunks);

std::vector<int64_t> LegalSizes(const ModelSpec& spec);  // of those, the legal ones

// Ok, or the first rule that forbids `tp`, its numbers and the legal sizes.
Status CheckTp(const ModelSpec& spec, int64_t tp);

// Of a layout whoever decided it: CheckTp; neither experts nor replicas, which no model here has; stages that are all
// layers in their order, each on a device of its own.
Status CheckLayout(const ModelSpec& spec, const Layout& layout);

}  // namespace mrs
