// The emulator: what threads see of each other, and that each fault a device would hide is told.
#include "kernels/cuda/emulation/machine.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/copies.h"
#include "kernels/cuda/dependents.h"
#include "kernels/cuda/dialect.h"
#include "kernels/cuda/signals.h"
#include "kernels/cuda/tensor_cores.h"

namespace mrs::kernels::cuda {
namespace {

using emulation::Order;
using emulation::SetSchedule;

// Of kernels that await nothing.
LaunchShape Alone(dim3 grid, dim3 block, unsigned shared_bytes = 0) {
  LaunchShape shape = {grid, block, shared_bytes};
  shape.awaits_previous = false;
  return shape;
}

struct PlacesArgs {
  int* out;
};
__global__ void Places(PlacesArgs a) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  a.out[block * blockDim.x * blockDim.y * blockDim.z + thread] += int(block * 1000 + thread);
}

TEST(Emulation, RunsEveryThreadOfEveryBlockOnce) {
  for (Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    SetSchedule({.order = order, .seed = 3});
    std::vector<int> out(2 * 3 * 2 * 24, 0);
    Launch(Places, Alone({2, 3, 2}, {4, 3, 2}), nullptr, PlacesArgs{out.data()});
    for (int i = 0; i < 12 * 24; ++i) EXPECT_EQ(out[i], i / 24 * 1000 + i % 24);
  }
}

struct SumArgs {
  const float* x;
  float* sum;
  bool waits;
};
__global__ void Sum(SumArgs a) {
  MRS_SHARED(bytes);
  float* const sums = reinterpret_cast<float*>(bytes);
  float own = a.x[threadIdx.x];
  for (int s = 16; s > 0; s /= 2) own = own + __shfl_xor_sync(~0u, own, s);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = own;
  if (a.waits) __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (unsigned i = 0; i < blockDim.x / 32; ++i) total += sums[i];
    *a.sum = total;
  }
}

float SumOf(Order order, bool waits) {
  SetSchedule({.order = order, .seed = 1});
  std::vector<float> x(256);
  std::iota(x.begin(), x.end(), 1.0f);
  float sum = 0;
  Launch(Sum, Alone({1}, {256}, 8 * sizeof(float)), nullptr, SumArgs{x.data(), &sum, waits});
  return sum;
}

TEST(Emulation, ShufflesAndBarriersOrderWhatThreadsWrite) {
  for (Order order : {Order::kForward, Order::kReverse, Order::kRandom}) EXPECT_EQ(SumOf(order, true), 256 * 257 / 2);
}

// Shared memory starts as NaNs, so that what is read too early shows.
TEST(Emulation, AMissingBarrierShows) { EXPECT_NE(SumOf(Order::kForward, false), 256 * 257 / 2); }

// Each lane copies four floats; what it reads of a neighbour's is there after a wait and a barrier.
struct CopiesArgs {
  const float* from;
  float* to;
  bool waits;
};
__global__ void ReadsItsNeighboursCopy(CopiesArgs a) {
  MRS_SHARED(bytes);
  float* const shared = reinterpret_cast<float*>(bytes);
  CopyAsync16(shared + threadIdx.x * 4, a.from + threadIdx.x * 4);
  CommitCopies();
  CopyAsync16(shared + 128 + threadIdx.x * 4, a.from + threadIdx.x * 4);
  CommitCopies();
  a.waits ? WaitForCopies<1>() : WaitForCopies<2>();
  __syncwarp();
  a.to[threadIdx.x] = shared[(threadIdx.x + 1) % 32 * 4 + 3];
  WaitForCopies<0>();
}

std::vector<float> NeighboursCopies(Order order, bool waits) {
  SetSchedule({.order = order, .seed = 1});
  alignas(16) float from[128];
  std::iota(from, from + 128, 0.0f);
  std::vector<float> to(32);
  Launch(ReadsItsNeighboursCopy, Alone({1}, {32}, 256 * sizeof(float)), nullptr, CopiesArgs{from, to.data(), waits});
  return to;
}

TEST(Emulation, CopiesAreThereWhenTheyAreWaitedFor) {
  std::vector<float> expected;
  for (int i = 0; i < 32; ++i) expected.push_back(static_cast<float>((i + 1) % 32 * 4 + 3));
  for (Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    EXPECT_EQ(NeighboursCopies(order, true), expected);
  }
  EXPECT_NE(NeighboursCopies(Order::kForward, false), expected) << "a missing wait does not show";
  EXPECT_EQ(NeighboursCopies(Order::kReverse, false), expected) << "as early as a device may";
}

