#include "plans/collectives.h"

#include <algorithm>

#include "plans/plan_generated.h"

namespace mrs {

Collectives CollectivesOf(const plan::Plan& plan) {
  const bool has_buffers = std::any_of(plan.stages()->begin(), plan.stages()->end(),
                                       [](const plan::Stage* stage) { return stage->communicators_bytes() > 0; });
  if (!has_buffers) return Collectives::kStaged;
  const bool says_ipc = std::any_of(plan.options()->begin(), plan.options()->end(), [](const plan::Option* option) {
    return option->name()->string_view() == "collectives" &&
           CollectivesNamed(option->value()->string_view()) == Collectives::kIpc;
  });
  return says_ipc ? Collectives::kIpc : Collectives::kNccl;
}

}  // namespace mrs
