// Of plans for GPUs: what several operations are as one (mrs-fuse-steps), each wrong in what one of them means.
#include <algorithm>
#include <utility>

#include "tests/mutation/plan_mutants.h"

namespace mrs::mutation {
namespace {

using plan::OpKind;
using plan::Ref;
using plan::RefSpace;

bool IsGated(const Instruction& instruction) {
  return instruction.step.op() == OpKind::matmul_silu_mul || instruction.step.op() == OpKind::matmul_gelu_mul;
}
// One, drawn.
std::optional<size_t> Gated(PlanEdit& edit) {
  std::vector<size_t> all;
  for (size_t i = 0; i < edit.steps.size(); ++i) {
    if (IsGated(edit.steps[i])) all.push_back(i);
  }
  if (all.empty()) return std::nullopt;
  return all[edit.Draw(all.size())];
}

// An operand of two steps of a kind, in the first and in the last.
bool ExchangeOperand(PlanEdit& edit, const std::vector<size_t>& all, size_t operand) {
  if (all.size() < 2) return false;
  Ref &a = edit.steps[all.front()].operands[operand], &b = edit.steps[all.back()].operands[operand];
  if (a.index() == b.index() || a.space() != b.space()) return false;
  std::swap(a, b);
  return true;
}

// operands[to] = operands[from].
bool ReadsTwice(PlanEdit& edit, std::optional<size_t> step, size_t from, size_t to) {
  if (!step) return false;
  Ref &kept = edit.steps[*step].operands[from], &lost = edit.steps[*step].operands[to];
  if (kept.index() == lost.index()) return false;
  lost = kept;
  return true;
}

template <typename Change>
bool ChangeAppend(PlanEdit& edit, Change change) {
  const auto step = edit.One(OpKind::rope_append);
  if (!step) return false;
  change(edit.stage.rope_appends[edit.steps[*step].step.attr()]);
  return true;
}

constexpr PlanMutant kMutants[] = {
    {"fused_norm_doubles_residual", "a residual sum with its norm adds the residual to itself",
     [](PlanEdit& e) { return ReadsTwice(e, e.One(OpKind::add_rms_norm), 0, 1); }},
    {"fused_norm_doubles_sum", "a residual sum with its norm adds what is added to itself",
     [](PlanEdit& e) { return ReadsTwice(e, e.One(OpKind::add_rms_norm), 1, 0); }},
    {"fused_norm_weights_exchanged", "two residual sums have each other's norm",
     [](PlanEdit& e) { return ExchangeOperand(e, e.All(OpKind::add_rms_norm), 2); }},
    {"fused_norm_eps", "the eps of a residual sum's norm",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::add_rms_norm);
       if (step) e.NormOf(*step).eps *= 2;
       return step.has_value();
     }},
    {"fused_sum_left_out", "who reads a residual sum reads the residual as it was before",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::add_rms_norm);
       if (!step) return false;
       e.Redirect(e.steps[*step].results[0].index(), e.steps[*step].operands[0].index(), *step + 1);
       return true;
     }},
    {"fused_append_kv_exchanged", "K is appended as V and V, turned, as K",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::rope_append);
       if (step) std::swap(e.steps[*step].operands[1], e.steps[*step].operands[2]);
       return step.has_value();
     }},
    {"fused_append_values_twice", "V is what K is",
     [](PlanEdit& e) { return ReadsTwice(e, e.One(OpKind::rope_append), 1, 2); }},
    {"fused_append_layers_exchanged", "two layers append to each other's cache",
     [](PlanEdit& e) {
       const auto all = e.All(OpKind::rope_append);
       if (all.size() < 2) return false;
       auto &a = e.stage.rope_appends[e.steps[all[0]].step.attr()],
            &b = e.stage.rope_appends[e.steps[all[1]].step.attr()];
       if (a.kv_class() != b.kv_class()) return false;
       const uint32_t layer = a.kv_layer();
       a.mutate_kv_layer(b.kv_layer());
       b.mutate_kv_layer(layer);
       return true;
     }},
    {"fused_append_other_pairs", "neighbours are turned where halves are, or the other way",
     [](PlanEdit& e) {
       return ChangeAppend(e, [](plan::RopeAppendAttr& attr) { attr.mutate_interleaved(!attr.interleaved()); });
     }},
    {"fused_gate_up_exchanged", "up is gated by gate",
     [](PlanEdit& e) {
       const auto step = Gated(e);
       if (!step) return false;
       std::swap(e.steps[*step].operands[1], e.steps[*step].operands[3]);
       std::swap(e.steps[*step].operands[2], e.steps[*step].operands[4]);
       return true;
     }},
    {"fused_gate_twice", "gate is gated by itself", [](PlanEdit& e) { return ReadsTwice(e, Gated(e), 1, 3); }},
    {"fused_gate_of_other_layer", "two layers have each other's gate",
     [](PlanEdit& e) {
       std::vector<size_t> all;
       for (size_t i = 0; i < e.steps.size(); ++i) {
         if (IsGated(e.steps[i])) all.push_back(i);
       }
       return ExchangeOperand(e, all, 1);
     }},
    {"fused_gelu_other_way", "GELU by tanh where it is by erf, or the other way",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::matmul_gelu_mul);
       if (!step) return false;
       bool& approximate = e.stage.glus[e.steps[*step].step.attr()]->approximate;
       approximate = !approximate;
       return true;
     }},
    {"fused_gate_by_other_activation", "SiLU where it is GELU",
     [](PlanEdit& e) {
       const auto step = e.One(OpKind::matmul_gelu_mul);
       if (step) e.steps[*step].step.mutate_op(OpKind::matmul_silu_mul), e.steps[*step].step.mutate_attr(0);
       return step.has_value();
     }},
};

}  // namespace

std::span<const PlanMutant> FusedMutants() { return kMutants; }

}  // namespace mrs::mutation