// Blocks of a cooperative launch wait for each other, whichever comes first; and for another OS thread.
struct WaitsArgs {
  uint64_t* told = nullptr;    // [3]
  uint64_t* others = nullptr;  // [1]
  int* sums = nullptr;         // [3]
};
__global__ void WaitsForEachBlock(WaitsArgs a) {
  MRS_SHARED(bytes);
  int* const seen = reinterpret_cast<int*>(bytes);
  seen[threadIdx.x] = 0;
  __syncthreads();
  if (threadIdx.x == 7) StoreRelease(&a.told[blockIdx.x], blockIdx.x + 1);
  if (threadIdx.x < 3) {
    while (LoadAcquire(&a.told[threadIdx.x]) == 0) Poll();
    seen[threadIdx.x] = 1;
  }
  __syncthreads();
  if (threadIdx.x == 40) a.sums[blockIdx.x] = seen[0] + seen[1] + seen[2];
  if (blockIdx.x == 1 && threadIdx.x == 0) {
    StoreRelease(&a.others[0], 1);
    while (LoadAcquire(&a.others[0]) != 2) Poll();
  }
}

TEST(Emulation, ResidentBlocksWaitForEachOther) {
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    SetSchedule({.order = order, .seed = 3});
    uint64_t told[3] = {}, others[1] = {};
    std::vector<int> sums(3);
    std::thread other([&] {
      while (LoadAcquire(&others[0]) != 1) std::this_thread::yield();
      StoreRelease(&others[0], 2);
    });
    LaunchShape shape = {dim3{3}, dim3{64}, 64 * sizeof(int)};
    shape.is_cooperative = true;
    EXPECT_EQ(Launch(WaitsForEachBlock, shape, nullptr, WaitsArgs{told, others, sums.data()}), 0);
    other.join();
    EXPECT_EQ(others[0], 2u);
    EXPECT_EQ(sums, std::vector<int>(3, 3));
    shape.grid = dim3{109};  // more than an A100 has multiprocessors
    EXPECT_EQ(Launch(WaitsForEachBlock, shape, nullptr, WaitsArgs{told, others, sums.data()}), 720);
  }
  SetSchedule({});
}

struct NoArgs {};
__global__ void HalfAWarpShuffles(NoArgs) {
  if (threadIdx.x < 16) __shfl_xor_sync(~0u, 1, 1);
}
__global__ void ShufflesOutsideItsMask(NoArgs) {
  if (threadIdx.x < 16) __shfl_xor_sync(0xffffu, 1, 16);
}
__global__ void IsNotInItsMask(NoArgs) { __syncwarp(1u); }
__global__ void MeetsAtTwoBarriers(NoArgs) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void MeetsAtTwoBarriersOfALine(NoArgs) { threadIdx.x < 32 ? __syncthreads() : __syncthreads(); }
__global__ void HalfABlockMeets(NoArgs) {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x >= 32) __syncwarp(threadIdx.x < 48 ? 0xffffu : ~0u);
}
__global__ void ShufflesAtTwoPlaces(NoArgs) {
  threadIdx.x % 2 == 0 ? __shfl_xor_sync(~0u, 1, 1) : __shfl_xor_sync(~0u, 2, 1);
}
__global__ void PollsAlone(NoArgs) {
  if (threadIdx.x == 5) Poll();
}
__global__ void EndsBeforeItsCopies(NoArgs) {
  MRS_SHARED(bytes);
  CopyAsync16(bytes, bytes + 16);
  CommitCopies();
}
__global__ void CopiesToAnOddPlace(NoArgs) {
  MRS_SHARED(bytes);
  CopyAsync16(bytes + 8, bytes + 16);
}
__global__ void LeavesAWarpWaiting(NoArgs) {
  if (threadIdx.x != 5) __syncwarp();
}
// Products of tiles, and loads of them, are a whole warp's (that they are right: testing/wrappers_test.cc).
__device__ void MultiplyZeros() {
  float c[4] = {};
  const uint32_t a[4] = {};
  MultiplyTiles(c, a, 0, 0);
}
__global__ void ALaneDoesNotMultiply(NoArgs) {
  if (threadIdx.x != 9) MultiplyZeros();
}
__global__ void ALaneLoadsNoTile(NoArgs) {
  MRS_SHARED(bytes);
  uint32_t words[4];
  if (threadIdx.x != 9) LoadTransposed(words, bytes);
}
__global__ void MultipliesAtTwoPlaces(NoArgs) {
  float c[4] = {};
  const uint32_t a[4] = {};
  if (threadIdx.x < 16) {
    MultiplyTiles(c, a, 0, 0);
  } else {
    MultiplyTiles(c, a, 0, 0);
  }
}
__global__ void LoadsARowAtAnOddPlace(NoArgs) {
  MRS_SHARED(bytes);
  uint32_t words[4];
  LoadTransposed(words, bytes + 8);
}
__global__ void LoadsARowPastShared(NoArgs) {
  MRS_SHARED(bytes);
  uint32_t words[4];
  LoadTransposed(words, bytes + (threadIdx.x == 31 ? 32 : 0));
}

