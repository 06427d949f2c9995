// Whether a device's memory is what a rank of the plan counts on: as much in all, and as much that is free now.
//
//   CheckFreeMemory(plan, 0, "cuda:0 (NVIDIA H200)", *device->FreeBytes())
//   // "rank 0: needs 49485072 bytes of cuda:0 (...) (weights ..., KV 524288, ...), but 49288463 are free now, in which
//   //  about 4 of its 8 KV blocks would fit; end what else uses the device, or plan anew with mrs-plan build --memory
//   ..."
//
// The count of KV blocks is the plan's, and all ranks have it: with less memory nothing is made smaller here.
#pragma once

#include <cstdint>
#include <string>

#include "plans/plan_generated.h"
#include "plans/status.h"

namespace mrs {

// What the plan may use of a device is a part of the memory that such a device has.
Status CheckTotalMemory(const plan::Plan& plan, uint32_t rank, const std::string& device, uint64_t total_bytes);
// Before the rank has allocated anything.
Status CheckFreeMemory(const plan::Plan& plan, uint32_t rank, const std::string& device, uint64_t free_bytes);

}  // namespace mrs
