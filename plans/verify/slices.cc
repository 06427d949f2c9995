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

Status CheckSlice(const plan::Slice& slice) {
  if (slice.axis() != Axis::none && slice.axis() != Axis::tp && slice.axis() != Axis::ep) {
    return Refuse("a slice along {}, expected none, tp or ep", plan::EnumNameAxis(slice.axis()));
  }
  if (slice.every() == 0) return Refuse("a slice whose 'every' is 0");
  if (slice.size() == 0 || slice.size() > contract::kMaxWidth) {
    return Refuse("a slice of {} entries, expected 1 to {}", slice.size(), contract::kMaxWidth);
  }
  if (slice.axis() == Axis::none && slice.step() != 0)
    return Refuse("a slice with step {} along no axis", slice.step());
  return Status();
}

std::optional<Range> RangeAt(const plan::Slice& slice, Coordinate at) {
  const uint32_t c = slice.axis() == Axis::tp ? at.tp : slice.axis() == Axis::ep ? at.ep : 0;
  int64_t begin;
  if (__builtin_mul_overflow(slice.step(), static_cast<int64_t>(c / slice.every()), &begin) ||
      __builtin_add_overflow(slice.start(), begin, &begin) || begin < 0) {
    return std::nullopt;
  }
  const uint64_t end = SatAdd(static_cast<uint64_t>(begin), slice.size());
  if (end > contract::kMaxArenaBytes) return std::nullopt;
  return Range{static_cast<uint64_t>(begin), end};
}

bool TilesInOrder(const plan::Slice& slice, uint64_t total, const plan::Plan& plan) {
  const uint32_t parts = AxisSize(plan, slice.axis());
  if (slice.start() != 0 || slice.every() != 1 || SatMul(slice.size(), parts) != total) return false;
  return parts == 1 || slice.step() == static_cast<int64_t>(slice.size());
}

bool SameSlice(const plan::Slice& a, const plan::Slice& b) {
  return a.start() == b.start() && a.step() == b.step() && a.size() == b.size() && a.every() == b.every() &&
         a.axis() == b.axis();
}

}  // namespace mrs::verify
