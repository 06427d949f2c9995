// Every index of the program points at something, every range lies where it may, and every step has as many operands
// and results as its operation takes, buffers and weights where they must be (plans/step_view.h). Ranges follow one
// another without gaps, so that the work of following them all is the size of the file.
#include <algorithm>
#include <vector>

#include "plans/printable.h"
#include "plans/step_view.h"
#include "plans/verify/checks.h"

namespace mrs::verify {
namespace {

using plan::RefSpace;
using plan::Variant;

Status CheckName(const StageView& stage, uint32_t name, std::string_view what, uint64_t number) {
  const uint32_t count = stage.plan.names()->size();
  if (name < count) return Status();
  return Refuse("stage {} {} {}: its name is entry {} of {} names", stage.index, what, number, name, count);
}

Status CheckNames(const StageView& stage) {
  for (const flatbuffers::String* name : *stage.plan.names()) {
    if (name->size() > 1024) return Refuse("a name has {} bytes, at most 1024 are accepted", name->size());
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    if (std::ranges::any_of(name->string_view(), is_control)) {
      return Refuse("name \"{}\" holds control characters", Printable(name->string_view()));
    }
  }
  for (size_t i = 0; i < stage.steps.size(); ++i) {
    MRS_RETURN_IF_ERROR(CheckName(stage, stage.steps[i].name(), "step", i));
  }
  for (size_t i = 0; i < stage.buffers.size(); ++i) {
    MRS_RETURN_IF_ERROR(CheckName(stage, stage.buffers[i].name(), "buffer", i));
  }
  for (size_t i = 0; i < stage.weights.size(); ++i) {
    MRS_RETURN_IF_ERROR(CheckName(stage, stage.weights[i].name(), "weight", i));
  }
  for (uint32_t w = 0; w < stage.weights.size(); ++w) {
    const uint32_t encoding = stage.weights[w].encoding(), count = stage.plan.encodings()->size();
    if (encoding >= count) return stage.AtWeight(w, "its encoding is entry {} of {}", encoding, count);
  }
  for (size_t i = 0; i < stage.sources.size(); ++i) {
    MRS_RETURN_IF_ERROR(CheckName(stage, stage.sources[i].name(), "source", i));
  }
  return Status();
}

Status CheckStep(const StageView& stage, uint32_t i) {
  const plan::Step& step = stage.steps[i];
  const Result<plan::StepView> view = plan::ViewOf(stage.plan, stage.stage, step);
  if (!view) return stage.AtStep(i, "{}", view.message());
  if (step.layer() < -1 || step.layer() >= static_cast<int64_t>(stage.plan.model()->layer_count())) {
    return stage.AtStep(i, "is of layer {}, expected -1 to {}", step.layer(), stage.plan.model()->layer_count() - 1);
  }
  for (const uint32_t dep : stage.Deps(step)) {
    if (dep >= i) return stage.AtStep(i, "depends on step {}, expected an earlier one", dep);
    const Variant variant = stage.steps[dep].variant();
    if (variant != Variant::always && variant != step.variant()) {
      return stage.AtStep(i, "depends on {}, which does not run whenever it does", stage.StepLabel(dep));
    }
  }
  return Status();
}

Status CheckRanges(const StageView& stage) {
  uint64_t next_ref = 0;
  uint64_t next_dep = 0;
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    const plan::Step& step = stage.steps[i];
    const uint64_t ref_count = uint64_t{step.operand_count()} + step.result_count();
    if (step.operand_begin() != next_ref || ref_count > stage.refs.size() - next_ref) {
      return stage.AtStep(i, "its operands and results are entries {} to {} of {}, expected to start at {}",
                          step.operand_begin(), step.operand_begin() + ref_count, stage.refs.size(), next_ref);
    }
    next_ref += ref_count;
    if (step.dep_count() == 0) continue;
    if (step.dep_begin() != next_dep || step.dep_count() > stage.deps.size() - next_dep) {
      return stage.AtStep(i, "its dependencies are entries {} to {} of {}, expected to start at {}", step.dep_begin(),
                          uint64_t{step.dep_begin()} + step.dep_count(), stage.deps.size(), next_dep);
    }
    next_dep += step.dep_count();
  }
  if (next_ref != stage.refs.size() || next_dep != stage.deps.size()) {
    return Refuse("stage {}: its steps use {} of {} operands and results, {} of {} dependencies; expected all",
                  stage.index, next_ref, stage.refs.size(), next_dep, stage.deps.size());
  }
  return Status();
}

Status CheckRefs(const StageView& stage) {
  std::vector<bool> is_read(stage.weights.size());
  for (uint32_t i = 0; i < stage.steps.size(); ++i) {
    for (const plan::Ref& ref : stage.Operands(stage.steps[i])) {
      if (ref.space() == RefSpace::buffer && ref.index() >= stage.buffers.size()) {
        return stage.AtStep(i, "reads buffer {} of {}", ref.index(), stage.buffers.size());
      }
      if (ref.space() != RefSpace::weight) continue;
      if (ref.index() >= stage.weights.size()) {
        return stage.AtStep(i, "reads weight {} of {}", ref.index(), stage.weights.size());
      }
      is_read[ref.index()] = true;
    }
    for (const plan::Ref& ref : stage.Results(stage.steps[i])) {
      if (ref.index() >= stage.buffers.size()) {
        return stage.AtStep(i, "writes buffer {} of {}", ref.index(), stage.buffers.size());
      }
    }
  }
  for (uint32_t w = 0; w < is_read.size(); ++w) {
    if (!is_read[w]) return stage.AtWeight(w, "no step reads it");
  }
  return Status();
}

}  // namespace

Status CheckReferences(const StageView& stage) {
  MRS_RETURN_IF_ERROR(CheckNames(stage));
  MRS_RETURN_IF_ERROR(CheckRanges(stage));
  for (uint32_t i = 0; i < stage.steps.size(); ++i) MRS_RETURN_IF_ERROR(CheckStep(stage, i));
  return CheckRefs(stage);
}

}  // namespace mrs::verify
