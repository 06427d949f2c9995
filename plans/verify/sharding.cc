// What a rank holds of each value, followed from step to step: all of it, its part of it, or its share of a sum. The
// ranks together compute what one rank would: no sum is read before it is complete, none is completed twice, and no
// rank's part is taken for another's.
//
//   embed, vocabulary cut                ->  partial      all_reduce: partial   ->  whole
//   matmul: x whole, rows cut            ->  cut          all_gather: cut, once ->  gathered, for the executor alone
//   matmul: x cut as the columns are     ->  partial      attention: q cut, its KV heads here -> cut as q
//   norm, rope, add, silu_mul, ...: operands held alike -> held as they are
//   gated products: x whole, rows of both cut alike -> cut; of gate and up themselves scratch, which nobody may read
//
// Knows steps and slices of the plan, and nothing of how they came about.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "plans/verify/checks.h"
#include "plans/verify/slices.h"

namespace mrs::verify {
namespace {

using plan::BufferRef;
using plan::WeightRef;

struct Held {
  enum class How {
    whole,     // the same on every rank
    cut,       // part [c / every] of the ranks' coordinate c, in rank order
    partial,   // a share of a sum over the ranks
    gathered,  // one rank's rows after the other's: no step has a use for that
    scratch,   // memory that a step used for itself: nobody knows what is in it
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
    case Held::How::scratch:
      return "memory that one step alone uses";
  }
  return "";  // not reached
}

class Flow {
 public:
  explicit Flow(const StageView& stage) : stage_(stage), held_(stage.buffers.size()) {}

  Status Run() {
    for (step_ = 0; step_ < stage_.steps.size(); ++step_) MRS_RETURN_IF_ERROR(stage_.Visit(step_, *this));
    if (stage_.index + 1 != stage_.plan.stages()->size()) return Status();
    MRS_RETURN_IF_ERROR(Output("candidates", stage_.stage.candidates_buffer()));
    return Output("all_logits", stage_.stage.logits_buffer());
  }

  // ---- What each operation asks of its operands, and what the ranks hold of its results ----

  Status operator()(const plan::RopeAnglesStep&) { return Status(); }  // of an input: whole, as all of them
  // What the rank of the same coordinate sent, which had all of it.
  Status operator()(const plan::RecvStep&) { return Status(); }
  Status operator()(const plan::SendStep& s) { return ReadAs(s.x, {}); }

  // Ids that another rank has give zeros.
  Status operator()(const plan::EmbedStep& s) {
    Set(s.y, RowsHeld(s.table).how == Held::How::cut ? Held{Held::How::partial} : Held{});
    return Status();
  }

  // Each row of the norm is a head of its own, and all have one weight.
  Status operator()(const plan::RmsNormStep& s) {
    MRS_RETURN_IF_ERROR(VectorIs(s.weight, {}));
    return PassOn(s.x, s.y);
  }
  Status operator()(const plan::LayerNormStep& s) {
    MRS_RETURN_IF_ERROR(VectorIs(s.weight, {}));
    MRS_RETURN_IF_ERROR(VectorIs(s.bias, {}));
    return PassOn(s.x, s.y);
  }

  // Of heads that a rank has, a part of the sum.
  Status operator()(const plan::SumSquaresStep& s) {
    MRS_ASSIGN_OR_RETURN(const Held x, Read(s.x));
    if (x.how == Held::How::cut && x.every != 1) {
      return Wrong("sums the squares of '{}', which is {}: the sum over the ranks would count it so often",
                   stage_.BufferName(s.x), Describe(x));
    }
    Set(s.y, x.how == Held::How::cut ? Held{Held::How::partial} : Held{});
    return Status();
  }

  // The sum is complete, and of as many elements as the ranks have together.
  Status operator()(const plan::RmsScaleStep& s) {
    MRS_ASSIGN_OR_RETURN(const Held x, Read(s.x));
    MRS_RETURN_IF_ERROR(ReadAs(s.sum, {}));
    MRS_RETURN_IF_ERROR(VectorIs(s.weight, x));
    const uint64_t total = SatMul(s.attr->width(), x.how == Held::How::cut ? stage_.plan.tp() / x.every : 1);
    if (s.attr->total() != total) {
      return Wrong("divides its sum by {} elements, the ranks have {} of '{}' in all", s.attr->total(), total,
                   stage_.BufferName(s.x));
    }
    Set(s.y, x);
    return Status();
  }

