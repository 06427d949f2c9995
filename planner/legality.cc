#include "planner/legality.h"

#include <algorithm>
#include <bit>

namespace mrs {
namespace {

// The first rule that forbids the size, or "". A vocabulary forbids none: it is padded.
std::string Refusal(const ModelSpec& spec, int64_t tp) {
  if (tp < 1 || !std::has_single_bit(static_cast<uint64_t>(tp))) return "not a power of two";
  if (spec.heads % tp != 0) return fmt::format("{} attention heads do not divide by {}", spec.heads, tp);
  if (spec.kv_heads % tp != 0 && tp % spec.kv_heads != 0) {
    return fmt::format("{} key-value heads neither divide by {} nor replicate evenly over {} ranks", spec.kv_heads, tp,
                       tp);
  }
  if (const int64_t chunks = DownChunks(spec); tp > chunks) {
    return fmt::format("FFN width {} gives down_proj {} canonical chunks, fewer than {} ranks", spec.ffn, chunks, tp);
  }
  if (const int64_t chunks = AttentionOutputChunks(spec); tp > chunks) {
    return fmt::format("{} attention heads give o_proj {} canonical chunks, fewer than {} ranks", spec.heads, chunks,
                       tp);
  }
  return "";
}

}  // namespace

int64_t DownChunks(const ModelSpec& spec) { return CanonicalChunks(spec.ffn); }

int64_t AttentionOutputChunks(const ModelSpec& spec) { return CanonicalChunks(spec.heads); }

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
