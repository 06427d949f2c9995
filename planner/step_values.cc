#include "planner/step_values.h"

#include <algorithm>
#include <map>
#include <optional>

#include "planner/families.h"
#include "planner/legality.h"
#include "planner/model_tensors.h"
#include "planner/passes/first_fit.h"
#include "plans/contract.h"

namespace mrs {
namespace {

constexpr int64_t kNothing = -1;
constexpr int64_t kF32 = 4, kI32 = 4;
constexpr int64_t kCandidates = 24;  // of a record of top_candidates, build_graph.cc

// Heads or KV heads of one rank: a part of them, or one that others have, too.
int64_t PartOf(int64_t count, int64_t tp) { return std::max<int64_t>(count / tp, 1); }

// Follows build_graph.cc and the passes step by step.
class Walk {
 public:
  Walk(const ModelSpec& spec, const StageShape& shape) : m_(spec), s_(shape), matrix_(shape.bf16 ? 2 : 4) {
    for (const LayerSpec& layer : spec.layers) windows_[WindowOf(layer, shape.max_len)] = kNothing;
    for (auto& [window, index] : windows_) index = static_cast<int64_t>(slots_.size()), slots_.push_back(kNothing);
    tables_ = slots_;
    cos_sin_.assign(spec.ropes.size(), kNothing);
    if (shape.first && shape.last) AllInputs();
  }

  StageValues Run() && {
    int64_t x = s_.first ? Embed() : Step(RowsOf::kTokens, m_.hidden * kF32, {});  // else it is received
    out_.exchange_count += (s_.first ? 0 : 1) + (s_.last ? 0 : 1);
    if (s_.first && s_.last) {
      for (size_t rope = 0; rope < m_.ropes.size(); ++rope) Angles(static_cast<int64_t>(rope));
    }
    for (int64_t layer = s_.layer_begin; layer < s_.layer_end; ++layer) x = Layer(layer, x);
    if (s_.last) {
      Head(x);
    } else {
      Read(NextStep(), {x});  // it is sent
    }
    out_.step_count = step_ + joined_count_;
    MarkInPlace();
    std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return at(a).first < at(b).first; });
    return Sorted();
  }

 private:
  StepValue& at(int64_t value) { return out_.values[value]; }
  int64_t NextStep() { return step_++; }

  int64_t New(RowsOf rows, int64_t row_bytes, int64_t first) {
    out_.values.push_back({rows, row_bytes, first, first, kNothing});
    order_.push_back(static_cast<int64_t>(out_.values.size()) - 1);
    sum_of_.push_back(kNothing);
    return order_.back();
  }
  void Read(int64_t step, const std::vector<int64_t>& values) {
    for (const int64_t value : values) at(value).last = std::max(at(value).last, step);
  }
  int64_t Step(RowsOf rows, int64_t row_bytes, const std::vector<int64_t>& reads) {
    const int64_t step = NextStep();
    Read(step, reads);
    return New(rows, row_bytes, step);
  }
  // A sum may take over the bytes of its first operand, where nobody reads that again.
  int64_t Sum(RowsOf rows, int64_t row_bytes, const std::vector<int64_t>& reads) {
    const int64_t value = Step(rows, row_bytes, reads);
    sum_of_[value] = reads.front();
    return value;
  }
  void MarkInPlace() {
    for (size_t value = 0; value < out_.values.size(); ++value) {
      const int64_t operand = sum_of_[value];
      if (operand != kNothing && at(operand).last == out_.values[value].first) out_.values[value].in_place = operand;
    }
  }
  StageValues Sorted() {
    std::vector<int64_t> place(order_.size());
    for (size_t i = 0; i < order_.size(); ++i) place[order_[i]] = static_cast<int64_t>(i);
    StageValues sorted{.values = {}, .step_count = out_.step_count, .exchange_count = out_.exchange_count};
    for (const int64_t value : order_) {
      sorted.values.push_back(at(value));
      if (int64_t& of = sorted.values.back().in_place; of != kNothing) of = place[of];
    }
    return sorted;
  }

