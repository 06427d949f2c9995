// A thread an element: parts of all ranks are fetched, then added.
#include "kernels/cuda/sum_parts.h"

#include "kernels/cuda/device.h"
#include "kernels/cuda/modules.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 16384;
constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue

// The tree over `ranks` parts from `part` on.
template <int ranks>
__device__ float Tree(const float* part, int64_t count) {
  if constexpr (ranks == 1) {
    return *part;
  } else {
    const float low = Tree<ranks / 2>(part, count);
    return low + Tree<ranks / 2>(part + ranks / 2 * count, count);
  }
}

template <int ranks>
__global__ void __launch_bounds__(kThreads) SumTree(SumPartsArgs a) {
  AwaitPrevious();
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < a.count; i += int64_t{gridDim.x} * blockDim.x) {
    a.y[i] = Tree<ranks>(a.parts + i, a.count);
  }
}

__global__ void __launch_bounds__(kThreads) SumInOrder(SumPartsArgs a) {
  AwaitPrevious();
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < a.count; i += int64_t{gridDim.x} * blockDim.x) {
    float sum = a.parts[i];
    for (int64_t rank = 1; rank < a.ranks; ++rank) sum = sum + a.parts[rank * a.count + i];
    a.y[i] = sum;
  }
}

const Module kModule(SumInOrder);

}  // namespace

int StartSumParts(const SumPartsArgs& args, void* stream) {
  if (args.count == 0) return 0;
  const int64_t blocks = (args.count + kThreads - 1) / kThreads;
  const LaunchShape shape = {dim3{unsigned(blocks < kMostBlocks ? blocks : kMostBlocks)}, dim3{kThreads}};
  if (!args.canonical) return args.ranks < 1 ? kInvalidValue : Launch(SumInOrder, shape, stream, args);
  switch (args.ranks) {
    case 1:
      return Launch(SumTree<1>, shape, stream, args);
    case 2:
      return Launch(SumTree<2>, shape, stream, args);
    case 4:
      return Launch(SumTree<4>, shape, stream, args);
    case 8:
      return Launch(SumTree<8>, shape, stream, args);
    case 16:
      return Launch(SumTree<16>, shape, stream, args);
    case 32:
      return Launch(SumTree<32>, shape, stream, args);
    case kMostSummedRanks:
      return Launch(SumTree<kMostSummedRanks>, shape, stream, args);
    default:
      return kInvalidValue;
  }
}

}  // namespace mrs::kernels::cuda
