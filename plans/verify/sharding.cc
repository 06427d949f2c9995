// What a rank holds of each value, followed from step to step: all of it, its part of it, or its share of a sum. The
// ranks together compute what one rank would: no sum is read before it is complete, none is completed twice, and no
// rank's part is taken for another's.
//
//   embed, vocabulary cut                ->  partial      all_reduce: partial   ->  whole
//   matmul: x whole, rows cut            ->  cut          all_gather: cut, once ->  gathered, for the executor alone
//   matmul: x cut as the columns are     ->  partial      attention: q cut, its KV heads here -> cut as q
//   norm, rope, add, silu_mul, ...: operands held alike -> held as they are
//
// Knows steps and slices of the plan, and nothing of how they came about.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plans/verify/checks.h"
#include "plans/verify/slices.h"

namespace mrs::verify {
namespace {

using plan::OpKind;
using plan::RefSpace;

struct Held {
  enum class How {
    whole,     // the same on every rank
    cut,       // part [c / every] of the ranks' coordinate c, in rank order
    partial,   // a share of a sum over the ranks
    gathered,  // one rank's rows after the other's: no step has a use for that
  };
  How how = How::whole;
  uint64_t part = 0;   // cut: elements of a row on one rank
  uint32_t every = 1;  // cut: neighbours that hold the same part
  bool operator==(const Held&) const = default;
};

std::string Describe(const Held& held) {
  switch (held.how) {
    case Held::How::whole:
      return "whole on every rank";
    case Held::How::cut:
      if (held.every == 1) return fmt::format("cut into parts of {}, one a rank", held.part);
      return fmt::format("cut into parts of {}, each on {} ranks", held.part, held.every);
    case Held::How::partial:
      return "a partial sum";
    case Held::How::gathered:
      return "gathered, one rank's rows after the other's";
  }
  return "";  // not reached
}

class Flow {
 public:
  explicit Flow(const StageView& stage) : stage_(stage), held_(stage.buffers.size()) {}

  Status Run() {
    for (uint32_t i = 0; i < stage_.steps.size(); ++i) MRS_RETURN_IF_ERROR(Step(i));
    if (stage_.index + 1 != stage_.plan.stages()->size()) return Status();
    MRS_RETURN_IF_ERROR(Output("candidates", stage_.stage.candidates_buffer()));
    return Output("all_logits", stage_.stage.logits_buffer());
  }

 private:
  // A slice over one rank, or one that all ranks share, is the whole.
  Held HeldOf(const plan::Slice& slice) const {
    if (AxisSize(stage_.plan, slice.axis()) == slice.every()) return {};
    return {Held::How::cut, slice.size(), slice.every()};
  }
  // Rows of a weight. Where there are several tensors, they are whole: CheckWeights saw to it.
  Held RowsHeld(uint32_t weight) const { return HeldOf(stage_.sources[stage_.weights[weight].source_begin()].rows()); }

  void Set(uint32_t step, Held held, size_t result = 0) {
    held_[stage_.Results(stage_.steps[step])[result].index()] = held;
  }
  uint32_t OperandOf(uint32_t step, size_t operand) const {
    return stage_.Operands(stage_.steps[step])[operand].index();
  }

  // An operand of any step but a collective: all of it or a part of it.
  Result<Held> Read(uint32_t step, size_t operand) const {
    const uint32_t buffer = OperandOf(step, operand);
    const Held held = held_[buffer];
    if (held.how == Held::How::partial) {
      return stage_.AtStep(step, "reads '{}', a partial sum; only an all_reduce may", stage_.BufferName(buffer));
    }
    if (held.how == Held::How::gathered) {
      return stage_.AtStep(step, "reads '{}', which was {}; only the executor may", stage_.BufferName(buffer),
                           Describe(held));
    }
    return held;
  }
  Status ReadAs(uint32_t step, size_t operand, const Held& expected) const {
    MRS_ASSIGN_OR_RETURN(const Held held, Read(step, operand));
    if (held == expected) return Status();
    return stage_.AtStep(step, "reads '{}', which is {}, expected {}", stage_.BufferName(OperandOf(step, operand)),
                         Describe(held), Describe(expected));
  }
  // A vector that goes with an operand or a result.
  Status VectorIs(uint32_t step, uint32_t weight, const Held& expected) const {
    const Held held = RowsHeld(weight);
    if (held == expected) return Status();
    return stage_.AtStep(step, "weight '{}' is {}, expected {}", stage_.Name(stage_.weights[weight].name()),
                         Describe(held), Describe(expected));
  }