  // An input, where it is first read.
  int64_t Input(int64_t* value, RowsOf rows, int64_t width) {
    if (*value == kNothing) *value = New(rows, width * kI32, -1);
    return *value;
  }
  int64_t Tokens() { return Input(&tokens_, RowsOf::kTokens, 1); }
  int64_t Positions() { return Input(&positions_, RowsOf::kTokens, 1); }
  int64_t Sequence() { return Input(&sequence_, RowsOf::kTokens, 1); }
  int64_t Slots(int64_t kv_class) { return Input(&slots_[kv_class], RowsOf::kTokens, 1); }
  int64_t Table(int64_t kv_class) {
    return Input(&tables_[kv_class], RowsOf::kSequences,
                 static_cast<int64_t>(contract::KvBlocks(static_cast<uint64_t>(s_.max_len))));
  }
  int64_t LogitRows() { return Input(&logit_rows_, RowsOf::kLogitRows, 1); }
  void AllInputs() {
    Tokens(), Positions(), Sequence();
    for (size_t c = 0; c < slots_.size(); ++c) Slots(static_cast<int64_t>(c)), Table(static_cast<int64_t>(c));
    LogitRows();
  }

  int64_t Reduced(RowsOf rows, int64_t row_bytes, int64_t partial) {
    if (s_.tp == 1) return partial;
    ++out_.exchange_count;
    return Sum(rows, row_bytes, {partial});
  }
  bool Has(TensorRole role, int64_t layer) { return FindPart(m_, role, layer).has_value(); }

  int64_t Hidden(const std::vector<int64_t>& reads) { return Step(RowsOf::kTokens, m_.hidden * kF32, reads); }
  int64_t HiddenSum(const std::vector<int64_t>& reads) { return Sum(RowsOf::kTokens, m_.hidden * kF32, reads); }

  int64_t Embed() {
    int64_t x = Reduced(RowsOf::kTokens, m_.hidden * kF32, Hidden({Tokens()}));
    return m_.embedding_multiplier == 1 ? x : Hidden({x});
  }

  int64_t Angles(int64_t rope) {
    if (cos_sin_[rope] == kNothing) {
      const auto width = static_cast<int64_t>(2 * m_.ropes[rope].inv_freq.size());
      cos_sin_[rope] = Step(RowsOf::kTokens, width * kF32, {Positions()});
    }
    return cos_sin_[rope];
  }

  // Of the matrices' type: a norm's result is, and what has none is rounded. An RMS norm of a residual sum is the sum's
  // step, where steps are fused.
  int64_t MatrixInput(TensorRole norm, TensorRole bias, int64_t layer, int64_t x) {
    if (!Has(norm, layer) && matrix_ == kF32) return x;
    if (s_.gpus && x == residual_sum_ && Has(norm, layer) && !Has(bias, layer)) {
      if (adds_step_before_ && (s_.tp == 1 ? s_.bf16 : s_.peers)) JoinLastSum();
      return New(RowsOf::kTokens, m_.hidden * matrix_, at(x).first);
    }
    return Step(RowsOf::kTokens, m_.hidden * matrix_, {x});
  }

  // The step after the last one is one launch with it: the number of both.
  int64_t JoinedStep() {
    ++joined_count_;
    return step_ - 1;
  }

  // The residual's sum, which was the last step, is one launch with the product, or the ranks' sum, before it.
  void JoinLastSum() {
    --step_;
    const int64_t launch = JoinedStep();
    at(residual_sum_).first = launch;
    for (const int64_t value : {summed_[0], summed_[1], residual_sum_}) at(value).last = launch;
  }

  // After the product that completes a block: reduce, bias, norm, scale, and the residual's sum.
  int64_t AddTo(int64_t residual, int64_t y, int64_t layer, TensorRole bias, TensorRole norm) {
    const int64_t reduced = y = Reduced(RowsOf::kTokens, m_.hidden * kF32, y);
    if (Has(bias, layer)) y = HiddenSum({y});
    if (Has(norm, layer)) y = Hidden({y});
    if (m_.layers[layer].residual_multiplier != 1) y = Hidden({y});
    adds_step_before_ = y == reduced;
    summed_[0] = residual, summed_[1] = y;
    return residual_sum_ = HiddenSum({residual, y});
  }

  struct Products {
    int64_t q, k, v, gate, up;
  };

