// The log-sum-exp of a vocabulary, from partials that any layout cuts at the same places.
#include <limits>

#include "kernels/kernels.h"
#include "kernels/math.h"
#include "kernels/reference/reference.h"

namespace mrs::kernels {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace

LsePartial ChunkLse(const float* logits, int64_t count) {
  float max = kMinusInfinity;
  for (int64_t i = 0; i < count; ++i) max = logits[i] > max ? logits[i] : max;
  // All -infinity: nothing to take off, and each term is 0.
  const float base = max == kMinusInfinity ? 0.0f : max;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i % kLanes] += Exp(logits[i] - base);
  return {max, reference::SumLanes(lanes)};
}

LsePartial CombineLse(LsePartial a, LsePartial b) {
  const float max = a.max > b.max ? a.max : b.max;
  const float base = max == kMinusInfinity ? 0.0f : max;
  const float left = a.sum * Exp(a.max - base);
  const float right = b.sum * Exp(b.max - base);
  return {max, left + right};
}

LsePartial CombineLseTree(const LsePartial* partials, int64_t count) {
  if (count == 0) return {kMinusInfinity, 0.0f};
  if (count == 1) return partials[0];
  return CombineLse(CombineLseTree(partials, count / 2), CombineLseTree(partials + count / 2, count - count / 2));
}

float LseValue(LsePartial total) { return static_cast<float>(static_cast<double>(total.max) + Log(total.sum)); }

}  // namespace mrs::kernels
