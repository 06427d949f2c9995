#include "planner/rank_needs.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "planner/families.h"
#include "planner/legality.h"
#include "planner/model_tensors.h"
#include "planner/step_values.h"
#include "plans/encoding.h"

namespace mrs {
namespace {

constexpr int64_t kTop = std::numeric_limits<int64_t>::max();

int64_t Plus(int64_t a, int64_t b) { return a > kTop - b ? kTop : a + b; }

int64_t Clamped(uint64_t bytes) { return bytes > static_cast<uint64_t>(kTop) ? kTop : static_cast<int64_t>(bytes); }

int64_t Aligned(int64_t bytes) {
  constexpr int64_t kTo = contract::kArenaAlignment;
  return bytes > kTop - (kTo - 1) ? kTop : (bytes + kTo - 1) / kTo * kTo;
}

// Which dimension of a tensor its ranks share.
enum class Cut : uint8_t { kNone, kHeads, kKvHeads, kFfn, kVocab, kColumns };

constexpr TensorRole kOfLayer[] = {
    TensorRole::kAttentionNorm,
    TensorRole::kAttentionNormBias,
    TensorRole::kQ,
    TensorRole::kK,
    TensorRole::kV,
    TensorRole::kQBias,
    TensorRole::kKBias,
    TensorRole::kVBias,
    TensorRole::kQNorm,
    TensorRole::kKNorm,
    TensorRole::kO,
    TensorRole::kOBias,
    TensorRole::kAttentionPostNorm,
    TensorRole::kAttentionPostNormBias,
    TensorRole::kMlpNorm,
    TensorRole::kMlpNormBias,
    TensorRole::kGate,
    TensorRole::kUp,
    TensorRole::kGateBias,
    TensorRole::kUpBias,
    TensorRole::kDown,
    TensorRole::kDownBias,
    TensorRole::kMlpPostNorm,
    TensorRole::kMlpPostNormBias,
};

Cut CutOf(TensorRole role, const LayerSpec& layer) {
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kHead:
      return Cut::kVocab;
    case TensorRole::kQ:
    case TensorRole::kQBias:
      return Cut::kHeads;
    case TensorRole::kK:
    case TensorRole::kV:
    case TensorRole::kKBias:
    case TensorRole::kVBias:
      return Cut::kKvHeads;
    case TensorRole::kQNorm:
      return layer.qk_norm == QkNorm::kWhole ? Cut::kHeads : Cut::kNone;
    case TensorRole::kKNorm:
      return layer.qk_norm == QkNorm::kWhole ? Cut::kKvHeads : Cut::kNone;
    case TensorRole::kGate:
    case TensorRole::kUp:
    case TensorRole::kGateBias:
    case TensorRole::kUpBias:
      return Cut::kFfn;
    case TensorRole::kO:
    case TensorRole::kDown:
      return Cut::kColumns;
    default:
      return Cut::kNone;
  }
}

uint64_t Product(const std::vector<int64_t>& sizes) {
  uint64_t product = 1;
  for (const int64_t size : sizes) product *= static_cast<uint64_t>(size);
  return product;
}

// In the weight arena: packed as encoding.h says, of this rank's rows and chunks.
int64_t WeightBytes(const ModelSpec& spec, TensorRole role, int64_t layer, int64_t tp, bool bf16) {
  static const LayerSpec kNoLayer;
  const auto part = FindPart(spec, role, layer);
  if (!part) return 0;
  const Cut cut = CutOf(role, layer < 0 ? kNoLayer : spec.layers[layer]);
  std::vector<int64_t> out = part->out;
  if (cut == Cut::kVocab) out[0] = PaddedVocab(out[0]);
  if (cut != Cut::kNone && cut != Cut::kColumns) out[0] = std::max<int64_t>(out[0] / tp, 1);
  const uint64_t rows = Product(out);
  if (part->in.empty()) {
    return Aligned(Clamped(EncodedBytes(*FindEncoding(plan::EncodingKind::dense, plan::DType::f32), rows, 0, 0)));
  }
  const uint64_t chunks =
      cut == Cut::kColumns ? static_cast<uint64_t>(CanonicalChunks(part->in[0])) : 1;  // of all ranks
  const uint64_t chunk_k = Product(part->in) / chunks;
  const uint64_t on_rank = cut == Cut::kColumns ? chunks / static_cast<uint64_t>(tp) : 1;
  const EncodingRow& row = *FindEncoding(plan::EncodingKind::packed, bf16 ? plan::DType::bf16 : plan::DType::f32);
  return Aligned(Clamped(EncodedBytes(row, rows, chunk_k, on_rank)));
}

class Needs {
 public:
  Needs(const ModelSpec& spec, const NeedsOf& of) : spec_(spec), of_(of), tp_(of.layout.mesh.tp) {
    for (const ir::BucketSize& bucket : of.layout.buckets) batch_ = std::max(batch_, bucket.tokens);
  }