  // Products of one x are one step where all have a bias, or none has.
  static bool MakesAllProducts(const LayerSpec& spec) { return spec.parallel && spec.qkv_bias == spec.mlp_bias; }

  int64_t Layer(int64_t layer, int64_t residual) {
    const LayerSpec& spec = m_.layers[layer];
    const int64_t heads = PartOf(spec.heads, s_.tp) * spec.head_dim;
    const int64_t kv = PartOf(spec.kv_heads, s_.tp) * spec.head_dim;
    const int64_t ffn = spec.ffn / s_.tp;
    int64_t x = MatrixInput(TensorRole::kAttentionNorm, TensorRole::kAttentionNormBias, layer, residual);
    const bool one_step = MakesAllProducts(spec);
    Products p{};
    const int64_t step = NextStep();
    Read(step, {x});
    p.q = New(RowsOf::kTokens, heads * kF32, step);
    p.k = New(RowsOf::kTokens, kv * kF32, step);
    p.v = New(RowsOf::kTokens, kv * kF32, step);
    if (one_step) {
      p.gate = New(RowsOf::kTokens, ffn * kF32, step);
      p.up = New(RowsOf::kTokens, ffn * kF32, step);
    }
    residual = AddTo(residual, Attention(layer, p), layer, TensorRole::kOBias, TensorRole::kAttentionPostNorm);
    if (!spec.parallel) x = MatrixInput(TensorRole::kMlpNorm, TensorRole::kMlpNormBias, layer, residual);
    if (!one_step) {
      // Where q, k and v took their own step, gate and up of the same x are two.
      const bool apart = spec.parallel;
      const int64_t at_gate = NextStep();
      Read(at_gate, {x});
      p.gate = New(RowsOf::kTokens, ffn * kF32, at_gate);
      const int64_t at_up = apart ? NextStep() : at_gate;
      Read(at_up, {x});
      p.up = New(RowsOf::kTokens, ffn * kF32, at_up);
    }
    // Two products in a step of their own are also what they are gated by, and their sums memory of that step.
    const int64_t h = s_.gpus && !spec.parallel ? New(RowsOf::kTokens, ffn * matrix_, at(p.gate).first)
                                                : Step(RowsOf::kTokens, ffn * matrix_, {p.gate, p.up});
    return AddTo(residual, Hidden({h}), layer, TensorRole::kDownBias, TensorRole::kMlpPostNorm);
  }

  int64_t Attention(int64_t layer, const Products& p) {
    const LayerSpec& spec = m_.layers[layer];
    const int64_t heads = PartOf(spec.heads, s_.tp) * spec.head_dim;
    const int64_t kv = PartOf(spec.kv_heads, s_.tp) * spec.head_dim;
    int64_t q = QkNorm(spec, heads, p.q), k = QkNorm(spec, kv, p.k);
    const int64_t kv_class = windows_.at(WindowOf(spec, s_.max_len));
    if (s_.gpus && spec.rope && spec.query_scaling.beta == 0) {
      const bool joined = s_.bf16 && cos_sin_[*spec.rope] != kNothing && ArePairsOfProducts(spec);
      const int64_t angles = Angles(*spec.rope), slots = Slots(kv_class);
      const int64_t step = joined ? JoinedStep() : NextStep();
      Read(step, {q, k, p.v, angles, slots});
      q = New(RowsOf::kTokens, heads * matrix_, step);  // and k's in the cache
      return Attend(heads, q, kv_class);
    }
    q = Turned(spec, heads, q);
    k = Turned(spec, kv, k);
    if (spec.query_scaling.beta != 0) q = Step(RowsOf::kTokens, heads * matrix_, {q, Positions()});
    const int64_t slots = Slots(kv_class);
    Read(NextStep(), {k, p.v, slots});  // kv_append: its result is the cache
    return Attend(heads, q, kv_class);
  }

  // Whether the step that makes q, k and v makes nothing else, and turns them: they have no norm, and their heads are
  // turned whole, by halves of whole blocks of outputs.
  bool ArePairsOfProducts(const LayerSpec& spec) {
    const auto half = static_cast<int64_t>(m_.ropes[*spec.rope].inv_freq.size());
    return !MakesAllProducts(spec) && spec.qk_norm == QkNorm::kNone && !spec.interleaved && 2 * half == spec.head_dim &&
           half % 16 == 0;
  }