  Status Step(uint32_t i) {
    switch (stage_.steps[i].op()) {
      case OpKind::rope_angles:  // of an input: whole, as all of them
      case OpKind::recv:         // what the rank of the same coordinate sent, which had all of it
        return Status();
      case OpKind::send:
        return ReadAs(i, 0, {});
      case OpKind::embed:
        return Embed(i);
      case OpKind::rms_norm: {  // each row of the norm is a head of its own, and all have one weight
        MRS_RETURN_IF_ERROR(VectorIs(i, OperandOf(i, 1), {}));
        return PassOn(i, {});
      }
      case OpKind::layer_norm: {
        MRS_RETURN_IF_ERROR(VectorIs(i, OperandOf(i, 1), {}));
        MRS_RETURN_IF_ERROR(VectorIs(i, OperandOf(i, 2), {}));
        return PassOn(i, {});
      }
      case OpKind::sum_squares:
        return SumSquares(i);
      case OpKind::rms_scale:
        return RmsScale(i);
      case OpKind::matmul:
        return Matmul(i);
      case OpKind::rope:
      case OpKind::position_scale: {
        MRS_RETURN_IF_ERROR(ReadAs(i, 1, {}));
        return PassOn(i, {});
      }
      case OpKind::kv_append:
        return KvAppend(i);
      case OpKind::attention:
        return Attention(i);
      case OpKind::silu_mul:
      case OpKind::gelu_mul:
      case OpKind::add:
        return PassOn(i, 1);
      case OpKind::add_bias: {
        MRS_ASSIGN_OR_RETURN(const Held x, Read(i, 0));
        MRS_RETURN_IF_ERROR(VectorIs(i, OperandOf(i, 1), x));
        return PassOn(i, {});
      }
      case OpKind::scale:
      case OpKind::soft_cap:
      case OpKind::select_rows:
        return PassOn(i, {});
      case OpKind::top_candidates:
        return TopCandidates(i);
      case OpKind::all_reduce:
      case OpKind::all_gather:
        return Collective(i);
      default:
        return stage_.AtStep(i, "what the ranks hold after {} is unknown", plan::EnumNameOpKind(stage_.steps[i].op()));
    }
  }

  // The result is held as operand 0 is; so must be operand `other`, where there is one.
  Status PassOn(uint32_t step, std::optional<size_t> other) {
    MRS_ASSIGN_OR_RETURN(const Held x, Read(step, 0));
    if (other) MRS_RETURN_IF_ERROR(ReadAs(step, *other, x));
    Set(step, x);
    return Status();
  }

  // Of heads that a rank has, a part of the sum.
  Status SumSquares(uint32_t step) {
    MRS_ASSIGN_OR_RETURN(const Held x, Read(step, 0));
    if (x.how == Held::How::cut && x.every != 1) {
      return stage_.AtStep(step, "sums the squares of '{}', which is {}: the sum over the ranks would count it so often",
                           stage_.BufferName(OperandOf(step, 0)), Describe(x));
    }
    Set(step, x.how == Held::How::cut ? Held{Held::How::partial} : Held{});
    return Status();
  }

  // The sum is complete, and of as many elements as the ranks have together.
  Status RmsScale(uint32_t step) {
    MRS_ASSIGN_OR_RETURN(const Held x, Read(step, 0));
    MRS_RETURN_IF_ERROR(ReadAs(step, 1, {}));
    MRS_RETURN_IF_ERROR(VectorIs(step, OperandOf(step, 2), x));
    const plan::RmsScaleAttr& attr = *stage_.stage.rms_scales()->Get(stage_.steps[step].attr());
    const uint64_t total = SatMul(attr.width(), x.how == Held::How::cut ? stage_.plan.tp() / x.every : 1);
    if (attr.total() != total) {
      return stage_.AtStep(step, "divides its sum by {} elements, the ranks have {} of '{}' in all", attr.total(), total,
                           stage_.BufferName(OperandOf(step, 0)));
    }
    Set(step, x);
    return Status();
  }

  // Ids that another rank has give zeros.
  Status Embed(uint32_t step) {
    const Held table = RowsHeld(OperandOf(step, 1));
    Set(step, table.how == Held::How::cut ? Held{Held::How::partial} : Held{});
    return Status();
  }

  Status Matmul(uint32_t step) {
    const auto operands = stage_.Operands(stage_.steps[step]);
    for (size_t i = 0; i < stage_.steps[step].result_count(); ++i) {
      const uint32_t w = operands[1 + 2 * i].index();
      const plan::Weight& weight = stage_.weights[w];
      const bool partial = weight.chunk_count() != weight.chunk_count_global();
      const plan::Slice& columns = stage_.sources[weight.source_begin()].columns();
      MRS_RETURN_IF_ERROR(ReadAs(step, 0, partial ? HeldOf(columns) : Held{}));
      const Held rows = RowsHeld(w);
      if (partial && rows != Held{}) {
        return stage_.AtStep(step, "weight '{}' is cut along both its rows and K", stage_.Name(weight.name()));
      }
      const plan::Ref& bias = operands[2 + 2 * i];
      if (bias.space() == RefSpace::weight) MRS_RETURN_IF_ERROR(VectorIs(step, bias.index(), rows));
      Set(step, partial ? Held{Held::How::partial} : rows, i);
    }
    return Status();
  }