void RunKernel(void (*kernel)(NoArgs), unsigned threads = 64) {
  SetSchedule({});
  Launch(kernel, Alone({1}, {threads}, 32), nullptr, NoArgs{});
}

TEST(EmulationDeathTest, TellsWhatADeviceWouldHangOn) {
  EXPECT_DEATH(RunKernel(HalfAWarpShuffles),
               "no thread of the block can go on, in block 0,0,0\n  thread 0 waits at "
               ".*machine_test.cc:[0-9]+:[0-9]+ for the lanes ffffffff of its warp");
  EXPECT_DEATH(RunKernel(LeavesAWarpWaiting), "no thread of the block can go on");
  EXPECT_DEATH(RunKernel(ShufflesOutsideItsMask), "a shuffle reads outside its mask");
  EXPECT_DEATH(RunKernel(IsNotInItsMask), "a lane is not in its own mask");
  EXPECT_DEATH(RunKernel(MeetsAtTwoBarriers), "threads of a block are at different barriers");
  EXPECT_DEATH(RunKernel(MeetsAtTwoBarriersOfALine), "threads of a block are at different barriers");
  EXPECT_DEATH(RunKernel(HalfABlockMeets),
               "no thread of the block can go on, in block 0,0,0\n  thread 0 waits at "
               ".*machine_test.cc:[0-9]+:[0-9]+ for its block, and 31 others do\n  thread 48 waits at "
               ".*machine_test.cc:[0-9]+:[0-9]+ for the lanes ffffffff of its warp, and 15 others do");
  EXPECT_DEATH(RunKernel(EndsBeforeItsCopies), "a thread ends before its copies");
  EXPECT_DEATH(RunKernel(CopiesToAnOddPlace), "a copy is not aligned to its size");
  EXPECT_DEATH(RunKernel(PollsAlone),
               "a thread polls in a grid whose blocks are not resident together \\(a cooperative launch\\), in block "
               "0,0,0\n  thread 5 polls at .*machine_test.cc:[0-9]+:[0-9]+\n");
  EXPECT_DEATH(RunKernel(ShufflesAtTwoPlaces), "lanes of a warp are at different operations");
  EXPECT_DEATH(RunKernel(ALaneDoesNotMultiply, 32),
               "no thread of the block can go on, in block 0,0,0\n  thread 0 waits at "
               ".*machine_test.cc:[0-9]+:[0-9]+ for the lanes ffffffff of its warp, and 30 others do");
  EXPECT_DEATH(RunKernel(ALaneLoadsNoTile, 32),
               "no thread of the block can go on, in block 0,0,0\n  thread 0 waits at "
               ".*machine_test.cc:[0-9]+:[0-9]+ for the lanes ffffffff of its warp, and 30 others do");
  EXPECT_DEATH(RunKernel(MultipliesAtTwoPlaces, 32), "lanes of a warp are at different operations");
  EXPECT_DEATH(RunKernel(LoadsARowAtAnOddPlace, 32), "a row of a tile is not aligned to sixteen bytes");
  EXPECT_DEATH(RunKernel(LoadsARowPastShared, 32), "a row of a tile is not shared memory");
}

