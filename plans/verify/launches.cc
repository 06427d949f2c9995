// Which steps a device runs in one launch: only such as there is a kernel for, each after the one that it follows, and
// what the first leaves for the second alone is read by nobody else, as it may be written nowhere.
#include "plans/collectives.h"
#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::OpKind;
using plan::RefSpace;

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

// A sum of ranks that read each other's memory, and the residual's sum and its norm.
Status CheckSumAndNorm(const StageView& stage, uint32_t i) {
  const plan::Step &sum = stage.steps[i - 1], &norm = stage.steps[i];
  if (CollectivesOf(stage.plan) != Collectives::kIpc) {
    return stage.AtStep(i, "is one launch with {}, which only peer memory allows (--collectives ipc), not {}",
                        stage.StepLabel(i - 1), CollectivesName(CollectivesOf(stage.plan)));
  }
  if (sum.variant() != norm.variant()) {
    return stage.AtStep(i, "is one launch with {}, which does not run whenever it does", stage.StepLabel(i - 1));
  }
  if (const std::span<const uint32_t> deps = stage.Deps(norm); deps.size() != 1 || deps[0] != i - 1) {
    return stage.AtStep(i, "is one launch with {}, and waits for something else than that alone",
                        stage.StepLabel(i - 1));
  }
  const uint32_t summed = stage.Results(sum)[0].index();
  const std::span<const plan::Ref> added = stage.Operands(norm).first(2);
  const auto is_sum = [&](const plan::Ref& ref) { return ref.space() == RefSpace::buffer && ref.index() == summed; };
  if (std::ranges::count_if(added, is_sum) != 1) {
    return stage.AtStep(i, "is one launch with {}, and does not add its result '{}' to another", stage.StepLabel(i - 1),
                        stage.BufferName(summed));
  }
  for (uint32_t reader = i + 1; reader < stage.steps.size(); ++reader) {
    if (std::ranges::none_of(stage.Operands(stage.steps[reader]), is_sum)) continue;
    return stage.AtStep(reader, "reads '{}', which {} and {} keep to their launch", stage.BufferName(summed),
                        stage.StepLabel(i - 1), stage.StepLabel(i));
  }
  return Status();
}

}  // namespace

Status CheckLaunches(const StageView& stage) {
  MRS_RETURN_IF_ERROR(CheckNumbers(stage));
  for (const uint32_t i : stage.joined) {
    if (!stage.budget.Spend(stage.steps.size())) return Budget::Exhausted("which steps are one launch");
    const OpKind first = stage.steps[i - 1].op(), second = stage.steps[i].op();
    if (first != OpKind::all_reduce || second != OpKind::add_rms_norm) {
      return stage.AtStep(i, "is one launch with {}, but {} and {} are no kernel; all_reduce and add_rms_norm are",
                          stage.StepLabel(i - 1), plan::EnumNameOpKind(first), plan::EnumNameOpKind(second));
    }
    MRS_RETURN_IF_ERROR(CheckSumAndNorm(stage, i));
  }
  return Status();
}

}  // namespace mrs::verify
