// Of a rehearsal of some layers: the launches of the others go, as they would read weights for which there is no room.
//
//   KeepLayers(stage, RehearsedStageOf(stage, RehearsalScope::kLayers), buckets);
#pragma once

#include <vector>

#include "runtime/rank/bind.h"
#include "runtime/rank/rehearsal.h"

namespace mrs {

template <typename Set>
void KeepLayers(const plan::Stage& stage, const RehearsedStage& rehearsed, std::vector<BoundBucket<Set>>& buckets) {
  for (auto& bucket : buckets) {
    for (auto* program : {&bucket.candidates, &bucket.all_logits}) {
      std::erase_if(program->launches,
                    [&](const auto& launch) { return !RunsIn(rehearsed, *stage.steps()->Get(launch.step)); });
    }
  }
}

}  // namespace mrs
