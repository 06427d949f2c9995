// A step by the names of what it reads and writes, instead of by numbers into the plan's vectors.
//
//   struct Sums {
//     Launch operator()(const plan::AddStep& add) { return Sum(add.a, add.b, add.y); }
//     Launch operator()(const plan::MatmulStep& matmul) { for (const auto& part : matmul.parts) ... }
//     ...
//   };
//   const Launch launch = VisitStep(plan, stage, step, Sums{...});
//
// One struct an operation, its members in the order of plan.fbs. Whoever gives each its meaning is a visitor with one
// overload a struct: one that knows no such operation does not compile.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs::plan {

// Indices into Stage.buffers and Stage.weights: types of their own, so that none is taken for the other.
struct BufferRef {
  uint32_t index = 0;
};
struct WeightRef {
  uint32_t index = 0;
};

struct EmbedStep {
  BufferRef ids;
  WeightRef table;
  BufferRef y;
  const EmbedAttr* attr;
};
struct RopeAnglesStep {
  BufferRef positions, y;
  uint32_t rope;  // Plan.ropes
};
struct RmsNormStep {
  BufferRef x;
  WeightRef weight;
  BufferRef y;
  const NormAttr* attr;
};
struct LayerNormStep {
  BufferRef x;
  WeightRef weight, bias;
  BufferRef y;
  const NormAttr* attr;
};
struct SumSquaresStep {
  BufferRef x, y;
  const SumSquaresAttr* attr;
};
struct RmsScaleStep {
  BufferRef x, sum;
  WeightRef weight;
  BufferRef y;
  const RmsScaleAttr* attr;
};
struct ScaleStep {
  BufferRef x, y;
  const ScaleAttr* attr;
};
struct SoftCapStep {
  BufferRef x, y;
  const ScaleAttr* attr;
};
struct PositionScaleStep {
  BufferRef x, positions, y;
  const PositionScaleAttr* attr;
};
struct MatmulStep {
  struct Part {
    WeightRef weight;
    std::optional<WeightRef> bias;
    BufferRef y;
  };
  BufferRef x;
  std::vector<Part> parts;  // one or more
};
struct RopeStep {
  BufferRef x, cos_sin, y;
  const HeadsAttr* attr;
};
struct KvAppendStep {
  BufferRef k, v, slots;
  const AttentionAttr* attr;
};
struct AttentionStep {
  BufferRef q, sequence, positions, block_table, y;
  const AttentionAttr* attr;
};
struct SiluMulStep {
  BufferRef gate, up, y;
};
struct GeluMulStep {
  BufferRef gate, up, y;
  const GluAttr* attr;
};
struct AddStep {
  BufferRef a, b, y;
};
struct AddBiasStep {
  BufferRef a;
  WeightRef bias;
  BufferRef y;
};
struct SelectRowsStep {
  BufferRef x, rows, y;
};
struct TopCandidatesStep {
  BufferRef logits, records;
  const TopCandidatesAttr* attr;
};
struct AllReduceStep {
  BufferRef x, y;
  const Collective* attr;
};
struct AllGatherStep {
  BufferRef x, y;
  const Collective* attr;
};
struct SendStep {
  BufferRef x;
  const Transfer* attr;
};
struct RecvStep {
  BufferRef y;
  const Transfer* attr;
};

struct AddRmsNormStep {
  BufferRef a, b;
  WeightRef weight;
  BufferRef sum, y;
  const NormAttr* attr;
};
struct RopeAppendStep {
  BufferRef q, k, v, cos_sin, slots, y;
  const RopeAppendAttr* attr;
};
// What both of the following are: a visitor to whom it is all the same has one overload for them.
struct GatedMatmul {
  BufferRef x;
  MatmulStep::Part gate, up;  // whose y are memory for this step alone
  BufferRef y;
};
struct MatmulSiluMulStep : GatedMatmul {};
struct MatmulGeluMulStep : GatedMatmul {
  const GluAttr* attr;
};

using StepView =
    std::variant<EmbedStep, RopeAnglesStep, RmsNormStep, LayerNormStep, SumSquaresStep, RmsScaleStep, ScaleStep,
                 SoftCapStep, PositionScaleStep, MatmulStep, RopeStep, KvAppendStep, AttentionStep, SiluMulStep,
                 GeluMulStep, AddStep, AddBiasStep, SelectRowsStep, TopCandidatesStep, AllReduceStep, AllGatherStep,
                 SendStep, RecvStep, AddRmsNormStep, RopeAppendStep, MatmulSiluMulStep, MatmulGeluMulStep>;

// The view of a step whose operands and results lie within Stage.refs. Refuses, without saying where, an operation that
// has no view (no version runs it yet), an attribute that is not there, and operands or results that are too many, too
// few, or of the wrong space. What they are indices of is not followed.
Result<StepView> ViewOf(const Plan& plan, const Stage& stage, const Step& step);

// The layer of the KV cache that a step appends or attends to. Its attribute is there.
struct CacheLayer {
  uint32_t kv_class = 0, kv_layer = 0;
};
std::optional<CacheLayer> CacheLayerOf(const Stage& stage, const Step& step);

// What the visitor's overload for a verified step returns.
template <typename Visitor>
auto VisitStep(const Plan& plan, const Stage& stage, const Step& step, Visitor&& visitor) {
  const Result<StepView> view = ViewOf(plan, stage, step);
  MRS_CHECK(view.ok());
  return std::visit(std::forward<Visitor>(visitor), *view);
}

}  // namespace mrs::plan
