#include "runtime/rank/cuda/cuda_executor.h"
#include "runtime/rank/cuda/libraries.h"

namespace mrs {

Result<std::unique_ptr<Executor>> MakeCudaExecutor(const plan::Plan& plan, uint32_t rank, Communicator*,
                                                   CudaExecutorOptions) {
  return Refuse(
      "rank {}: planned for CUDA, and this mrs-exec was built without it; build it where the CUDA toolkit is (cmake "
      "-DMRS_CUDA=ON), or plan the model for this host's cores with --cpus {}",
      rank, plan.ranks()->size());
}

std::vector<CudaLibrary> CudaLibrariesOf(const plan::Plan& plan) {
  if (plan.ranks()->Get(0)->kind() != plan::DeviceKind::cuda) return {};
  return {{"CUDA",
           Refuse("this mrs-exec was built without CUDA; build it where the CUDA toolkit is (cmake -DMRS_CUDA=ON)")}};
}

}  // namespace mrs
