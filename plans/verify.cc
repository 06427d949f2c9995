#include "plans/verify.h"

#include "plans/verify/checks.h"

namespace mrs {
namespace {

using namespace verify;

Status VerifyStage(const StageView& stage) {
  MRS_RETURN_IF_ERROR(CheckReferences(stage));
  MRS_RETURN_IF_ERROR(CheckBuffers(stage));
  MRS_RETURN_IF_ERROR(CheckCacheGeometry(stage));
  MRS_RETURN_IF_ERROR(CheckWeights(stage));
  MRS_RETURN_IF_ERROR(CheckDigests(stage));
  MRS_RETURN_IF_ERROR(CheckShapes(stage));
  MRS_ASSIGN_OR_RETURN(const Order order, Order::Of(stage));
  MRS_RETURN_IF_ERROR(CheckLaunches(stage, order));
  MRS_RETURN_IF_ERROR(CheckLiveness(stage, order));
  MRS_RETURN_IF_ERROR(CheckCollectives(stage, order));
  MRS_RETURN_IF_ERROR(CheckTransfers(stage, order));
  MRS_RETURN_IF_ERROR(CheckCacheUse(stage, order));
  MRS_RETURN_IF_ERROR(CheckOutputs(stage));
  MRS_RETURN_IF_ERROR(CheckSharding(stage));
  return CheckMemory(stage);
}

}  // namespace

Status VerifyPlan(const plan::Plan& plan) {
  MRS_RETURN_IF_ERROR(CheckValues(plan));
  MRS_RETURN_IF_ERROR(CheckFacts(plan));
  MRS_RETURN_IF_ERROR(CheckWorld(plan));
  Budget budget;
  for (uint32_t i = 0; i < plan.stages()->size(); ++i) {
    MRS_RETURN_IF_ERROR(VerifyStage(StageView(plan, i, &budget)));
  }
  MRS_RETURN_IF_ERROR(CheckStagesTogether(plan));
  return CheckTensors(plan);
}

}  // namespace mrs
