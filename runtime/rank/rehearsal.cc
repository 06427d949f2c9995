#include "runtime/rank/rehearsal.h"

#include <algorithm>
#include <limits>
#include <set>

#include "plans/contract.h"
#include "runtime/rank/batch_bounds.h"
#include "runtime/rank/weight_tiles.h"

namespace mrs {
namespace {

constexpr uint64_t kAlignment = 64;  // of the plan's own offsets (plan.fbs)

uint64_t Aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// The first layer of each class of the stage's cache, and the stage's first where it has no attention.
std::vector<uint32_t> LayersOfEachKind(const plan::Stage& stage) {
  std::vector<bool> seen(stage.kv_classes()->size());
  std::set<uint32_t> layers;
  for (const plan::Step* step : *stage.steps()) {
    if (step->op() != plan::OpKind::attention || step->layer() < 0) continue;
    const uint32_t kv_class = stage.attentions()->Get(step->attr())->kv_class();
    if (seen[kv_class]) continue;
    seen[kv_class] = true;
    layers.insert(static_cast<uint32_t>(step->layer()));
  }
  if (layers.empty()) layers.insert(stage.layer_begin());
  return {layers.begin(), layers.end()};
}

}  // namespace

bool RunsIn(const RehearsedStage& stage, const plan::Step& step) {
  return step.layer() < 0 || std::ranges::binary_search(stage.layers, static_cast<uint32_t>(step.layer()));
}

RehearsedStage RehearsedStageOf(const plan::Stage& stage, RehearsalScope scope) {
  RehearsedStage rehearsed;
  rehearsed.weight_offsets.resize(stage.weights()->size());
  if (scope != RehearsalScope::kLayers) {
    for (uint32_t layer = stage.layer_begin(); layer < stage.layer_end(); ++layer) rehearsed.layers.push_back(layer);
    for (uint32_t i = 0; i < stage.weights()->size(); ++i) {
      rehearsed.weight_offsets[i] = stage.weights()->Get(i)->offset();
    }
    rehearsed.weight_bytes = stage.weight_arena_bytes();
    return rehearsed;
  }
  rehearsed.layers = LayersOfEachKind(stage);
  std::vector<bool> runs(stage.weights()->size());
  for (const plan::Step* step : *stage.steps()) {
    if (!RunsIn(rehearsed, *step)) continue;
    for (uint32_t i = 0; i < step->operand_count(); ++i) {
      const plan::Ref& ref = *stage.refs()->Get(step->operand_begin() + i);
      if (ref.space() == plan::RefSpace::weight) runs[ref.index()] = true;
    }
  }
  for (uint32_t i = 0; i < stage.weights()->size(); ++i) {
    if (!runs[i]) continue;
    rehearsed.weight_offsets[i] = rehearsed.weight_bytes;
    rehearsed.weight_bytes = Aligned(rehearsed.weight_bytes + stage.weights()->Get(i)->bytes());
  }
  return rehearsed;
}

NodeNeed NeedOfNode(const plan::Plan& plan, uint32_t node) {
  NodeNeed need;
  for (uint32_t r = 0; r < plan.ranks()->size(); ++r) {
    const plan::Rank* const rank = plan.ranks()->Get(r);
    if (rank->node() != node) continue;
    const plan::Stage& stage = *plan.stages()->Get(rank->stage());
    ++need.rank_count;
    if (rank->kind() == plan::DeviceKind::cuda) {  // all else is on its device
      need.now_bytes += HostBytesOf(plan, r);
      continue;
    }
    need.now_bytes += stage.weight_arena_bytes() + stage.activation_arena_bytes();
    need.kv_bytes += stage.kv_arena_bytes();
  }
  return need;
}

bool Fits(const NodeNeed& need, const HostMemory& host) {
  // Sums of a verified plan's byte counts are far below 2^64; what a double rounds does not matter here.
  return need.now_bytes <= host.free_bytes &&
         static_cast<double>(need.now_bytes) + static_cast<double>(need.kv_bytes) <=
             static_cast<double>(host.total_bytes);
}

RehearsalScope ChooseScope(const plan::Plan& plan, uint32_t node, const HostMemory& host) {
  // A GPU's rank says itself what its device lacks.
  if (plan.ranks()->Get(0)->kind() == plan::DeviceKind::cuda) return RehearsalScope::kAll;
  return Fits(NeedOfNode(plan, node), host) ? RehearsalScope::kAll : RehearsalScope::kLayers;
}

Batch RehearsalBatch(const plan::Plan& plan, const std::vector<KvSpace>& spaces, const plan::Bucket& bucket,
                     Variant variant) {
  const uint32_t stride = TableStride(plan);
  const uint64_t sequences = std::clamp<uint64_t>(bucket.sequences(), 1, std::max(1u, bucket.tokens()));
  const uint64_t tokens = std::min<uint64_t>(bucket.tokens(), sequences * plan.max_len());
  Batch batch;
  batch.variant = variant;
  batch.table_stride = stride;
  // Sequence s has tokens [s * tokens / sequences, (s + 1) * tokens / sequences).
  for (uint64_t s = 0; s < sequences; ++s) {
    const uint64_t begin = s * tokens / sequences;
    const uint64_t end = (s + 1) * tokens / sequences;
    for (uint64_t t = begin; t < end; ++t) {
      batch.tokens.push_back(0);
      batch.positions.push_back(static_cast<int32_t>(t - begin));
      batch.sequence.push_back(static_cast<int32_t>(s));
    }
  }
  // The last rows first, as of prompts and decodes: one a sequence, then whatever room is left.
  const uint64_t logit_rows = std::min<uint64_t>(bucket.logit_rows(), tokens);
  for (uint64_t row = tokens - logit_rows; row < tokens; ++row) batch.logit_rows.push_back(static_cast<int32_t>(row));
  for (const KvSpace& space : spaces) {
    const uint64_t most = std::numeric_limits<int32_t>::max() / contract::kBlockTokens;
    const uint64_t blocks = std::max<uint64_t>(1, std::min(space.block_count, most));
    // A sequence's blocks lie one after the other; of a ring, they come around.
    const uint64_t own = std::max<uint64_t>(1, std::min<uint64_t>(stride, space.sequence_blocks));
    KvBatch& kv = batch.kv.emplace_back();
    kv.block_table.resize(sequences * stride);
    for (uint64_t s = 0; s < sequences; ++s) {
      for (uint64_t b = 0; b < stride; ++b) {
        kv.block_table[s * stride + b] = static_cast<int32_t>((s * own + b % own) % blocks);
      }
    }
    for (size_t t = 0; t < tokens; ++t) {
      const auto position = static_cast<uint32_t>(batch.positions[t]);
      const int32_t block =
          kv.block_table[static_cast<size_t>(batch.sequence[t]) * stride + position / contract::kBlockTokens];
      kv.slots.push_back(static_cast<int32_t>(block * contract::kBlockTokens + position % contract::kBlockTokens));
    }
  }
  return batch;
}

}  // namespace mrs
