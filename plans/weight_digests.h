// Which digest of a plan is of which slice of the checkpoint. A source that is split along an axis has one for each
// different part, one after the other in the order of coordinates; ranks that hold the same part share it.
//
//   source 7 split 4 ways over tp 8 (every 2)   ->   SlicesOf 4; rank of tp 5 holds slice 2
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "plans/plan_generated.h"

namespace mrs {

inline constexpr std::string_view DigestName(plan::DigestKind kind) {
  return kind == plan::DigestKind::xxh3_128 ? "XXH3-128" : kind == plan::DigestKind::sha256 ? "SHA-256" : "none";
}
inline constexpr uint64_t DigestBytes(plan::DigestKind kind) {
  return kind == plan::DigestKind::xxh3_128 ? 16 : kind == plan::DigestKind::sha256 ? 32 : 0;
}

// The axis along which a source is split; none: all ranks read all of it. A source is split along one at most.
plan::Axis AxisOf(const plan::WeightSource& source);
// How many different parts it has.
uint64_t SlicesOf(const plan::Plan& plan, const plan::WeightSource& source);
// Which of them a rank holds.
uint64_t SliceOf(const plan::WeightSource& source, const plan::Rank& rank);

// Where the first digest of each source is in Stage.digests, and behind the last one where they end; counted in
// digests. Saturates.
std::vector<uint64_t> DigestStarts(const plan::Plan& plan, const plan::Stage& stage);

// Empty where the plan has none of the stage.
inline std::span<const uint8_t> DigestsOf(const plan::Stage& stage) {
  if (stage.digests() == nullptr) return {};
  return {stage.digests()->data(), stage.digests()->size()};
}

}  // namespace mrs