// Kernels whose blocks may be there before the launch before them has ended.
struct DependsArgs {
  int* out;  // [64], counted up
  bool awaits, returns_early;
};
__global__ void Depends(DependsArgs a) {
  if (a.returns_early && threadIdx.x == 9) return;
  if (a.awaits) AwaitPrevious();
  ++a.out[threadIdx.x];
}
__global__ void TellsTooEarly(WaitsArgs a) {
  StoreRelease(&a.told[0], 1);
  AwaitPrevious();
}
__global__ void HearsTooEarly(WaitsArgs a) {
  if (LoadAcquire(&a.told[0]) == 0) AwaitPrevious();
}
__global__ void PrefetchesFromAnOddPlace(WaitsArgs a) {
  Prefetch(a.told + 1, 16);
  AwaitPrevious();
}
__global__ void PrefetchesAnOddSize(WaitsArgs a) {
  Prefetch(a.told, 24);
  AwaitPrevious();
}
const LaunchShape kDependent = {dim3{2}, dim3{64}};

TEST(Emulation, ALaunchIsDependentUnlessItIsSaidOtherwise) {
  int out[64] = {};
  const auto grids = [&](const LaunchShape& shape, const DependsArgs& args) {
    const uint64_t before = emulation::DependentGrids();
    EXPECT_EQ(Launch(Depends, shape, nullptr, args), 0);
    return emulation::DependentGrids() - before;
  };
  EXPECT_EQ(grids(kDependent, {out, true, false}), 1u);
  EXPECT_EQ(grids(Alone({2}, {64}), {out, false, true}), 0u);
  LaunchShape cooperative = kDependent;
  cooperative.is_cooperative = true;
  EXPECT_EQ(grids(cooperative, {out, false, true}), 0u);
  MayBeginEarly() = false;
  EXPECT_EQ(grids(kDependent, {out, false, true}), 0u);
  MayBeginEarly() = true;
  EXPECT_EQ(grids(kDependent, {out, true, false}), 1u);
  EXPECT_EQ(out[8], 10);
  EXPECT_EQ(out[9], 4);
}

TEST(EmulationDeathTest, TellsWhoDoesNotAwaitTheLaunchBefore) {
  int out[64] = {};
  alignas(16) uint64_t words[4] = {};
  const WaitsArgs told = {words, nullptr, nullptr};
  const char* const ends = "a thread ends that has not awaited the launch before \\(AwaitPrevious\\), in block 0,0,0";
  // Of the kernel, which addr2line knows.
  EXPECT_DEATH(Launch(Depends, kDependent, nullptr, DependsArgs{out, false, false}),
               std::string("Depends\\(.*\n(.*\n)*emulation: ") + ends);
  EXPECT_DEATH(Launch(Depends, kDependent, nullptr, DependsArgs{out, true, true}), ends);
  const char* const early = "a thread touches a word of others before it has awaited the launch before";
  EXPECT_DEATH(Launch(TellsTooEarly, kDependent, nullptr, told), early);
  EXPECT_DEATH(Launch(HearsTooEarly, kDependent, nullptr, told), early);
  const char* const odd = "a prefetch is not aligned to sixteen bytes";
  EXPECT_DEATH(Launch(PrefetchesFromAnOddPlace, kDependent, nullptr, told), odd);
  EXPECT_DEATH(Launch(PrefetchesAnOddSize, kDependent, nullptr, told), odd);
}

TEST(EmulationDeathTest, RefusesWhatNoDeviceTakes) {
  EXPECT_DEATH(RunKernel(IsNotInItsMask, 1025), "no device takes a grid of 1 x 1 x 1 blocks of 1025 x 1 x 1 threads");
  EXPECT_DEATH(Launch(IsNotInItsMask, Alone({1, 65536}, {1}), nullptr, NoArgs{}), "no device takes a grid");
  EXPECT_DEATH(Launch(IsNotInItsMask, Alone({1}, {1}, (163 << 10) + 1), nullptr, NoArgs{}), "with 166913 bytes");
}

// Denormals are zero within, and as before after.
struct DenormalArgs {
  volatile float* x;
};
__global__ void Halve(DenormalArgs a) { *a.x = *a.x * 0.5f; }

TEST(Emulation, FlushesDenormals) {
  volatile float x = 0x1p-126f;
  Launch(Halve, Alone({1}, {1}), nullptr, DenormalArgs{&x});
  EXPECT_EQ(x, 0.0f);
  volatile float smallest = 0x1p-126f;
  EXPECT_NE(smallest * 0.5f, 0.0f);
}

}  // namespace
}  // namespace mrs::kernels::cuda
