#include "plans/collectives.h"

#include <algorithm>

#include "plans/plan_generated.h"

namespace mrs {

Collectives CollectivesOf(const plan::Plan& plan) {
  const bool has_buffers = std::any_of(plan.stages()->begin(), plan.stages()->end(),
                                       [](const plan::Stage* stage) { return stage->communicators_bytes() > 0; });
  if (!has_buffers) return Collectives::kStaged;
  for (const plan::Option* option : *plan.options()) {
    if (option->name()->string_view() != "collectives") continue;
    const Collectives named = CollectivesNamed(option->value()->string_view());
    if (SumsByPeers(named)) return named;
  }
  return Collectives::kNccl;
}

}  // namespace mrs