  // And the product of what it gives.
  int64_t Attend(int64_t heads, int64_t q, int64_t kv_class) {
    const int64_t sequence = Sequence(), positions = Positions(), table = Table(kv_class);
    const int64_t y = Step(RowsOf::kTokens, heads * matrix_, {q, sequence, positions, table});
    return Hidden({y});
  }

  int64_t QkNorm(const LayerSpec& spec, int64_t width, int64_t x) {
    if (spec.qk_norm == QkNorm::kNone) return x;
    if (spec.qk_norm == QkNorm::kPerHead) return Step(RowsOf::kTokens, width * kF32, {x});
    const int64_t sum = Reduced(RowsOf::kTokens, kF32, Step(RowsOf::kTokens, kF32, {x}));
    return Step(RowsOf::kTokens, width * kF32, {x, sum});
  }

  int64_t Turned(const LayerSpec& spec, int64_t width, int64_t x) {
    if (!spec.rope && matrix_ == kF32) return x;
    std::vector<int64_t> reads = {x};
    if (spec.rope) reads.push_back(Angles(*spec.rope));
    return Step(RowsOf::kTokens, width * matrix_, reads);
  }

  void Head(int64_t x) {
    const RowsOf rows = RowsOf::kLogitRows;
    const int64_t vocab = PaddedVocab(m_.vocab), logit_bytes = vocab / s_.tp * kF32;
    x = Step(rows, m_.hidden * kF32, {x, LogitRows()});
    x = Step(rows, m_.hidden * matrix_, {x});
    int64_t logits = Step(rows, logit_bytes, {x});
    if (m_.logits_scaling != 1) logits = Step(rows, logit_bytes, {logits});
    if (m_.logit_cap != 0) logits = Step(rows, logit_bytes, {logits});
    const int64_t pairs = kCandidates * 8, chunks = contract::kVocabChunks * 8;
    std::vector<int64_t> outputs = {Step(rows, pairs + chunks / s_.tp, {logits}), logits};
    if (s_.tp > 1) {
      out_.exchange_count += 2;
      outputs = {Step(rows, s_.tp * pairs + chunks, {outputs[0]}), kNothing};
      outputs[1] = Step(rows, vocab * kF32, {logits});
    }
    Read(step_, outputs);
  }

  const ModelSpec& m_;
  const StageShape& s_;
  const int64_t matrix_;  // bytes of an element
  StageValues out_;
  std::vector<int64_t> order_;   // of the values, by their first step
  std::vector<int64_t> sum_of_;  // of each value: its first operand, where it is a sum
  int64_t step_ = 0;
  int64_t joined_count_ = 0;            // of steps that are one launch with the one before, and so not in step_
  int64_t residual_sum_ = kNothing;     // the last
  int64_t summed_[2] = {};              // what went into it
  bool adds_step_before_ = false;       // the second of these is what the step before it, a product or a sum, has left
  std::map<int64_t, int64_t> windows_;  // -> KV class
  int64_t tokens_ = kNothing, positions_ = kNothing, sequence_ = kNothing, logit_rows_ = kNothing;
  std::vector<int64_t> slots_, tables_;  // of each KV class
  std::vector<int64_t> cos_sin_;         // of each rope
};

}  // namespace

int64_t WindowOf(const LayerSpec& layer, int64_t max_len) { return layer.window < max_len ? layer.window : 0; }

StageValues ValuesOfStage(const ModelSpec& spec, const StageShape& shape) { return Walk(spec, shape).Run(); }

int64_t ActivationBytes(const StageValues& values, const ir::BucketSize& bucket) {
  std::vector<Lifetime> lifetimes;
  for (const StepValue& value : values.values) {
    const int64_t rows = value.rows == RowsOf::kTokens      ? bucket.tokens
                         : value.rows == RowsOf::kSequences ? bucket.sequences
                                                            : bucket.logit_rows;
    lifetimes.push_back({rows * value.row_bytes, value.first, value.last, value.in_place});
  }
  return PlaceByFirstFit(lifetimes).arena_bytes;
}

}  // namespace mrs
