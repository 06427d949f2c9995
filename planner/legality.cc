#include "planner/legality.h"

#include <algorithm>
#include <bit>
#include <set>
#include <utility>

#include "planner/rules.h"

namespace mrs {
namespace {

// The first rule by which a layer forbids the size, or "".
std::string Refusal(const LayerSpec& layer, int64_t tp) {
  if (layer.heads % tp != 0) return Broken<RuleId::kTpHeads>(layer.heads, tp);
  if (layer.kv_heads % tp != 0 && tp % layer.kv_heads != 0) {
    return Broken<RuleId::kTpKvHeads>(layer.kv_heads, tp, tp);
  }
  if (layer.qk_norm == QkNorm::kWhole && layer.kv_heads % tp != 0) {
    return Broken<RuleId::kTpKvNorm>(layer.kv_heads, tp);
  }
  if (const int64_t chunks = CanonicalChunks(layer.ffn); tp > chunks) {
    return Broken<RuleId::kTpFfnChunks>(layer.ffn, chunks, tp);
  }
  if (const int64_t chunks = CanonicalChunks(layer.heads); tp > chunks) {
    return Broken<RuleId::kTpHeadChunks>(layer.heads, chunks, tp);
  }
  return "";
}

// A vocabulary forbids none: it is padded.
std::string Refusal(const ModelSpec& spec, int64_t tp) {
  if (tp < 1 || !std::has_single_bit(static_cast<uint64_t>(tp))) return Broken<RuleId::kTpPowerOfTwo>();
  for (const LayerSpec& layer : spec.layers) {
    if (std::string refusal = Refusal(layer, tp); !refusal.empty()) return refusal;
  }
  return "";
}

}  // namespace

int64_t PaddedVocab(int64_t vocab) { return (vocab + kVocabGranule - 1) / kVocabGranule * kVocabGranule; }

std::vector<TpVerdict> LegalTp(const ModelSpec& spec, int64_t max_tp) {
  std::vector<TpVerdict> verdicts;
  for (int64_t tp = 1; tp <= max_tp; ++tp) verdicts.push_back({tp, Refusal(spec, tp)});
  return verdicts;
}

std::vector<int64_t> LegalSizes(const ModelSpec& spec) {
  std::vector<int64_t> legal;
  for (const TpVerdict& verdict : LegalTp(spec)) {
    if (verdict.legal()) legal.push_back(verdict.tp);
  }
  return legal;
}

Status CheckTp(const ModelSpec& spec, int64_t tp) {
  const std::string refusal = Refusal(spec, tp);
  if (refusal.empty()) return {};
  return Refuse("tp {}: {}; legal tensor-parallel sizes of this model: {}", tp, refusal,
                fmt::join(LegalSizes(spec), ", "));
}

Status CheckLayout(const ModelSpec& spec, const Layout& layout) {
  MRS_RETURN_IF_ERROR(CheckTp(spec, layout.mesh.tp));
  if (layout.mesh.ep != 1) return BrokenRule<RuleId::kEp>("", layout.mesh.ep);
  if (layout.mesh.dp != 1) return BrokenRule<RuleId::kDp>("", layout.mesh.dp);
  if (std::cmp_not_equal(layout.stages.size(), layout.mesh.stage)) {
    return BrokenRule<RuleId::kStageCount>("", layout.stages.size(), layout.mesh.stage);
  }
  int64_t next_layer = 0;
  std::set<int64_t> devices;
  for (size_t s = 0; s < layout.stages.size(); ++s) {
    const LayoutStage& stage = layout.stages[s];
    if (stage.layer_begin != next_layer || stage.layer_end <= stage.layer_begin) {
      return BrokenRule<RuleId::kStageLayers>("", s, stage.layer_begin, stage.layer_end - 1, next_layer);
    }
    if (!devices.insert(stage.device).second) return BrokenRule<RuleId::kStageDevice>("", s, stage.device);
    next_layer = stage.layer_end;
  }
  if (std::cmp_not_equal(next_layer, spec.layers.size())) {
    return BrokenRule<RuleId::kAllLayers>("", next_layer, spec.layers.size());
  }
  return Status();
}

}  // namespace mrs
