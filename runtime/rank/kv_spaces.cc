#include "runtime/rank/kv_spaces.h"

#include <algorithm>

#include "plans/contract.h"

namespace mrs {

Result<std::vector<KvSpace>> KvSpacesOf(const plan::Plan& plan) {
  std::vector<KvSpace> spaces;
  for (const plan::Stage* stage : *plan.stages()) {
    for (const plan::KvClass* kv : *stage->kv_classes()) {
      if (kv->kind() != plan::KvKind::full && kv->kind() != plan::KvKind::window) {
        return Refuse("this mrs-exec runs attention that is full or has a window; the plan has a KV class that is {}",
                      plan::EnumNameKvKind(kv->kind()));
      }
      const auto known = std::ranges::find(spaces, kv->window(), &KvSpace::window);
      if (known == spaces.end()) {
        spaces.push_back({kv->window(), kv->block_count(), kv->sequence_blocks()});
        continue;
      }
      if (known->sequence_blocks != kv->sequence_blocks()) {
        return Refuse(
            "the plan's layers of window {} have rings of {} blocks in one stage and of {} in another; build it again "
            "with this version's mrs-plan",
            kv->window(), known->sequence_blocks, kv->sequence_blocks());
      }
      known->block_count = std::min(known->block_count, kv->block_count());
    }
  }
  std::ranges::sort(spaces, {}, &KvSpace::window);
  return spaces;
}

std::vector<uint32_t> SpacesOfClasses(const std::vector<KvSpace>& spaces, const plan::Stage& stage) {
  std::vector<uint32_t> of_class;
  for (const plan::KvClass* kv : *stage.kv_classes()) {
    const auto space = std::ranges::find(spaces, kv->window(), &KvSpace::window);
    MRS_CHECK(space != spaces.end());
    of_class.push_back(static_cast<uint32_t>(space - spaces.begin()));
  }
  return of_class;
}

}  // namespace mrs
