// Loads a rank's weights onto its device: through pinned memory of the host of a bounded size, from which a kernel
// packs them (kernels/cuda/pack.h), or a copy brings what lies on the device as in the file.
//
//   MRS_ASSIGN_OR_RETURN(const StreamedWeights loaded,
//                        LoadDeviceWeights(plan, rank, *device, weights.data(), {.model_dir = "/models/mini"}));
#pragma once

#include <cstdint>
#include <string>

#include "plans/plan_generated.h"
#include "plans/status.h"
#include "runtime/comm/pulse.h"
#include "runtime/rank/cpu/weight_stream.h"
#include "runtime/rank/cuda/device.h"

namespace mrs {

struct DeviceWeightOptions {
  std::string model_dir = {};  // `{rank}` in it stands for the rank's number
  int threads = 1;
  LoadProgress progress = {};
  Pulse* pulse = nullptr;                      // borrowed; null: nobody looks
  uint64_t buffer_bytes = kWeightBufferBytes;  // of each of two; fewer for tests
};

// Into zeros. Errors as LoadWeights has them (rank/cpu/weights.h), and the device's.
Result<StreamedWeights> LoadDeviceWeights(const plan::Plan& plan, uint32_t rank, Device& device, std::byte* weights,
                                          const DeviceWeightOptions& options);

}  // namespace mrs
