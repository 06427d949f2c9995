// Mutants of the switches that families have: soft-caps, multipliers, activations, norms, rotations, rows of fused
// tensors and transforms.
#include <algorithm>
#include <memory>
#include <utility>

#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

using plan::DType;
using plan::OpKind;
using plan::WeightSource;

bool Removed(PlanEdit& edit, OpKind op, std::string_view part = "") {
  const auto step = edit.One(op, part);
  if (step) edit.RemoveStep(*step);
  return step.has_value();
}

bool Repeated(PlanEdit& edit, OpKind op) {
  const auto step = edit.One(op);
  if (step) edit.RepeatStep(*step);
  return step.has_value();
}

bool OtherFactor(PlanEdit& edit, OpKind op) {
  const auto step = edit.One(op);
  if (!step) return false;
  plan::ScaleAttr& attr = edit.stage.scales[edit.steps[*step].step.attr()];
  attr.mutate_factor(attr.factor() * 1.5f);
  return true;
}

// A step of one result of the type of its first operand can be left out, and its readers do not see by the type.
std::optional<size_t> LeavesTheType(PlanEdit& edit, OpKind op) {
  return edit.OneWhere(op, [&](const Instruction& i) {
    const plan::Buffer &in = edit.stage.buffers[i.operands.front().index()],
                       &out = edit.stage.buffers[i.results.front().index()];
    return in.dtype() == out.dtype() && in.width() == out.width();
  });
}

// Two steps of a kind have each other's operand.
bool ExchangeOperands(PlanEdit& edit, OpKind op, size_t operand) {
  const auto all = edit.All(op);
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    plan::Ref &a = edit.steps[all[i]].operands[operand], &b = edit.steps[all[i + 1]].operands[operand];
    if (a.space() == plan::RefSpace::weight && edit.stage.weights[a.index()].n() != edit.stage.weights[b.index()].n()) {
      continue;
    }
    if (a.index() == b.index()) continue;
    std::swap(a, b);
    return true;
  }
  return false;
}

bool IsPart(const WeightSource& source) { return source.row_count() != source.tensor_rows(); }

// Two weights of one fused tensor and as many rows have each other's rows.
bool ExchangeFusedRows(PlanEdit& edit, std::string_view a, std::string_view b) {
  const auto one = edit.Weights(a), other = edit.Weights(b);
  for (size_t i = 0; i < one.size() && one.size() == other.size(); ++i) {
    WeightSource &first = edit.SourceOf(one[i]), &second = edit.SourceOf(other[i]);
    if (!IsPart(first) || first.row_count() != second.row_count()) continue;
    const uint64_t begin = first.row_begin();
    first.mutate_row_begin(second.row_begin());
    second.mutate_row_begin(begin);
    return true;
  }
  return false;
}

// The source of a drawn weight that is some rows of a tensor.
WeightSource* FusedSource(PlanEdit& edit) {
  std::vector<WeightSource*> found;
  for (auto& of_weight : edit.sources) {
    if (IsPart(of_weight.front())) found.push_back(&of_weight.front());
  }
  return found.empty() ? nullptr : found[edit.Draw(found.size())];
}

WeightSource* SourceWith(PlanEdit& edit, plan::Transform transform) {
  std::vector<WeightSource*> found;
  for (const size_t weight : edit.Weights("norm.weight")) {
    if (edit.SourceOf(weight).transform() == transform) found.push_back(&edit.SourceOf(weight));
  }
  return found.empty() ? nullptr : found[edit.Draw(found.size())];
}

plan::PositionScaleAttr* PositionScale(PlanEdit& edit) {
  const auto step = edit.One(OpKind::position_scale);
  return step ? &edit.stage.position_scales[edit.steps[*step].step.attr()] : nullptr;
}

plan::RmsScaleAttr* RmsScale(PlanEdit& edit) {
  const auto step = edit.One(OpKind::rms_scale);
  return step ? &edit.stage.rms_scales[edit.steps[*step].step.attr()] : nullptr;
}

