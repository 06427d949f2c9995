// What the executor hands back: the buffers that the stage names, each the first result of the last step of its variant,
// so that nothing writes over it.
#include <optional>

#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::DType;
using plan::OpKind;
using plan::Rows;
using plan::Variant;

std::optional<uint32_t> LastStep(const StageView& stage, Variant variant) {
  for (uint32_t i = static_cast<uint32_t>(stage.steps.size()); i-- > 0;) {
    if (RunsIn(stage.steps[i], variant)) return i;
  }
  return std::nullopt;
}

// Bytes of the record of one rank, of the step that makes it.
std::optional<uint64_t> RecordBytes(const StageView& stage) {
  for (const plan::Step& step : stage.steps) {
    if (step.op() != OpKind::top_candidates || !RunsIn(step, Variant::candidates)) continue;
    return stage.buffers[stage.Results(step)[0].index()].width();
  }
  return std::nullopt;
}

Status CheckOutput(const StageView& stage, Variant variant, uint32_t named, DType dtype, uint64_t width) {
  const std::optional<uint32_t> last = LastStep(stage, variant);
  if (!last) return Refuse("stage {}: no step runs in {}", stage.index, plan::EnumNameVariant(variant));
  const plan::Step& step = stage.steps[*last];
  if (step.result_count() == 0) {
    return stage.AtStep(*last, "is the last of {} and yields nothing", plan::EnumNameVariant(variant));
  }
  const uint32_t result = stage.Results(step)[0].index();
  if (named != result) {
    return Refuse("stage {}: its result of {} is buffer {}, but the last step of that variant yields buffer {}", stage.index,
                  plan::EnumNameVariant(variant), named, result);
  }
  const plan::Buffer& out = stage.buffers[result];
  if (out.dtype() == dtype && out.rows() == Rows::logit_rows && out.width() == width) return Status();
  return stage.AtStep(*last, "is the last of {} and yields {} [{}, {}], expected {} [logit_rows, {}]",
                      plan::EnumNameVariant(variant), plan::EnumNameDType(out.dtype()), plan::EnumNameRows(out.rows()),
                      out.width(), plan::EnumNameDType(dtype), width);
}

}  // namespace

Status CheckOutputs(const StageView& stage) {
  if (stage.index + 1 != stage.plan.stages()->size()) {
    const plan::Stage& tables = *stage.plan.stages()->Get(stage.index);
    if (tables.candidates_buffer() == contract::kNone && tables.logits_buffer() == contract::kNone) return Status();
    return Refuse("stage {}: names buffers {} and {} as its results, expected none: only the last stage answers",
                  stage.index, tables.candidates_buffer(), tables.logits_buffer());
  }
  const std::optional<uint64_t> record = RecordBytes(stage);
  if (!record) return Refuse("stage {}: no step makes candidates", stage.index);
  const plan::Stage& tables = *stage.plan.stages()->Get(stage.index);
  MRS_RETURN_IF_ERROR(CheckOutput(stage, Variant::candidates, tables.candidates_buffer(), DType::u8,
                                  SatMul(stage.plan.tp(), *record)));
  return CheckOutput(stage, Variant::all_logits, tables.logits_buffer(), DType::f32, stage.plan.model()->vocab_padded());
}

}  // namespace mrs::verify
