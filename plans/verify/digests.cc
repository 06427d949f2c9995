// Digests of weights: of a kind that is known, one for each slice of each source, or none at all.
#include "plans/verify/checks.h"
#include "plans/weight_digests.h"

namespace mrs::verify {

Status CheckDigests(const StageView& stage) {
  const plan::DigestKind kind = stage.plan.digest_kind();
  const uint64_t bytes = DigestsOf(stage.stage).size();
  if (kind == plan::DigestKind::none) {
    if (bytes == 0) return Status();
    return Refuse("stage {}: has {} bytes of digests, and the plan's digest_kind is none", stage.index, bytes);
  }
  for (uint32_t s = 0; s < stage.sources.size(); ++s) {
    const plan::WeightSource& source = stage.sources[s];
    if (source.rows().axis() == plan::Axis::none || source.columns().axis() == plan::Axis::none) continue;
    return Refuse("stage {} source {}: is split in rows and in columns, of which digests know no order", stage.index,
                  s);
  }
  const uint64_t expected = SatMul(DigestStarts(stage.plan, stage.stage).back(), DigestBytes(kind));
  if (bytes == expected) return Status();
  return Refuse("stage {}: has {} bytes of digests, expected {}: {} of {} for each slice of its {} sources",
                stage.index, bytes, expected, DigestBytes(kind), DigestName(kind), stage.sources.size());
}

}  // namespace mrs::verify