constexpr PlanMutant kMutants[] = {
    {"soft_cap_of_scores", "one layer's scores have another soft-cap",
     [](PlanEdit& e) {
       const auto step = e.OneWhere(
           OpKind::attention, [&](const Instruction& i) { return e.stage.attentions[i.step.attr()]->soft_cap > 0; });
       if (step) e.AttentionOf(*step).soft_cap *= 1.5f;
       return step.has_value();
     }},
    {"soft_cap_of_scores_forgotten", "one layer's scores have no soft-cap",
     [](PlanEdit& e) {
       const auto step = e.OneWhere(
           OpKind::attention, [&](const Instruction& i) { return e.stage.attentions[i.step.attr()]->soft_cap > 0; });
       if (step) e.AttentionOf(*step).soft_cap = 0;
       return step.has_value();
     }},
    {"soft_cap_of_scores_added", "one layer's scores have a soft-cap that the model has not",
     [](PlanEdit& e) {
       const auto step = e.OneWhere(
           OpKind::attention, [&](const Instruction& i) { return e.stage.attentions[i.step.attr()]->soft_cap == 0; });
       if (step) e.AttentionOf(*step).soft_cap = 30;
       return step.has_value();
     }},
    {"soft_cap_of_logits", "logits have another soft-cap",
     [](PlanEdit& e) { return OtherFactor(e, OpKind::soft_cap); }},
    {"soft_cap_of_logits_forgotten", "logits have no soft-cap",
     [](PlanEdit& e) { return Removed(e, OpKind::soft_cap); }},
    {"soft_cap_of_logits_twice", "logits have their soft-cap twice",
     [](PlanEdit& e) { return Repeated(e, OpKind::soft_cap); }},
    {"multiplier", "a multiplier is another", [](PlanEdit& e) { return OtherFactor(e, OpKind::scale); }},
    {"multiplier_forgotten", "a multiplier is left out", [](PlanEdit& e) { return Removed(e, OpKind::scale); }},
    {"multiplier_twice", "a value is multiplied twice", [](PlanEdit& e) { return Repeated(e, OpKind::scale); }},
    {"multiplier_as_soft_cap", "a value is capped and not multiplied",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::scale);
       if (step) e.steps[*step].step.mutate_op(OpKind::soft_cap);
       return step.has_value();
     }},
    {"multiplier_of_the_residual", "the residual is multiplied after a layer's addition and not before it",
     [](PlanEdit& e) {
       for (const size_t scale : e.All(OpKind::scale)) {
         for (const size_t add : e.All(OpKind::add)) {
           auto &multiplied = e.steps[scale], &sum = e.steps[add];
           if (add != scale + 1 || sum.operands[1].index() != multiplied.results.front().index()) continue;
           const uint32_t before = e.CopyBuffer(multiplied.results.front().index());
           sum.operands[1].mutate_index(multiplied.operands.front().index());
           std::swap(sum.results.front(), multiplied.results.front());
           sum.results.front().mutate_index(before);
           multiplied.operands.front().mutate_index(before);
           std::swap(sum, multiplied);
           return true;
         }
       }
       return false;
     }},
    {"gelu_approximated_otherwise", "gelu is by erf and not by tanh, or the reverse",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::gelu_mul);
       if (!step) return false;
       plan::GluAttrT& attr = *e.stage.glus[e.steps[*step].step.attr()];
       attr.approximate = !attr.approximate;
       return true;
     }},
    {"gelu_as_silu", "the activation of one layer is silu and not gelu",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::gelu_mul);
       if (!step) return false;
       e.steps[*step].step.mutate_op(OpKind::silu_mul);
       e.steps[*step].step.mutate_attr(0);
       return true;
     }},
    {"silu_as_gelu", "the activation of one layer is gelu and not silu",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::silu_mul);
       if (!step) return false;
       e.stage.glus.push_back(std::make_unique<plan::GluAttrT>());
       e.steps[*step].step.mutate_op(OpKind::gelu_mul);
       e.steps[*step].step.mutate_attr(static_cast<uint32_t>(e.stage.glus.size() - 1));
       return true;
     }},
    {"gelu_mul_exchanged", "gelu is taken of up and not of gate",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::gelu_mul);
       if (step) std::swap(e.steps[*step].operands[0], e.steps[*step].operands[1]);
       return step.has_value();
     }},
    {"layer_norm_as_rms_norm", "a norm takes no mean away and adds no bias",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::layer_norm);
       if (!step) return false;
       e.steps[*step].step.mutate_op(OpKind::rms_norm);
       e.steps[*step].operands.pop_back();
       return true;
     }},
    {"eps_of_layer_norm", "a norm with a mean has twice its eps",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::layer_norm);
       if (step) e.NormOf(*step).eps *= 2;
       return step.has_value();
     }},
    {"biases_of_layer_norms_exchanged", "two norms have each other's bias",
     [](PlanEdit& e) { return ExchangeOperands(e, OpKind::layer_norm, 2); }},
    {"layer_norm_exchanged", "a norm's weight is its bias and the reverse",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::layer_norm);
       if (step) std::swap(e.steps[*step].operands[1], e.steps[*step].operands[2]);
       return step.has_value();
     }},
    {"norm_skipped", "what a norm of the residual's type should be of is read without it",
     [](PlanEdit& e) {
       const auto step = LeavesTheType(e, OpKind::rms_norm);
       if (step) e.RemoveStep(*step);
       return step.has_value();
     }},
    {"whole_norm_of_halves", "the norm of all heads divides by half of their elements",
     [](PlanEdit& e) {
       plan::RmsScaleAttr* attr = RmsScale(e);
       if (attr != nullptr) attr->mutate_total(attr->total() / 2);
       return attr != nullptr;
     }},
    {"whole_norm_of_this_rank", "the norm of all heads divides by the elements of one rank",
     [](PlanEdit& e) {
       plan::RmsScaleAttr* attr = RmsScale(e);
       if (attr == nullptr || attr->total() == attr->width()) return false;
       attr->mutate_total(attr->width());
       return true;
     }},
    {"eps_of_whole_norm", "the norm of all heads has twice its eps",
     [](PlanEdit& e) {
       plan::RmsScaleAttr* attr = RmsScale(e);
       if (attr != nullptr) attr->mutate_eps(attr->eps() * 2);
       return attr != nullptr;
     }},
    {"whole_norm_of_other_sum", "a norm of all heads divides by the sum that the one before it has",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::rms_scale);
       if (all.size() < 2) return false;
       const size_t later = 1 + e.Draw(all.size() - 1);
       e.steps[all[later]].operands[1] = e.steps[all[later - 1]].operands[1];
       return true;
     }},
    {"whole_norm_weights_exchanged", "two norms of all heads have each other's weight",
     [](PlanEdit& e) { return ExchangeOperands(e, OpKind::rms_scale, 2); }},
    {"squares_in_longer_chunks", "squares are summed in canonical chunks of twice as many heads",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::sum_squares);
       if (!step) return false;
       plan::SumSquaresAttr& attr = e.stage.sum_squares[e.steps[*step].step.attr()];
       if (attr.heads() % (2 * attr.chunk_heads()) != 0) return false;
       attr.mutate_chunk_heads(2 * attr.chunk_heads());
       return true;
     }},
    {"squares_of_other", "the squares of another layer's heads are summed",
     [](PlanEdit& e) { return ExchangeOperands(e, OpKind::sum_squares, 0); }},
    {"squares_not_reduced", "the norm of all heads divides by the sum of one rank's",
     [](PlanEdit& e) {
       const auto norm = e.One(OpKind::rms_scale);
       if (!norm) return false;
       const uint32_t sum = e.steps[*norm].operands[1].index();
       const auto reduce =
           e.OneWhere(OpKind::all_reduce, [&](const Instruction& i) { return i.results.front().index() == sum; });
       if (reduce) e.RemoveStep(*reduce);
       return reduce.has_value();
     }},
    {"queries_scaled_otherwise", "queries far out are scaled by twice the logarithm",
     [](PlanEdit& e) {
       plan::PositionScaleAttr* attr = PositionScale(e);
       if (attr != nullptr) attr->mutate_beta(attr->beta() * 2);
       return attr != nullptr;
     }},
    {"queries_scaled_later", "queries are scaled from twice the length on",
     [](PlanEdit& e) {
       plan::PositionScaleAttr* attr = PositionScale(e);
       if (attr != nullptr) attr->mutate_original(attr->original() * 2);
       return attr != nullptr;
     }},
    {"queries_not_scaled", "queries are not scaled by their position",
     [](PlanEdit& e) { return Removed(e, OpKind::position_scale); }},
    {"queries_scaled_by_sequence", "queries are scaled by the row of the block table",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::position_scale);
       const auto input = e.InputNamed("sequence");
       if (!step || !input) return false;
       e.steps[*step].operands[1].mutate_index(*input);
       return true;
     }},
    {"pairs_interleaved", "one rotation turns neighbours and not halves, or the reverse",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::rope);
       if (step) e.HeadsOf(*step).interleaved = !e.HeadsOf(*step).interleaved;
       return step.has_value();
     }},
    {"pairs_interleaved_throughout", "all rotations turn neighbours and not halves, or the reverse",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::rope);
       for (const size_t step : all) e.HeadsOf(step).interleaved = !e.HeadsOf(step).interleaved;
       return !all.empty();
     }},
    {"rotation_skipped", "Q or K of one layer is not rotated",
     [](PlanEdit& e) {
       const auto step = LeavesTheType(e, OpKind::rope);
       if (step) e.RemoveStep(*step);
       return step.has_value();
     }},
    {"rotated_twice", "Q or K of one layer is rotated twice",
     [](PlanEdit& e) {
       const auto step = LeavesTheType(e, OpKind::rope);
       if (step) e.RepeatStep(*step);
       return step.has_value();
     }},
    {"rotation_of_other_layers", "one layer is rotated by the angles that layers of the other kind have",
     [](PlanEdit& e) {
       const auto angles = e.All(OpKind::rope_angles);
       const auto step = e.One(OpKind::rope);
       if (!step || angles.size() < 2) return false;
       const uint32_t was = e.HeadsOf(*step).rope;
       for (const size_t other : angles) {
         if (other > *step || e.steps[other].step.attr() == was) continue;
         e.HeadsOf(*step).rope = e.steps[other].step.attr();
         e.steps[*step].operands[1] = e.steps[other].results.front();
         return true;
       }
       return false;
     }},
    {"ropes_exchanged", "the frequencies of local and of global layers are each other's",
     [](PlanEdit& e) {
       if (e.plan.ropes.size() < 2) return false;
       std::swap(e.plan.ropes[0], e.plan.ropes[1]);
       return true;
     }},
    {"one_rope_for_all", "all layers are rotated as those of the first kind",
     [](PlanEdit& e) {
       bool any = false;
       for (auto& heads : e.stage.heads) any = std::exchange(heads->rope, 0) != 0 || any;
       for (const size_t step : e.All(OpKind::rope_angles)) e.steps[step].step.mutate_attr(0);
       return any;
     }},
    {"fused_rows_of_kv_exchanged", "K is V's rows of the fused tensor and the reverse",
     [](PlanEdit& e) { return ExchangeFusedRows(e, "k_proj.weight", "v_proj.weight"); }},
    {"fused_rows_of_gate_up_exchanged", "gate is up's rows of the fused tensor and the reverse",
     [](PlanEdit& e) { return ExchangeFusedRows(e, "gate_proj.weight", "up_proj.weight"); }},
    {"fused_rows_of_qk_exchanged", "Q is K's rows of the fused tensor and the reverse, where they are as many",
     [](PlanEdit& e) { return ExchangeFusedRows(e, "q_proj.weight", "k_proj.weight"); }},
    {"fused_rows_late", "rows of a fused tensor begin a row late",
     [](PlanEdit& e) {
       WeightSource* source = FusedSource(e);
       if (source == nullptr || source->row_begin() + source->row_count() == source->tensor_rows()) return false;
       source->mutate_row_begin(source->row_begin() + 1);
       return true;
     }},
    {"fused_rows_are_the_first", "a fused tensor's first rows are taken for another part of it",
     [](PlanEdit& e) {
       WeightSource* source = FusedSource(e);
       if (source == nullptr || source->row_begin() == 0) return false;
       source->mutate_row_begin(0);
       return true;
     }},
    {"fused_rows_are_all", "a part of a fused tensor is said to be all of it",
     [](PlanEdit& e) {
       WeightSource* source = FusedSource(e);
       if (source == nullptr || source->row_begin() != 0) return false;
       source->mutate_row_count(source->tensor_rows());
       return true;
     }},
    {"add_one_forgotten", "one norm that should be 1 + w is w",
     [](PlanEdit& e) {
       WeightSource* source = SourceWith(e, plan::Transform::add_one);
       if (source != nullptr) source->mutate_transform(plan::Transform::none);
       return source != nullptr;
     }},
    {"add_one_forgotten_throughout", "all norms that should be 1 + w are w",
     [](PlanEdit& e) {
       bool any = false;
       for (const size_t weight : e.Weights("norm.weight")) {
         any = any || e.SourceOf(weight).transform() == plan::Transform::add_one;
         e.SourceOf(weight).mutate_transform(plan::Transform::none);
       }
       return any;
     }},
    {"add_one_added", "one norm that should be w is 1 + w",
     [](PlanEdit& e) {
       WeightSource* source = SourceWith(e, plan::Transform::none);
       if (source != nullptr) source->mutate_transform(plan::Transform::add_one);
       return source != nullptr;
     }},
};

}  // namespace

std::span<const PlanMutant> BlockMutants() { return kMutants; }

}  // namespace mrs::mutation
