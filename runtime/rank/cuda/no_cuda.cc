#include "runtime/rank/cuda/cuda_executor.h"

namespace mrs {

Result<std::unique_ptr<Executor>> MakeCudaExecutor(const plan::Plan& plan, uint32_t rank, Communicator*,
                                                   CudaExecutorOptions) {
  return Refuse(
      "rank {}: planned for CUDA, and this mrs-exec was built without it; build it where the CUDA toolkit is (cmake "
      "-DMRS_CUDA=ON), or plan the model for this host's cores with --cpus {}",
      rank, plan.ranks()->size());
}

}  // namespace mrs
