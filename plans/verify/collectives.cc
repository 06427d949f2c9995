// Every rank of a group issues the same collectives in the same order: the schedule counts 0, 1, 2, ... in each
// variant's program, each entry waits for the one before it, and each algorithm fits what it is asked for.
#include <vector>

#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::CollectiveAlgorithm;
using plan::DType;
using plan::OpKind;
using plan::Reduction;
using plan::Variant;

constexpr uint32_t kNone = UINT32_MAX;

Status CheckAlgorithm(const StageView& stage, uint32_t step) {
  const plan::Collective& entry = stage.collectives[stage.steps[step].attr()];
  const plan::Group& group = *stage.plan.groups()->Get(entry.group());
  const char* algorithm = plan::EnumNameCollectiveAlgorithm(entry.algorithm());
  if (stage.steps[step].op() == OpKind::all_gather) {
    if (entry.algorithm() == CollectiveAlgorithm::gather) return Status();
    return stage.AtStep(step, "algorithm {} does not gather, expected gather", algorithm);
  }
  if (entry.dtype() != DType::f32) {
    return stage.AtStep(step, "reduces {}, expected f32", plan::EnumNameDType(entry.dtype()));
  }
  switch (entry.algorithm()) {
    case CollectiveAlgorithm::doubling:
    case CollectiveAlgorithm::halving_doubling:
    case CollectiveAlgorithm::gather_add:
      if (IsPowerOfTwo(group.count())) return Status();
      return stage.AtStep(step, "algorithm {} needs a power of two of ranks, group {} has {}", algorithm, entry.group(),
                          group.count());
    case CollectiveAlgorithm::rank_order:
      if (stage.plan.numerics()->reduction() == Reduction::rank_order) return Status();
      return stage.AtStep(step, "sums in rank order, but numerics.reduction is canonical");
    default:
      return stage.AtStep(step, "algorithm {} does not reduce", algorithm);
  }
}

// All ranks of the stage take part: each in its own replica's group along the same axis.
Status CheckMembers(const StageView& stage, uint32_t step) {
  const plan::Collective& entry = stage.collectives[stage.steps[step].attr()];
  const plan::Group& group = *stage.plan.groups()->Get(entry.group());
  if (group.axis() != plan::Axis::tp) {
    return stage.AtStep(step, "runs over a group along {}, expected tp", plan::EnumNameAxis(group.axis()));
  }
  if (entry.group() != stage.stage.tp_group()) {
    return stage.AtStep(step, "runs over group {}, expected the stage's group {}", entry.group(),
                        stage.stage.tp_group());
  }
  return Status();
}

Status CheckSchedule(const StageView& stage, const Order& order, Variant variant) {
  std::vector<uint32_t> last(stage.plan.groups()->size(), kNone);
  std::vector<uint32_t> count(stage.plan.groups()->size(), 0);
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    const plan::Step& step = stage.steps[i];
    if (!RunsIn(step, variant) || (step.op() != OpKind::all_reduce && step.op() != OpKind::all_gather)) continue;
    const plan::Collective& entry = stage.collectives[step.attr()];
    if (entry.order() != count[entry.group()]) {
      return stage.AtStep(i, "is number {} in the schedule of group {}, but {} in the program of {}", entry.order(),
                          entry.group(), count[entry.group()], plan::EnumNameVariant(variant));
    }
    ++count[entry.group()];
    uint32_t& before = last[entry.group()];
    if (before != kNone && !order.Before(before, i)) {
      return stage.AtStep(i, "does not wait for {}, the collective before it: ranks could issue them in either order",
                          stage.StepLabel(before));
    }
    before = i;
  }
  return Status();
}

}  // namespace

Status CheckCollectives(const StageView& stage, const Order& order) {
  std::vector<uint32_t> user(stage.collectives.size(), kNone);
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    const plan::Step& step = stage.steps[i];
    if (step.op() != OpKind::all_reduce && step.op() != OpKind::all_gather) continue;
    if (user[step.attr()] != kNone) {
      return stage.AtStep(i, "uses entry {} of the schedule, which is {}'s", step.attr(),
                          stage.StepLabel(user[step.attr()]));
    }
    user[step.attr()] = i;
    MRS_RETURN_IF_ERROR(CheckMembers(stage, i));
    MRS_RETURN_IF_ERROR(CheckAlgorithm(stage, i));
  }
  for (size_t entry = 0; entry < user.size(); ++entry) {
    if (user[entry] == kNone) return Refuse("stage {}: no step issues collective {}", stage.index, entry);
  }
  for (const Variant variant : kVariants) MRS_RETURN_IF_ERROR(CheckSchedule(stage, order, variant));
  return Status();
}

}  // namespace mrs::verify
