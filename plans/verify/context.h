// What all parts of the verifier share: views on the plan's vectors, saturating arithmetic, a budget of work, errors.
//
//   const StageView stage(plan, 0, &budget);
//   return stage.AtStep(42, "reads {} past its end", n);   // "stage 0 step 42 'l3.o_proj': reads 7 past its end"
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "plans/contract.h"
#include "plans/dtype.h"
#include "plans/plan_generated.h"
#include "plans/schedule/schedule.h"
#include "plans/status.h"
#include "plans/step_view.h"

namespace mrs::verify {

// Saturate at the top of uint64, which is past every limit: a sum that would wrap is refused by the limit it meets.
inline uint64_t SatAdd(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<uint64_t>::max() : sum;
}
inline uint64_t SatMul(uint64_t a, uint64_t b) {
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<uint64_t>::max() : product;
}
inline uint64_t RoundUp(uint64_t value, uint64_t multiple) { return SatAdd(value, multiple - 1) / multiple * multiple; }

// Steps of work that all parts together may spend, so that no plan makes its check slow.
class Budget {
 public:
  bool Spend(uint64_t amount) {
    if (amount > left_) return false;
    left_ -= amount;
    return true;
  }
  static Error Exhausted(std::string_view what) {
    return Refuse("checking {} would take too long for any plan that mrs-plan writes", what);
  }

 private:
  uint64_t left_ = uint64_t{1} << 26;
};

template <typename T>
std::span<const T> View(const flatbuffers::Vector<const T*>* vector) {
  return {reinterpret_cast<const T*>(vector->Data()), vector->size()};
}

// One stage, its vectors as spans. Ranges and indices are safe to follow once CheckReferences has passed.
struct StageView {
  StageView(const plan::Plan& whole, uint32_t stage_index, Budget* work);

  std::span<const plan::Ref> Operands(const plan::Step& step) const {
    return refs.subspan(step.operand_begin(), step.operand_count());
  }
  std::span<const plan::Ref> Results(const plan::Step& step) const {
    return refs.subspan(step.operand_begin() + step.operand_count(), step.result_count());
  }
  std::span<const uint32_t> Deps(const plan::Step& step) const {
    return deps.subspan(step.dep_count() == 0 ? 0 : step.dep_begin(), step.dep_count());
  }
  // The step that its launch begins with; CheckLaunches has passed.
  uint32_t LaunchOf(uint32_t step) const {
    while (std::ranges::binary_search(joined, step)) --step;
    return step;
  }
  // Shows the visitor the step by its operation (plans/step_view.h); CheckReferences has passed.
  template <typename Visitor>
  auto Visit(uint32_t step, Visitor&& visitor) const {
    return plan::VisitStep(plan, stage, steps[step], std::forward<Visitor>(visitor));
  }
  std::string_view Name(uint32_t name) const { return plan.names()->Get(name)->string_view(); }
  std::string_view BufferName(uint32_t buffer) const { return Name(buffers[buffer].name()); }
  std::string_view BufferName(plan::BufferRef buffer) const { return BufferName(buffer.index); }
  const plan::Buffer& At(plan::BufferRef buffer) const { return buffers[buffer.index]; }
  const plan::Weight& At(plan::WeightRef weight) const { return weights[weight.index]; }
  std::string_view WeightName(plan::WeightRef weight) const { return Name(At(weight).name()); }
  // A vector is f32, element after element; any other weight is a packed matrix.
  bool IsVector(const plan::Weight& weight) const {
    return plan.encodings()->Get(weight.encoding())->kind() == plan::EncodingKind::dense;
  }
  uint64_t RowCount(const plan::Bucket& bucket, plan::Rows rows) const;
  uint64_t BufferBytes(const plan::Bucket& bucket, const plan::Buffer& buffer) const;

  std::string StepLabel(uint32_t step) const;  // "step 42 'l3.o_proj'"
  template <typename... Args>
  Error AtStep(uint32_t step, fmt::format_string<Args...> format, Args&&... args) const {
    return Refuse("stage {} {}: {}", index, StepLabel(step), fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  Error AtWeight(uint32_t weight, fmt::format_string<Args...> format, Args&&... args) const {
    return Refuse("stage {} weight '{}': {}", index, Name(weights[weight].name()),
                  fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  Error AtBuffer(uint32_t buffer, fmt::format_string<Args...> format, Args&&... args) const {
    return Refuse("stage {} buffer '{}': {}", index, BufferName(buffer),
                  fmt::format(format, std::forward<Args>(args)...));
  }

  const plan::Plan& plan;
  const plan::Stage& stage;
  uint32_t index;
  Budget& budget;
  std::span<const plan::Step> steps;
  std::span<const uint32_t> joined;
  std::span<const plan::Ref> refs;
  std::span<const uint32_t> deps;
  std::span<const plan::Buffer> buffers;
  std::span<const plan::Bucket> buckets;
  std::span<const uint64_t> placements;  // [bucket][buffer]
  std::span<const plan::Weight> weights;
  std::span<const plan::WeightSource> sources;
  std::span<const plan::Collective> collectives;
  std::span<const plan::Transfer> transfers;
  std::span<const plan::KvClass> kv_classes;
};

// True where a step runs in `variant` (candidates or all_logits).
inline bool RunsIn(const plan::Step& step, plan::Variant variant) {
  return step.variant() == plan::Variant::always || step.variant() == variant;
}
inline constexpr plan::Variant kVariants[] = {plan::Variant::candidates, plan::Variant::all_logits};

}  // namespace mrs::verify