  Status KvAppend(uint32_t step) {
    MRS_ASSIGN_OR_RETURN(const Held k, Read(step, 0));
    MRS_RETURN_IF_ERROR(ReadAs(step, 1, k));
    const plan::AttentionAttr& attr = *stage_.stage.attentions()->Get(stage_.steps[step].attr());
    caches_[{attr.kv_class(), attr.kv_layer()}] = k;
    return Status();
  }

  Status Attention(uint32_t step) {
    const plan::AttentionAttr& attr = *stage_.stage.attentions()->Get(stage_.steps[step].attr());
    MRS_ASSIGN_OR_RETURN(const Held q, Read(step, 0));
    MRS_RETURN_IF_ERROR(CheckHeads(step, attr, q, caches_[{attr.kv_class(), attr.kv_layer()}]));
    Set(step, q);
    return Status();
  }

  // On every rank, the KV head that a query head reads is the one that the unsharded model reads: each KV head serves
  // as many query heads as there are of each, in order (kernels.h). Unsharded, that is head * kv_heads / heads.
  Status CheckHeads(uint32_t step, const plan::AttentionAttr& attr, const Held& q, const Held& kv) const {
    const plan::Model& model = *stage_.plan.model();
    const uint32_t tp = stage_.plan.tp();
    const auto in_all = [&](const Held& held, uint64_t on_rank) {
      return held.how == Held::How::cut ? SatMul(on_rank, tp / held.every) : on_rank;
    };
    const uint64_t heads = in_all(q, attr.heads()), kv_heads = in_all(kv, attr.kv_heads());
    if (heads != model.heads() || kv_heads != model.kv_heads() || attr.head_dim() != model.head_dim()) {
      return stage_.AtStep(step,
                           "the ranks have {} query heads on {} KV heads of {} in all, the model has {} on {} of {}",
                           heads, kv_heads, attr.head_dim(), model.heads(), model.kv_heads(), model.head_dim());
    }
    if (!stage_.budget.Spend(SatMul(tp, attr.heads()))) return Budget::Exhausted("which KV heads are read");
    const auto first = [](const Held& held, uint64_t on_rank, uint32_t c) {
      return held.how == Held::How::cut ? c / held.every * on_rank : 0;
    };
    for (uint32_t c = 0; c < tp; ++c) {
      for (uint64_t head = 0; head < attr.heads(); ++head) {
        const uint64_t reads = first(kv, attr.kv_heads(), c) + head / (attr.heads() / attr.kv_heads());
        const uint64_t wants = (first(q, attr.heads(), c) + head) / (heads / kv_heads);
        if (reads == wants) continue;
        return stage_.AtStep(step, "on rank {} query head {} reads KV head {}, in the unsharded model {}", c,
                             first(q, attr.heads(), c) + head, reads, wants);
      }
    }
    return Status();
  }

  // Each rank makes a record of its own part of the vocabulary.
  Status TopCandidates(uint32_t step) {
    const plan::TopCandidatesAttr& attr = *stage_.stage.candidates()->Get(stage_.steps[step].attr());
    const Held vocab = HeldOf(attr.vocab());
    MRS_RETURN_IF_ERROR(ReadAs(step, 0, vocab));
    const uint64_t record = stage_.buffers[stage_.Results(stage_.steps[step])[0].index()].width();
    Set(step, vocab == Held{} ? Held{} : Held{Held::How::cut, record});
    return Status();
  }

  Status Collective(uint32_t step) {
    const uint32_t buffer = OperandOf(step, 0);
    const Held held = held_[buffer];
    const bool reduces = stage_.steps[step].op() == OpKind::all_reduce;
    if (reduces && held.how != Held::How::partial) {
      return stage_.AtStep(step, "sums '{}' over the ranks, which is {}, expected a partial sum",
                           stage_.BufferName(buffer), Describe(held));
    }
    if (!reduces && (held.how != Held::How::cut || held.every != 1)) {
      return stage_.AtStep(step, "gathers '{}', which is {}, expected parts in rank order, one a rank",
                           stage_.BufferName(buffer), Describe(held));
    }
    Set(step, reduces ? Held{} : Held{Held::How::gathered});
    return Status();
  }

  // The executor hands out one rank's rows after the other's; of one rank, its rows.
  Status Output(const char* variant, uint32_t buffer) const {
    const Held held = held_[buffer];
    const Held expected{stage_.plan.tp() > 1 ? Held::How::gathered : Held::How::whole};
    if (held == expected) return Status();
    return Refuse("stage {}: its result of {}, '{}', is {}, expected {}", stage_.index, variant,
                  stage_.BufferName(buffer), Describe(held), Describe(expected));
  }

  const StageView& stage_;
  std::vector<Held> held_;                                // by buffer; inputs are whole
  std::map<std::pair<uint32_t, uint32_t>, Held> caches_;  // by KV class and layer
};

}  // namespace

Status CheckSharding(const StageView& stage) { return Flow(stage).Run(); }

}  // namespace mrs::verify
