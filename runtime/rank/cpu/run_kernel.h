// Runs a launch that is a kernel over `rows` buffer rows, split over the pool by items.
//
//   RunKernel(launch, 5, pool);   // five tokens
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "runtime/rank/cpu/thread_pool.h"
#include "runtime/rank/launch.h"

namespace mrs {

void RunKernel(Launch<kernels::KernelSet>& launch, int64_t rows, ThreadPool& pool);

}  // namespace mrs
