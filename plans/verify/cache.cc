// The KV cache: its geometry adds up, and each layer appends to its own part of it before it attends.
#include <map>
#include <optional>
#include <utility>

#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::DType;
using plan::OpKind;

uint64_t BlockBytes(const plan::KvClass& cache) {
  const uint64_t of_token = SatMul(SatMul(cache.layer_count(), cache.kv_heads()),
                                   SatMul(SatAdd(cache.k_dim(), cache.v_dim()), ByteSize(cache.dtype())));
  return SatMul(cache.block_tokens(), of_token);
}

Status CheckClass(const StageView& stage, uint32_t c) {
  const plan::Plan& plan = stage.plan;
  const plan::KvClass& cache = stage.kv_classes[c];
  const bool is_window = cache.kind() == plan::KvKind::window;
  if ((cache.kind() != plan::KvKind::full && !is_window) || cache.latent() != 0 || cache.recurrent_bytes() != 0) {
    return Refuse(
        "stage {} KV class {}: kind {} has its place in the format, but this version runs full attention and windows",
        stage.index, c, plan::EnumNameKvKind(cache.kind()));
  }
  if (is_window != (cache.window() > 0) || cache.window() > INT32_MAX) {
    return Refuse("stage {} KV class {}: is of kind {} and has a window of {}", stage.index, c,
                  plan::EnumNameKvKind(cache.kind()), cache.window());
  }
  if (cache.block_tokens() != contract::kBlockTokens) {
    return Refuse("stage {} KV class {}: blocks of {} tokens, expected {}", stage.index, c, cache.block_tokens(),
                  contract::kBlockTokens);
  }
  if (cache.dtype() != plan.numerics()->weight_dtype()) {
    return Refuse("stage {} KV class {}: is {}, but numerics.weight_dtype is {}", stage.index, c,
                  plan::EnumNameDType(cache.dtype()), plan::EnumNameDType(plan.numerics()->weight_dtype()));
  }
  if (cache.layer_count() == 0 || cache.layer_count() > plan.model()->layer_count() || cache.kv_heads() == 0) {
    return Refuse("stage {} KV class {}: {} layers of {} heads in a model of {} layers", stage.index, c,
                  cache.layer_count(), cache.kv_heads(), plan.model()->layer_count());
  }
  if (cache.k_dim() == 0 || cache.k_dim() % 2 != 0 || cache.v_dim() == 0) {
    return Refuse("stage {} KV class {}: K of {} and V of {} elements a head, expected K even and neither 0",
                  stage.index, c, cache.k_dim(), cache.v_dim());
  }
  if (cache.block_bytes() != BlockBytes(cache)) {
    return Refuse("stage {} KV class {}: blocks of {} bytes, its shape needs {}", stage.index, c, cache.block_bytes(),
                  BlockBytes(cache));
  }
  // Slots are int32: block * 32 + position % 32.
  const uint64_t most = static_cast<uint64_t>(INT32_MAX) / contract::kBlockTokens;
  const uint64_t least = contract::SequenceBlocks(plan.max_len(), cache.window(), stage.buckets.back().tokens());
  if (cache.sequence_blocks() != least) {
    return Refuse(
        "stage {} KV class {}: {} blocks a sequence, expected {} (max_len {}, window {}, batches of {} tokens)",
        stage.index, c, cache.sequence_blocks(), least, plan.max_len(), cache.window(), stage.buckets.back().tokens());
  }
  if (cache.block_count() < least || cache.block_count() > most) {
    return Refuse("stage {} KV class {}: {} blocks, expected {} (one sequence of max_len {}) to {}", stage.index, c,
                  cache.block_count(), least, plan.max_len(), most);
  }
  return Status();
}

struct LayerUse {
  std::optional<uint32_t> append;
  std::optional<uint32_t> attention;
};

}  // namespace

Status CheckCacheGeometry(const StageView& stage) {
  for (uint32_t c = 0; c < stage.kv_classes.size(); ++c) MRS_RETURN_IF_ERROR(CheckClass(stage, c));
  return Status();
}

Status CheckCacheUse(const StageView& stage, const Order& order) {
  std::map<std::pair<uint32_t, uint32_t>, LayerUse> layers;  // by class and layer
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    const plan::Step& step = stage.steps[i];
    const std::optional<plan::CacheLayer> of_step = plan::CacheLayerOf(stage.stage, step);
    if (!of_step) continue;
    LayerUse& layer = layers[{of_step->kv_class, of_step->kv_layer}];
    std::optional<uint32_t>& user = step.op() == OpKind::attention ? layer.attention : layer.append;
    if (user) {
      return stage.AtStep(i, "uses layer {} of KV class {}, which is {}'s", of_step->kv_layer, of_step->kv_class,
                          stage.StepLabel(*user));
    }
    user = i;
  }
  uint64_t arena = 0;
  for (uint32_t c = 0; c < stage.kv_classes.size(); ++c) {
    const plan::KvClass& cache = stage.kv_classes[c];
    for (uint32_t l = 0; l < cache.layer_count(); ++l) {
      const LayerUse& layer = layers[{c, l}];
      if (!layer.append || !layer.attention) {
        return Refuse("stage {}: no step {} layer {} of KV class {}", stage.index,
                      layer.append ? "attends to" : "appends to", l, c);
      }
      if (!order.Before(*layer.append, *layer.attention)) {
        return stage.AtStep(*layer.attention, "does not wait for {}, which appends what it attends to",
                            stage.StepLabel(*layer.append));
      }
    }
    arena = SatAdd(arena, SatMul(cache.block_count(), cache.block_bytes()));
  }
  if (stage.stage.kv_arena_bytes() != arena || arena > contract::kMaxArenaBytes) {
    return Refuse("stage {}: a KV arena of {} bytes, its blocks need {}", stage.index, stage.stage.kv_arena_bytes(),
                  arena);
  }
  return Status();
}

}  // namespace mrs::verify