  RankNeed Of(const LayoutStage& stage, bool first, bool last) {
    RankNeed need;
    need.weights = Weights(stage, first, last);
    const StageValues values = ValuesOfStage(spec_, {tp_, first, last, stage.layer_begin, stage.layer_end, of_.bf16,
                                                     of_.max_len, of_.cuda, of_.cuda && SumsByPeers(of_.collectives)});
    for (const ir::BucketSize& bucket : of_.layout.buckets) {
      need.activations = std::max(need.activations, ActivationBytes(values, bucket));
    }
    Kv(stage, &need);
    if (!of_.cuda) return need;
    need.beside = CudaReserveOf({.steps = values.step_count,
                                 .exchanges = values.exchange_count,
                                 .max_seqs = of_.max_seqs,
                                 .tp = tp_,
                                 .first = first,
                                 .last = last,
                                 .collectives = of_.collectives});
    return need;
  }

 private:
  int64_t Bytes(TensorRole role, int64_t layer = -1) { return WeightBytes(spec_, role, layer, tp_, of_.bf16); }

  int64_t Weights(const LayoutStage& stage, bool first, bool last) {
    int64_t bytes = first ? Bytes(TensorRole::kEmbedding) : 0;
    for (int64_t layer = stage.layer_begin; layer < stage.layer_end; ++layer) {
      // Layers alike take equally much.
      if (layer == 0 || !counted_ || !(spec_.layers[layer] == *counted_)) {
        of_layer_ = 0;
        for (const TensorRole role : kOfLayer) of_layer_ = Plus(of_layer_, Bytes(role, layer));
        counted_ = &spec_.layers[layer];
      }
      bytes = Plus(bytes, of_layer_);
    }
    if (!last) return bytes;
    bytes = Plus(bytes, Plus(Bytes(TensorRole::kFinalNorm), Bytes(TensorRole::kFinalNormBias)));
    // A tied head is the embedding, which a stage has once.
    if (first && spec_.tied_embeddings) return bytes;
    return Plus(bytes, Bytes(TensorRole::kHead));
  }

  void Kv(const LayoutStage& stage, RankNeed* need) {
    const planner::KvLimits limits = {of_.max_len, of_.max_seqs, batch_};
    std::map<int64_t, planner::KvClassBlocks> classes;
    for (int64_t layer = stage.layer_begin; layer < stage.layer_end; ++layer) {
      const LayerSpec& spec = spec_.layers[layer];
      const int64_t window = WindowOf(spec, of_.max_len);
      planner::KvClassBlocks& of_class = classes[window];
      of_class.window = window;
      ++of_class.layers;
      of_class.block_bytes +=
          planner::kKvBlockTokens * 2 * std::max<int64_t>(spec.kv_heads / tp_, 1) * spec.head_dim * (of_.bf16 ? 2 : 4);
      of_class.sequence_blocks = planner::SequenceBlocks(window, limits);
    }
    for (const auto& [window, of_class] : classes) need->kv.push_back(of_class);
    need->sequence = planner::SequenceBytes({0, need->kv});
  }

  const ModelSpec& spec_;
  const NeedsOf& of_;
  const int64_t tp_;
  int64_t batch_ = 0;
  const LayerSpec* counted_ = nullptr;
  int64_t of_layer_ = 0;
};

}  // namespace

int64_t RankNeed::Fixed() const { return Plus(Plus(weights, activations), beside.Total()); }
int64_t RankNeed::Least() const { return Plus(Fixed(), sequence); }

std::vector<RankNeed> RankNeeds(const ModelSpec& spec, const NeedsOf& of) {
  Needs needs(spec, of);
  std::vector<RankNeed> list;
  const std::vector<LayoutStage>& stages = of.layout.stages;
  for (size_t s = 0; s < stages.size(); ++s) list.push_back(needs.Of(stages[s], s == 0, s + 1 == stages.size()));
  return list;
}

RankNeed NeedOfStage(const ModelSpec& spec, const NeedsOf& of, const LayoutStage& stage, bool first, bool last) {
  return Needs(spec, of).Of(stage, first, last);
}

}  // namespace mrs
