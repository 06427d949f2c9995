// Which steps a device runs in one launch: only such as there is a kernel for, each after the one that it follows, and
// what the first leaves for the second alone is read by nobody else, as it may be written nowhere.
#include <algorithm>
#include <iterator>

#include "plans/collectives.h"
#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::OpKind;
using plan::RefSpace;

// First and second, the latter operations of CUDA ranks alone (shapes.cc).
constexpr std::pair<OpKind, OpKind> kKernels[] = {{OpKind::all_reduce, OpKind::add_rms_norm},
                                                  {OpKind::matmul, OpKind::add_rms_norm},
                                                  {OpKind::matmul, OpKind::rope_append}};
constexpr bool NoneIsBoth() {
  return std::ranges::none_of(kKernels, [](const auto& a) {
    return std::ranges::any_of(kKernels, [&](const auto& b) { return a.first == b.second; });
  });
}
static_assert(NoneIsBoth(), "a launch has two steps; of three, StageView::LaunchOf and the messages below say more");

constexpr uint64_t kOutputsOfABlock = 16;  // of a product's kernel, which turns a pair of them together

bool IsBuffer(const plan::Ref& ref, uint32_t buffer) {
  return ref.space() == RefSpace::buffer && ref.index() == buffer;
}

Status CheckNumbers(const StageView& stage) {
  uint32_t least = 1;  // the first step follows none
  for (const uint32_t step : stage.joined) {
    if (step < least || step >= stage.steps.size()) {
      return Refuse(
          "stage {}: step {} is listed as one launch with the step before it, expected {} to {} in ascending order",
          stage.index, step, least, stage.steps.size() - 1);
    }
    least = step + 1;
  }
  return Status();
}

// A launch begins when its first step may.
Status CheckWaits(const StageView& stage, const Order& order, uint32_t i) {
  for (const uint32_t dep : stage.Deps(stage.steps[i])) {
    if (dep == i - 1 || order.Before(dep, i - 1)) continue;
    return stage.AtStep(i, "is one launch with {}, and waits for {}, which that does not", stage.StepLabel(i - 1),
                        stage.StepLabel(dep));
  }
  return Status();
}

// Of a result of the step before `i`: no step after `i` reads it.
Status CheckKept(const StageView& stage, uint32_t i, uint32_t result) {
  for (uint32_t reader = i + 1; reader < stage.steps.size(); ++reader) {
    const auto operands = stage.Operands(stage.steps[reader]);
    if (std::ranges::none_of(operands, [&](const plan::Ref& ref) { return IsBuffer(ref, result); })) continue;
    return stage.AtStep(reader, "reads '{}', which {} and {} keep to their launch", stage.BufferName(result),
                        stage.StepLabel(i - 1), stage.StepLabel(i));
  }
  return Status();
}

// A product, or a sum of ranks that read each other's memory, and the residual's sum and its norm.
Status CheckSumAndNorm(const StageView& stage, uint32_t i) {
  const plan::Step &first = stage.steps[i - 1], &norm = stage.steps[i];
  if (first.op() == OpKind::all_reduce && !SumsByPeers(CollectivesOf(stage.plan))) {
    return stage.AtStep(i, "is one launch with {}, which only peer memory allows (--collectives ipc), not {}",
                        stage.StepLabel(i - 1), CollectivesName(CollectivesOf(stage.plan)));
  }
  if (first.result_count() != 1) {
    return stage.AtStep(i, "is one launch with {}, which has {} results, expected one, to be added",
                        stage.StepLabel(i - 1), first.result_count());
  }
  const uint32_t summed = stage.Results(first)[0].index();
  const auto is_sum = [&](const plan::Ref& ref) { return IsBuffer(ref, summed); };
  if (std::ranges::count_if(stage.Operands(norm).first(2), is_sum) != 1) {
    return stage.AtStep(i, "is one launch with {}, and does not add its result '{}' to another", stage.StepLabel(i - 1),
                        stage.BufferName(summed));
  }
  return CheckKept(stage, i, summed);
}

// Products of Q, K and V, and the rotation of their heads: all of each, by halves of whole blocks of its dimensions.
Status CheckProductsAndAppend(const StageView& stage, uint32_t i) {
  const std::span<const plan::Ref> made = stage.Results(stage.steps[i - 1]);
  const std::span<const plan::Ref> read = stage.Operands(stage.steps[i]);
  const auto is_made = [&](const plan::Ref& ref) {
    return std::ranges::any_of(made, [&](const plan::Ref& result) { return IsBuffer(ref, result.index()); });
  };
  const bool in_order = std::ranges::equal(made, read.first(3), [](const plan::Ref& result, const plan::Ref& operand) {
    return IsBuffer(operand, result.index());
  });
  if (!in_order || std::ranges::any_of(read.subspan(3), is_made)) {
    return stage.AtStep(i, "is one launch with {}, and reads others than its results as q, k and v, or these otherwise",
                        stage.StepLabel(i - 1));
  }
  const plan::RopeAppendAttr& attr = *stage.stage.rope_appends()->Get(stage.steps[i].attr());
  const uint64_t turned = uint64_t{2} * stage.plan.ropes()->Get(attr.rope())->inv_freq()->size();
  if (attr.interleaved() || turned != attr.head_dim() || turned % (2 * kOutputsOfABlock) != 0) {
    return stage.AtStep(i,
                        "is one launch with {}, and turns {} of {} dimensions of a head{}, expected all, by halves "
                        "that are multiples of {}",
                        stage.StepLabel(i - 1), turned, attr.head_dim(), attr.interleaved() ? ", interleaved" : "",
                        kOutputsOfABlock);
  }
  for (const plan::Ref& result : made) MRS_RETURN_IF_ERROR(CheckKept(stage, i, result.index()));
  return Status();
}

}  // namespace

Status CheckLaunches(const StageView& stage, const Order& order) {
  MRS_RETURN_IF_ERROR(CheckNumbers(stage));
  for (const uint32_t i : stage.joined) {
    const plan::Step &first = stage.steps[i - 1], &second = stage.steps[i];
    if (!stage.budget.Spend(stage.steps.size() * first.result_count())) {
      return Budget::Exhausted("which steps are one launch");
    }
    if (std::ranges::find(kKernels, std::pair(first.op(), second.op())) == std::end(kKernels)) {
      return stage.AtStep(i,
                          "is one launch with {}, but {} and {} are no kernel; add_rms_norm is one with an all_reduce "
                          "or a matmul before it, rope_append with a matmul",
                          stage.StepLabel(i - 1), plan::EnumNameOpKind(first.op()), plan::EnumNameOpKind(second.op()));
    }
    if (first.variant() != second.variant()) {
      return stage.AtStep(i, "is one launch with {}, which does not run whenever it does", stage.StepLabel(i - 1));
    }
    MRS_RETURN_IF_ERROR(CheckWaits(stage, order, i));
    MRS_RETURN_IF_ERROR(second.op() == OpKind::rope_append ? CheckProductsAndAppend(stage, i)
                                                           : CheckSumAndNorm(stage, i));
  }
  return Status();
}

}  // namespace mrs::verify
