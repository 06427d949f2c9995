#include "kernels/cuda/testing/wrappers.h"

#include "kernels/cuda/copies.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/peer_blocks.h"
#include "kernels/cuda/signals.h"
#include "kernels/cuda/tensor_cores.h"

namespace mrs::kernels::cuda {
namespace {

__device__ uint32_t Word(bf16 low, bf16 high) { return uint32_t{low.bits} | uint32_t{high.bits} << 16; }

// Each lane's fragments as the PTX ISA has them, element by element.
__global__ void Product(ProductArgs args) {
  AwaitPrevious();
  const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
  uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) {
    const bf16* const at = args.a + (g + i % 2 * 8) * 16 + t * 2 + i / 2 * 8;
    a[i] = Word(at[0], at[1]);
  }
  for (int i = 0; i < 2; ++i) {
    const bf16* const at = args.b + (t * 2 + i * 8) * 8 + g;
    b[i] = Word(at[0], at[8]);
  }
  float c[4];
  for (int i = 0; i < 4; ++i) c[i] = args.c[(g + i / 2 * 8) * 8 + t * 2 + i % 2];
  MultiplyTiles(c, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) args.c[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = c[i];
}

__global__ void Transpose(TransposeArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  constexpr int kStride = 24;  // a row is sixteen bytes of 48
  uint16_t* const rows = reinterpret_cast<uint16_t*>(bytes);
  const int lane = int(threadIdx.x);
  for (int i = 0; i < 8; ++i) rows[lane * kStride + i] = a.rows[lane * 8 + i];
  __syncwarp();
  uint32_t words[4];
  LoadTransposed(words, rows + lane * kStride);
  for (int i = 0; i < 4; ++i) a.words[lane * 4 + i] = words[i];
}

__global__ void Pack(PackArgs a) {
  AwaitPrevious();
  a.words[threadIdx.x] = PackBf16(a.x[threadIdx.x * 2], a.x[threadIdx.x * 2 + 1]);
}

__global__ void Copies(CopyArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  uint32_t* const shared = reinterpret_cast<uint32_t*>(bytes);  // [3][32][4]
  const int lane = int(threadIdx.x), neighbour = (lane + 1) % 32;
  for (int group = 0; group < 3; ++group) {
    CopyAsync16(shared + (group * 32 + lane) * 4, a.from + (group * 32 + lane) * 4);
    CommitCopies();
  }
  WaitForCopies<1>();
  __syncwarp();
  for (int group = 0; group < 2; ++group) a.to[group * 32 + lane] = shared[(group * 32 + neighbour) * 4 + 3];
  WaitForCopies<0>();
  __syncwarp();
  a.to[64 + lane] = shared[(64 + neighbour) * 4 + 3];
}

__global__ void HandOver(HandOverArgs a) {
  const unsigned own = blockIdx.x, other = 1 - own;
  const int lane = int(threadIdx.x);
  const uint64_t before = Nanoseconds();
  for (uint64_t i = 1; i <= kHandOvers; ++i) {
    // Block 0 begins each round, and block 1 ends it.
    if (lane == 0) {
      while (LoadAcquire(&a.told[other]) != (own == 0 ? i - 1 : i)) Poll();
    }
    __syncthreads();
    a.sums[own * 32 + lane] = a.sums[other * 32 + lane] + lane + 1;
    __syncthreads();
    if (lane == 0) StoreRelease(&a.told[own], i);
  }
  if (own == 0 && lane == 0) *a.passed = Nanoseconds() - before;
}

__global__ void Count(CountArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  uint32_t& before = *reinterpret_cast<uint32_t*>(bytes);
  const unsigned lane = threadIdx.x;
  a.parts[blockIdx.x * 32 + lane] = (uint64_t{blockIdx.x} + 1) * (lane + 1);
  __syncthreads();
  if (lane == 0) before = CountBlock(a.count);
  __syncthreads();
  if (before + 1 != gridDim.x) return;
  for (unsigned b = 0; b < gridDim.x; ++b) a.sums[lane] += a.parts[b * 32 + 31 - lane];
  if (lane == 0) *a.count = 0;
}

__global__ void SideBySide(SideBySideArgs a) {
  if (threadIdx.x != 0) return;
  StoreRelease(a.there + a.launch * kPeerBlocks + blockIdx.x, 1);
  const uint64_t begin = Nanoseconds();
  for (int other = 0; other < a.launches; ++other) {
    while (LoadAcquire(a.there + other * kPeerBlocks + blockIdx.x) == 0) {
      if (Nanoseconds() - begin > a.longest_ns) return;
      Poll();
    }
  }
  a.met[a.launch * kPeerBlocks + blockIdx.x] = 1;
}

__global__ void Depend(DependArgs a) {
  const uint64_t came = Nanoseconds();
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  for (int n = 0; n < kDependBuffers; ++n) Prefetch(a.words + n * kDependWords, kDependWords * int(sizeof(uint32_t)));
  AwaitPrevious();
  const uint64_t began = Nanoseconds();
  while (Nanoseconds() - began < kLateNs) {
  }
  uint32_t word = 0;
  for (int before = 1; before < kDependBuffers; ++before) {
    const int buffer = (a.turn + kDependBuffers - before) % kDependBuffers;
    word = word * 5 + a.words[buffer * kDependWords + kDependWords - 1 - i];
  }
  a.read[i] = a.read[i] * 3 + word;
  a.words[a.turn % kDependBuffers * kDependWords + i] = uint32_t(a.turn * 1000 + i * i);  // DependWord
  if (i == 0) {
    a.came[a.turn] = came;
    a.began[a.turn] = began;
  }
}

}  // namespace

int StartProduct(const ProductArgs& args, void* stream) { return Launch(Product, {dim3{1}, dim3{32}}, stream, args); }
int StartTranspose(const TransposeArgs& args, void* stream) {
  return Launch(Transpose, {dim3{1}, dim3{32}, 32 * 48}, stream, args);
}
int StartPack(const PackArgs& args, void* stream) { return Launch(Pack, {dim3{1}, dim3{32}}, stream, args); }
int StartCopies(const CopyArgs& args, void* stream) {
  return Launch(Copies, {dim3{1}, dim3{32}, 3 * 32 * 16}, stream, args);
}
int StartCount(const CountArgs& args, void* stream) {
  return Launch(Count, {dim3{kCountedBlocks}, dim3{32}, sizeof(uint32_t)}, stream, args);
}
int StartDepend(const DependArgs& args, void* stream) {
  return Launch(Depend, {dim3{kDependWords / 32}, dim3{32}}, stream, args);
}
int StartSideBySide(const SideBySideArgs& args, void* stream) {
  LaunchShape shape = {dim3{kPeerBlocks}, dim3{kPeerThreads}};
  shape.is_cooperative = true;
  return Launch(SideBySide, shape, stream, args);
}
int StartHandOver(const HandOverArgs& args, void* stream) {
  LaunchShape shape = {dim3{2}, dim3{32}};
  shape.is_cooperative = true;
  return Launch(HandOver, shape, stream, args);
}

}  // namespace mrs::kernels::cuda
