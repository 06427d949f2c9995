#include "planner/legality.h"

#include <algorithm>
#include <bit>

namespace mrs {
namespace {

// The first rule by which a layer forbids the size, or "".
std::string Refusal(const LayerSpec& layer, int64_t tp) {
  if (layer.heads % tp != 0) return fmt::format("{} attention heads do not divide by {}", layer.heads, tp);
  if (layer.kv_heads % tp != 0 && tp % layer.kv_heads != 0) {
    return fmt::format("{} key-value heads neither divide by {} nor replicate evenly over {} ranks", layer.kv_heads, tp,
                       tp);
  }
  if (layer.qk_norm == QkNorm::kWhole && layer.kv_heads % tp != 0) {
    return fmt::format("{} key-value heads, which have a norm over all of them, do not divide by {}", layer.kv_heads,
                       tp);
  }
  if (const int64_t chunks = CanonicalChunks(layer.ffn); tp > chunks) {
    return fmt::format("FFN width {} gives down_proj {} canonical chunks, fewer than {} ranks", layer.ffn, chunks, tp);
  }
  if (const int64_t chunks = CanonicalChunks(layer.heads); tp > chunks) {
    return fmt::format("{} attention heads give o_proj {} canonical chunks, fewer than {} ranks", layer.heads, chunks,
                       tp);
  }
  return "";
}

// A vocabulary forbids none: it is padded.
std::string Refusal(const ModelSpec& spec, int64_t tp) {
  if (tp < 1 || !std::has_single_bit(static_cast<uint64_t>(tp))) return "not a power of two";
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

Status CheckTp(const ModelSpec& spec, int64_t tp) {
  const std::string refusal = Refusal(spec, tp);
  if (refusal.empty()) return {};
  std::vector<int64_t> legal;
  for (const TpVerdict& verdict : LegalTp(spec)) {
    if (verdict.legal()) legal.push_back(verdict.tp);
  }
  return Refuse("tp {}: {}; legal tensor-parallel sizes of this model: {}", tp, refusal, fmt::join(legal, ", "));
}

}  // namespace mrs
