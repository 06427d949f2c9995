#include "plans/weight_digests.h"

#include <algorithm>

#include "plans/tensor_parts.h"
#include "plans/verify/context.h"

namespace mrs {
namespace {

using plan::Axis;

const plan::Slice& SplitOf(const plan::WeightSource& source) {
  return source.rows().axis() != Axis::none ? source.rows() : source.columns();
}

uint64_t SizeOf(const plan::Plan& plan, Axis axis) {
  switch (axis) {
    case Axis::tp:
      return plan.tp();
    case Axis::ep:
      return plan.ep();
    case Axis::stage:
      return plan.stages()->size();
    case Axis::dp:
      return plan.dp();
    case Axis::none:
      break;
  }
  return 1;
}

}  // namespace

Axis AxisOf(const plan::WeightSource& source) { return SplitOf(source).axis(); }

uint64_t SlicesOf(const plan::Plan& plan, const plan::WeightSource& source) {
  const uint64_t every = std::max<uint64_t>(1, SplitOf(source).every());
  return (std::max<uint64_t>(1, SizeOf(plan, AxisOf(source))) + every - 1) / every;
}

uint64_t SliceOf(const plan::WeightSource& source, const plan::Rank& rank) {
  return CoordinateOf(rank, AxisOf(source)) / std::max<uint32_t>(1, SplitOf(source).every());
}

std::vector<uint64_t> DigestStarts(const plan::Plan& plan, const plan::Stage& stage) {
  std::vector<uint64_t> starts = {0};
  starts.reserve(stage.sources()->size() + 1);
  for (const plan::WeightSource* source : *stage.sources()) {
    starts.push_back(verify::SatAdd(starts.back(), SlicesOf(plan, *source)));
  }
  return starts;
}

}  // namespace mrs
