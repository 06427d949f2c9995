#include "plans/step_view.h"

#include <algorithm>
#include <utility>

namespace mrs::plan {
namespace {

// Gives out a step's operands and results one after the other, and keeps what was wrong with the first that is not
// what it was taken for.
class Reader {
 public:
  Reader(const Stage& stage, const Step& step) : stage_(stage), step_(step) {}

  BufferRef Buffer() {
    const Ref* ref = NextOperand();
    if (ref && ref->space() != RefSpace::buffer) Wrong(fmt::format("operand {} is no buffer", operands_ - 1));
    return {ref ? ref->index() : 0};
  }
  WeightRef Weight() {
    const Ref* ref = NextOperand();
    if (ref && ref->space() != RefSpace::weight) Wrong(fmt::format("operand {} is no weight", operands_ - 1));
    return {ref ? ref->index() : 0};
  }
  std::optional<WeightRef> WeightOrNone() {
    const Ref* ref = NextOperand();
    if (!ref || ref->space() == RefSpace::none) return std::nullopt;
    --operands_;
    return Weight();
  }
  BufferRef Result() {
    if (results_++ >= step_.result_count()) return {};
    const Ref* ref = stage_.refs()->Get(step_.operand_begin() + step_.operand_count() + results_ - 1);
    if (ref->space() != RefSpace::buffer) Wrong("a result is no buffer");
    return {ref->index()};
  }
  template <typename T>
  auto Attr(const flatbuffers::Vector<T>* attributes) -> decltype(attributes->Get(0)) {
    const uint32_t size = attributes == nullptr ? 0 : attributes->size();  // null: a vector that may be absent
    return Index(size) < size ? attributes->Get(step_.attr()) : nullptr;
  }
  uint32_t Index(uint32_t size) {
    if (step_.attr() >= size) bad_attribute_ = fmt::format("its attribute is entry {} of {}", step_.attr(), size);
    return step_.attr();
  }

  // The view that was read, or what is wrong with the step.
  mrs::Result<StepView> Checked(StepView view) const {
    if (!bad_attribute_.empty()) return Refuse("{}", bad_attribute_);
    if (operands_ != step_.operand_count() || results_ != step_.result_count()) {
      return Refuse("{} takes {} operands and yields {} results, here are {} and {}", EnumNameOpKind(step_.op()),
                    operands_, results_, step_.operand_count(), step_.result_count());
    }
    if (!bad_ref_.empty()) return Refuse("{}", bad_ref_);
    return view;
  }

 private:
  const Ref* NextOperand() {
    if (operands_++ >= step_.operand_count()) return nullptr;
    return stage_.refs()->Get(step_.operand_begin() + operands_ - 1);
  }
  void Wrong(std::string what) {
    if (bad_ref_.empty()) bad_ref_ = std::move(what);
  }

