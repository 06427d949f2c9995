#include "kernels/cuda/emulation/planted.h"

#include "kernels/cuda/copies.h"
#include "kernels/cuda/dependents.h"
#include "kernels/cuda/dialect.h"
#include "kernels/cuda/signals.h"
#include "kernels/cuda/tensor_cores.h"

namespace mrs::kernels::cuda {
namespace {

__global__ void Planted(PlantArgs a) {
  MRS_SHARED(bytes);
  float* const shared = reinterpret_cast<float*>(bytes);  // [256]
  const unsigned t = threadIdx.x, lane = t % 32, warp = t / 32;
  float* const y = a.y + blockIdx.x * 64;
  float early = 0;
  Prefetch(a.x, 256 * sizeof(float) + (a.plant == Plant::kPrefetchPastGlobal && t == 40 ? 16 : 0));
  if (a.plant == Plant::kReadBeforeAwait && t == 40) early = a.x[40];
  if (a.plant == Plant::kWriteBeforeAwait && t == 40) y[40] = 1;
  if (a.plant == Plant::kCopyBeforeAwait && t == 40) CopyAsync16(shared, a.x);
  if (a.plant != Plant::kAwait || t != 40) AwaitPrevious();
  // All write, and read their neighbours' of the other warp.
  shared[t] = a.x[t] + early;
  if (a.plant != Plant::kBarrier) __syncthreads();
  float sum = shared[(t + 32) % 64];
  if (a.plant != Plant::kSecondBarrier) __syncthreads();
  shared[t] = sum;
  // Lanes of a warp.
  if (a.plant == Plant::kShuffleInstead) {
    sum = sum + __shfl_xor_sync(~0u, sum, 1);
  } else if (a.plant == Plant::kHalfOfTheWarp) {
    if (lane < 16) __syncwarp(0xffffu);
  } else if (a.plant != Plant::kWarpBarrier) {
    __syncwarp();
  }
  sum = sum + shared[warp * 32 + (lane + 20) % 32];
  // Copies, of four floats a lane.
  float* const copied = shared + 64 + (a.plant == Plant::kCopyPastShared && t == 63 ? 192 : 0);
  if (a.plant == Plant::kCopyTooEarly) {
    sum = sum + shared[64 + (t + 4) % 64];
  }
  if (t < 32) {
    CopyAsync16(copied + t * 4, a.x + t * 4);
    if (a.plant != Plant::kCommit) CommitCopies();
    if (a.plant != Plant::kWait) WaitForCopies<0>();
    if (a.plant != Plant::kWarpAfterWait) __syncwarp();
    sum = sum + copied[(t * 4 + 4) % 128];
    WaitForCopies<0>();
  } else if (a.plant == Plant::kCopyPastShared && t == 63) {
    CopyAsync16(shared + 256, a.x);
    CommitCopies();
    WaitForCopies<0>();
  }
  if (a.plant == Plant::kSharedOverlap) shared[192 + warp * 31 + lane] = sum;
  if (t == 40) {
    if (a.plant == Plant::kReadPastShared) sum = sum + shared[256];
    if (a.plant == Plant::kWritePastShared) shared[256] = sum;
    if (a.plant == Plant::kReadPastGlobal) sum = sum + a.x[256];
    if (a.plant == Plant::kWritePastGlobal) a.y[2 * 64] = sum;
    if (a.plant == Plant::kReadNowhere) sum = sum + *reinterpret_cast<const float*>(uintptr_t{64});
    if (a.plant == Plant::kReadFreed) sum = sum + *a.freed;
    if (a.plant == Plant::kReadUnwritten) sum = sum + shared[250];
    AnyBytesDo(shared + 255, a.plant == Plant::kAnyPastShared ? 8 : 4);
    sum = sum + shared[255];
    if (a.plant == Plant::kReadOfBlockBefore) {
      if (blockIdx.x == 1) sum = sum + shared[250];
      shared[250] = sum;
    }
  }
  // A tile of rows, which other lanes wrote; a product of tiles orders no memory.
  __syncthreads();
  shared[t] = sum;
  float products[4] = {};
  uint32_t words[4] = {};
  MultiplyTiles(products, words, 0, 0);
  if (a.plant != Plant::kTileTooEarly) __syncwarp();
  LoadTransposed(words, shared + warp * 32 + lane % 8 * 4);
  y[t] = sum + products[0] * float(words[0] & 1);
  __syncthreads();
  if (a.plant == Plant::kAllWriteOne) y[0] = 1;
  if (a.plant == Plant::kBlocksWriteOne && t == 0) a.y[0] = 1;
  if (a.plant == Plant::kBlocksReadOthers && t == 0) y[0] = a.y[64 - blockIdx.x * 64];
  __syncthreads();
  // The block that comes last reads what all threads of the other wrote.
  if (a.plant != Plant::kBeforeCount) y[t] = sum;
  __syncthreads();
  if (a.plant == Plant::kBeforeCount) y[t] = sum;
  uint32_t& before = *reinterpret_cast<uint32_t*>(shared);
  if (t == 0) {
    before = a.plant == Plant::kNoCount ? (*a.count)++ : CountBlock(a.count);
    if (a.plant == Plant::kResetEarly && before == 0) *a.count = 0;
  }
  if (a.plant != Plant::kAfterCount) __syncthreads();
  if (before == 1) y[t] = sum + a.y[(1 - blockIdx.x) * 64 + (t + 1) % 64];
  __syncthreads();
  if (t == 0 && before == 1) *a.count = 0;
}

}  // namespace

void StartPlanted(const PlantArgs& args) { Launch(Planted, {dim3{2}, dim3{64}, 256 * sizeof(float)}, nullptr, args); }

}  // namespace mrs::kernels::cuda
