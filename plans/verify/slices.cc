#include "plans/verify/slices.h"

namespace mrs::verify {

using plan::Axis;

uint32_t AxisSize(const plan::Plan& plan, Axis axis) {
  switch (axis) {
    case Axis::tp:
      return plan.tp();
    case Axis::ep:
      return plan.ep();
    default:
      return 1;
  }
}

Status CheckSlice(const plan::Plan& plan, const plan::Slice& slice) {
  if (slice.axis() != Axis::none && slice.axis() != Axis::tp && slice.axis() != Axis::ep) {
    return Refuse("a slice along {}, expected none, tp or ep", plan::EnumNameAxis(slice.axis()));
  }
  if (slice.size() == 0 || slice.size() > contract::kMaxWidth) {
    return Refuse("a slice of {} entries, expected 1 to {}", slice.size(), contract::kMaxWidth);
  }
  if (slice.start() != 0) return Refuse("a slice that starts at {}, expected 0", slice.start());
  if (slice.axis() == Axis::none && slice.step() != 0) {
    return Refuse("a slice with step {} along no axis", slice.step());
  }
  if (slice.axis() != Axis::none && slice.step() != static_cast<int64_t>(slice.size())) {
    return Refuse("a slice of {} entries with step {}, expected steps of its size", slice.size(), slice.step());
  }
  const uint32_t ranks = AxisSize(plan, slice.axis());
  if (slice.every() == 0 || ranks % slice.every() != 0) {
    return Refuse("a slice that every {} ranks share, expected a divisor of {}", slice.every(), ranks);
  }
  return Status();
}

uint64_t TotalOf(const plan::Plan& plan, const plan::Slice& slice) {
  return SatMul(slice.size(), AxisSize(plan, slice.axis()) / slice.every());
}

bool TilesOnce(const plan::Plan& plan, const plan::Slice& slice, uint64_t total) {
  return slice.every() == 1 && TotalOf(plan, slice) == total;
}

bool SameSlice(const plan::Slice& a, const plan::Slice& b) {
  return a.start() == b.start() && a.step() == b.step() && a.size() == b.size() && a.every() == b.every() &&
         a.axis() == b.axis();
}

}  // namespace mrs::verify