  Status operator()(const plan::ScaleStep& s) { return PassOn(s.x, s.y); }
  Status operator()(const plan::SoftCapStep& s) { return PassOn(s.x, s.y); }
  Status operator()(const plan::PositionScaleStep& s) {
    MRS_RETURN_IF_ERROR(ReadAs(s.positions, {}));
    return PassOn(s.x, s.y);
  }
  Status operator()(const plan::RopeStep& s) {
    MRS_RETURN_IF_ERROR(ReadAs(s.cos_sin, {}));
    return PassOn(s.x, s.y);
  }

  Status operator()(const plan::MatmulStep& s) {
    for (const plan::MatmulStep::Part& part : s.parts) {
      MRS_ASSIGN_OR_RETURN(const Held product, Product(s.x, part));
      Set(part.y, product);
    }
    return Status();
  }

  // As products and what gates them; but what the products would be is nobody's to read.
  Status operator()(const plan::GatedMatmul& s) {
    for (const plan::MatmulStep::Part* part : {&s.gate, &s.up}) {
      MRS_ASSIGN_OR_RETURN(const Held product, Product(s.x, *part));
      Set(part->y, product);
    }
    MRS_RETURN_IF_ERROR(Alike(s.gate.y, s.up.y, s.y));
    for (const plan::MatmulStep::Part* part : {&s.gate, &s.up}) Set(part->y, {Held::How::scratch});
    return Status();
  }

  Status operator()(const plan::AddRmsNormStep& s) {
    MRS_RETURN_IF_ERROR(VectorIs(s.weight, {}));
    MRS_RETURN_IF_ERROR(Alike(s.a, s.b, s.sum));
    return ReadAs(s.a, {});  // the norm is of the whole row
  }
  Status operator()(const plan::RopeAppendStep& s) {
    MRS_RETURN_IF_ERROR(ReadAs(s.cos_sin, {}));
    MRS_RETURN_IF_ERROR(PassOn(s.q, s.y));
    MRS_ASSIGN_OR_RETURN(const Held k, Read(s.k));
    MRS_RETURN_IF_ERROR(ReadAs(s.v, k));
    caches_[{s.attr->kv_class(), s.attr->kv_layer()}] = k;
    return Status();
  }

  Status operator()(const plan::KvAppendStep& s) {
    MRS_ASSIGN_OR_RETURN(const Held k, Read(s.k));
    MRS_RETURN_IF_ERROR(ReadAs(s.v, k));
    caches_[{s.attr->kv_class(), s.attr->kv_layer()}] = k;
    return Status();
  }
  Status operator()(const plan::AttentionStep& s) {
    MRS_ASSIGN_OR_RETURN(const Held q, Read(s.q));
    MRS_RETURN_IF_ERROR(CheckHeads(*s.attr, q, caches_[{s.attr->kv_class(), s.attr->kv_layer()}]));
    Set(s.y, q);
    return Status();
  }

  Status operator()(const plan::SiluMulStep& s) { return Alike(s.gate, s.up, s.y); }
  Status operator()(const plan::GeluMulStep& s) { return Alike(s.gate, s.up, s.y); }
  Status operator()(const plan::AddStep& s) { return Alike(s.a, s.b, s.y); }
  Status operator()(const plan::AddBiasStep& s) {
    MRS_ASSIGN_OR_RETURN(const Held a, Read(s.a));
    MRS_RETURN_IF_ERROR(VectorIs(s.bias, a));
    return PassOn(s.a, s.y);
  }
  Status operator()(const plan::SelectRowsStep& s) { return PassOn(s.x, s.y); }

  // Each rank makes a record of its own part of the vocabulary.
  Status operator()(const plan::TopCandidatesStep& s) {
    const Held vocab = HeldOf(s.attr->vocab());
    MRS_RETURN_IF_ERROR(ReadAs(s.logits, vocab));
    Set(s.records, vocab == Held{} ? Held{} : Held{Held::How::cut, stage_.At(s.records).width()});
    return Status();
  }

  Status operator()(const plan::AllReduceStep& s) {
    const Held held = held_[s.x.index];
    if (held.how != Held::How::partial) {
      return Wrong("sums '{}' over the ranks, which is {}, expected a partial sum", stage_.BufferName(s.x),
                   Describe(held));
    }
    Set(s.y, {});
    return Status();
  }
  Status operator()(const plan::AllGatherStep& s) {
    const Held held = held_[s.x.index];
    if (held.how != Held::How::cut || held.every != 1) {
      return Wrong("gathers '{}', which is {}, expected parts in rank order, one a rank", stage_.BufferName(s.x),
                   Describe(held));
    }
    Set(s.y, {Held::How::gathered});
    return Status();
  }

 private:
  template <typename... Args>
  Error Wrong(fmt::format_string<Args...> format, Args&&... args) const {
    return stage_.AtStep(step_, "{}", fmt::format(format, std::forward<Args>(args)...));
  }

