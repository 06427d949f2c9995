// The largest messages that a plan can give: bounds of what either side reads.
#pragma once

#include <cstdint>

#include "plans/plan_generated.h"

namespace mrs {

// Bytes of a Result body in the plan's largest bucket, and of a Batch body; no less than any other message has.
uint32_t MaxResultBytes(const plan::Plan& plan);
uint32_t MaxBatchBytes(const plan::Plan& plan, uint64_t kv_spaces);

}  // namespace mrs
