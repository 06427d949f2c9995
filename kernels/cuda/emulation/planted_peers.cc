#include "kernels/cuda/emulation/planted_peers.h"

#include "kernels/cuda/dialect.h"
#include "kernels/cuda/signals.h"

namespace mrs::kernels::cuda {
namespace {

__device__ void Tell(const PeerPlantArgs& a, uint64_t* flag) {
  if (a.plant == PeerPlant::kRelaxedStore) {
    __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
  } else {
    StoreRelease(flag, 1);
  }
}
__device__ bool IsTold(const PeerPlantArgs& a, const uint64_t* flag) {
  return (a.plant == PeerPlant::kRelaxedLoad ? __atomic_load_n(flag, __ATOMIC_RELAXED) : LoadAcquire(flag)) != 0;
}

// The block with that of its number on the other rank; `number` counts such rendezvous.
__device__ void Meet(const PeerPlantArgs& a, int number, bool waits) {
  const int flag = number * kPlantedBlocks + int(blockIdx.x);
  __syncthreads();
  if (threadIdx.x == 0) {
    Tell(a, a.others_flags + flag);
    while (waits && !IsTold(a, a.flags + flag)) Poll();
  }
  __syncthreads();
}

__global__ void PlantedSums(PeerPlantArgs a) {
  const int block = int(blockIdx.x), t = int(threadIdx.x), at = block * kPlantedFloats + t;
  const int of_others = a.plant == PeerPlant::kOthersSecond ? (1 - block) * kPlantedFloats + t : at;
  float sum = float(at);
  for (int time = 0; time < kPlantedTimes; ++time) {
    a.own[at] = sum;
    Meet(a, 2 * time, a.plant != PeerPlant::kNoFlag);
    sum = sum + a.others[of_others];
    if (a.plant != PeerPlant::kNoClosing) Meet(a, 2 * time + 1, true);
  }
  a.y[at] = sum;
}

__global__ void PlantedCount(PeerPlantArgs a) {
  MRS_SHARED(shared);
  uint32_t& before = *reinterpret_cast<uint32_t*>(shared);
  const int t = int(threadIdx.x);
  a.own[t] = float(t);
  __syncthreads();
  if (t == 0) {
    before =
        a.plant == PeerPlant::kRelaxedCount ? __atomic_fetch_add(a.count, 1u, __ATOMIC_RELAXED) : CountBlock(a.count);
  }
  __syncthreads();
  a.y[t] = before == 1 ? a.own[t] + a.others[t] : 0;
}

}  // namespace

void StartPlantedSums(const PeerPlantArgs& args, unsigned blocks) {
  LaunchShape shape = {dim3{blocks}, dim3{kPlantedFloats}};
  shape.is_cooperative = true;
  Launch(PlantedSums, shape, nullptr, args);
}
void StartPlantedCount(const PeerPlantArgs& args) {
  LaunchShape shape = {dim3{1}, dim3{kPlantedFloats}, sizeof(uint32_t)};
  shape.awaits_previous = false;
  Launch(PlantedCount, shape, nullptr, args);
}

}  // namespace mrs::kernels::cuda