  const Stage& stage_;
  const Step& step_;
  uint32_t operands_ = 0, results_ = 0;  // given out
  std::string bad_ref_, bad_attribute_;
};

MatmulStep Matmul(Reader& in, size_t part_count) {
  MatmulStep matmul{.x = in.Buffer(), .parts = {}};
  for (size_t i = 0; i < part_count; ++i) matmul.parts.push_back({in.Weight(), in.WeightOrNone(), in.Result()});
  return matmul;
}

GatedMatmul Gated(Reader& in) {
  return {in.Buffer(),
          {in.Weight(), in.WeightOrNone(), in.Result()},
          {in.Weight(), in.WeightOrNone(), in.Result()},
          in.Result()};
}

}  // namespace

// A braced list is read from left to right: members stand in the order of the operands, results after them.
Result<StepView> ViewOf(const Plan& plan, const Stage& stage, const Step& step) {
  Reader in(stage, step);
  switch (step.op()) {
    case OpKind::embed:
      return in.Checked(EmbedStep{in.Buffer(), in.Weight(), in.Result(), in.Attr(stage.embeds())});
    case OpKind::rope_angles:
      return in.Checked(RopeAnglesStep{in.Buffer(), in.Result(), in.Index(plan.ropes()->size())});
    case OpKind::rms_norm:
      return in.Checked(RmsNormStep{in.Buffer(), in.Weight(), in.Result(), in.Attr(stage.norms())});
    case OpKind::layer_norm:
      return in.Checked(LayerNormStep{in.Buffer(), in.Weight(), in.Weight(), in.Result(), in.Attr(stage.norms())});
    case OpKind::sum_squares:
      return in.Checked(SumSquaresStep{in.Buffer(), in.Result(), in.Attr(stage.sum_squares())});
    case OpKind::rms_scale:
      return in.Checked(RmsScaleStep{in.Buffer(), in.Buffer(), in.Weight(), in.Result(), in.Attr(stage.rms_scales())});
    case OpKind::scale:
      return in.Checked(ScaleStep{in.Buffer(), in.Result(), in.Attr(stage.scales())});
    case OpKind::soft_cap:
      return in.Checked(SoftCapStep{in.Buffer(), in.Result(), in.Attr(stage.scales())});
    case OpKind::position_scale:
      return in.Checked(PositionScaleStep{in.Buffer(), in.Buffer(), in.Result(), in.Attr(stage.position_scales())});
    case OpKind::matmul:
      return in.Checked(Matmul(in, std::max<size_t>(step.result_count(), 1)));
    case OpKind::rope:
      return in.Checked(RopeStep{in.Buffer(), in.Buffer(), in.Result(), in.Attr(stage.heads())});
    case OpKind::kv_append:
      return in.Checked(KvAppendStep{in.Buffer(), in.Buffer(), in.Buffer(), in.Attr(stage.attentions())});
    case OpKind::attention:
      return in.Checked(
          AttentionStep{in.Buffer(), in.Buffer(), in.Buffer(), in.Buffer(), in.Result(), in.Attr(stage.attentions())});
    case OpKind::silu_mul:
      return in.Checked(SiluMulStep{in.Buffer(), in.Buffer(), in.Result()});
    case OpKind::gelu_mul:
      return in.Checked(GeluMulStep{in.Buffer(), in.Buffer(), in.Result(), in.Attr(stage.glus())});
    case OpKind::add:
      return in.Checked(AddStep{in.Buffer(), in.Buffer(), in.Result()});
    case OpKind::add_bias:
      return in.Checked(AddBiasStep{in.Buffer(), in.Weight(), in.Result()});
    case OpKind::select_rows:
      return in.Checked(SelectRowsStep{in.Buffer(), in.Buffer(), in.Result()});
    case OpKind::top_candidates:
      return in.Checked(TopCandidatesStep{in.Buffer(), in.Result(), in.Attr(stage.candidates())});
    case OpKind::all_reduce:
      return in.Checked(AllReduceStep{in.Buffer(), in.Result(), in.Attr(stage.collectives())});
    case OpKind::all_gather:
      return in.Checked(AllGatherStep{in.Buffer(), in.Result(), in.Attr(stage.collectives())});
    case OpKind::send:
      return in.Checked(SendStep{in.Buffer(), in.Attr(stage.transfers())});
    case OpKind::recv:
      return in.Checked(RecvStep{in.Result(), in.Attr(stage.transfers())});
    case OpKind::add_rms_norm:
      return in.Checked(
          AddRmsNormStep{in.Buffer(), in.Buffer(), in.Weight(), in.Result(), in.Result(), in.Attr(stage.norms())});
    case OpKind::rope_append:
      return in.Checked(RopeAppendStep{in.Buffer(), in.Buffer(), in.Buffer(), in.Buffer(), in.Buffer(), in.Result(),
                                       in.Attr(stage.rope_appends())});
    case OpKind::matmul_silu_mul:
      return in.Checked(MatmulSiluMulStep{Gated(in)});
    case OpKind::matmul_gelu_mul:
      return in.Checked(MatmulGeluMulStep{Gated(in), in.Attr(stage.glus())});
    default:
      return Refuse("operation {} has its place in the format, but this version does not run it",
                    EnumNameOpKind(step.op()));
  }
}

std::optional<CacheLayer> CacheLayerOf(const Stage& stage, const Step& step) {
  if (step.op() == OpKind::rope_append) {
    const RopeAppendAttr& attr = *stage.rope_appends()->Get(step.attr());
    return CacheLayer{attr.kv_class(), attr.kv_layer()};
  }
  if (step.op() != OpKind::kv_append && step.op() != OpKind::attention) return std::nullopt;
  const AttentionAttr& attr = *stage.attentions()->Get(step.attr());
  return CacheLayer{attr.kv_class(), attr.kv_layer()};
}

}  // namespace mrs::plan
