#include "runtime/rank/cuda/device_weights.h"

namespace mrs {

Result<StreamedWeights> LoadDeviceWeights(const plan::Plan& plan, uint32_t rank, Device& device, std::byte* weights,
                                          const DeviceWeightOptions& options) {
  ThreadPool pool(options.threads, /*spin=*/false, options.pulse);
  MRS_RETURN_IF_ERROR(pool.status());
  const WeightBuffers need = BuffersFor(StageOf(plan, rank), PlanWeightReads(plan, rank), options.buffer_bytes);
  constexpr const char* kWhat = "weights on their way";
  DeviceArena one, other;
  MRS_ASSIGN_OR_RETURN(one, device.AllocateHost(kWhat, need.bytes));
  MRS_ASSIGN_OR_RETURN(other, device.AllocateHost(kWhat, need.count > 1 ? need.bytes : 0));
  const WeightSink sink = {.bytes = need.bytes,
                           .buffers = {one.data(), other.data()},
                           .copy = [&](uint64_t at, const std::byte* from,
                                       uint64_t bytes) { return device.CopyIn(weights + at, from, bytes); },
                           .wait = [&] { return device.Finish(); }};
  return StreamWeights(plan, rank, options.model_dir, pool, sink, options.progress);
}

}  // namespace mrs