  // A slice over one rank, or one that all ranks share, is the whole.
  Held HeldOf(const plan::Slice& slice) const {
    if (AxisSize(stage_.plan, slice.axis()) == slice.every()) return {};
    return {Held::How::cut, slice.size(), slice.every()};
  }
  // Rows of a weight. Where there are several tensors, they are whole: CheckWeights saw to it.
  Held RowsHeld(WeightRef weight) const { return HeldOf(stage_.sources[stage_.At(weight).source_begin()].rows()); }

  void Set(BufferRef buffer, Held held) { held_[buffer.index] = held; }

  // An operand of any step but a collective: all of it or a part of it.
  Result<Held> Read(BufferRef buffer) const {
    const Held held = held_[buffer.index];
    if (held.how == Held::How::partial) {
      return Wrong("reads '{}', a partial sum; only an all_reduce may", stage_.BufferName(buffer));
    }
    if (held.how == Held::How::gathered) {
      return Wrong("reads '{}', which was {}; only the executor may", stage_.BufferName(buffer), Describe(held));
    }
    if (held.how == Held::How::scratch) {
      return Wrong("reads '{}', {}, of which nobody knows what is in it", stage_.BufferName(buffer), Describe(held));
    }
    return held;
  }
  Status ReadAs(BufferRef buffer, const Held& expected) const {
    MRS_ASSIGN_OR_RETURN(const Held held, Read(buffer));
    if (held == expected) return Status();
    return Wrong("reads '{}', which is {}, expected {}", stage_.BufferName(buffer), Describe(held), Describe(expected));
  }
  // A vector that goes with an operand or a result.
  Status VectorIs(WeightRef weight, const Held& expected) const {
    const Held held = RowsHeld(weight);
    if (held == expected) return Status();
    return Wrong("weight '{}' is {}, expected {}", stage_.WeightName(weight), Describe(held), Describe(expected));
  }

  // What the ranks hold of one product.
  Result<Held> Product(BufferRef x, const plan::MatmulStep::Part& part) const {
    const plan::Weight& weight = stage_.At(part.weight);
    const bool partial = weight.chunk_count() != weight.chunk_count_global();
    const plan::Slice& columns = stage_.sources[weight.source_begin()].columns();
    MRS_RETURN_IF_ERROR(ReadAs(x, partial ? HeldOf(columns) : Held{}));
    const Held rows = RowsHeld(part.weight);
    if (partial && rows != Held{}) {
      return Wrong("weight '{}' is cut along both its rows and K", stage_.WeightName(part.weight));
    }
    if (part.bias) MRS_RETURN_IF_ERROR(VectorIs(*part.bias, rows));
    return partial ? Held{Held::How::partial} : rows;
  }

  // The result is held as the operand is.
  Status PassOn(BufferRef x, BufferRef y) {
    MRS_ASSIGN_OR_RETURN(const Held held, Read(x));
    Set(y, held);
    return Status();
  }
  // So are both operands.
  Status Alike(BufferRef a, BufferRef b, BufferRef y) {
    MRS_ASSIGN_OR_RETURN(const Held held, Read(a));
    MRS_RETURN_IF_ERROR(ReadAs(b, held));
    return PassOn(a, y);
  }

  // On every rank, the KV head that a query head reads is the one that the unsharded model reads: each KV head serves
  // as many query heads as there are of each, in order (kernels.h). Unsharded, that is head * kv_heads / heads.
  Status CheckHeads(const plan::AttentionAttr& attr, const Held& q, const Held& kv) const {
    const plan::Model& model = *stage_.plan.model();
    const uint32_t tp = stage_.plan.tp();
    const auto in_all = [&](const Held& held, uint64_t on_rank) {
      return held.how == Held::How::cut ? SatMul(on_rank, tp / held.every) : on_rank;
    };
    const uint64_t heads = in_all(q, attr.heads()), kv_heads = in_all(kv, attr.kv_heads());
    if (heads != model.heads() || kv_heads != model.kv_heads() || attr.head_dim() != model.head_dim()) {
      return Wrong("the ranks have {} query heads on {} KV heads of {} in all, the model has {} on {} of {}", heads,
                   kv_heads, attr.head_dim(), model.heads(), model.kv_heads(), model.head_dim());
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
        return Wrong("on rank {} query head {} reads KV head {}, in the unsharded model {}", c,
                     first(q, attr.heads(), c) + head, reads, wants);
      }
    }
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
  uint32_t step_ = 0;
  std::vector<Held> held_;                                // by buffer; inputs are whole
  std::map<std::pair<uint32_t, uint32_t>, Held> caches_;  // by KV class and layer
};

}  // namespace

Status CheckSharding(const StageView& stage) { return Flow(stage).Run(); }

}  // namespace mrs::verify
