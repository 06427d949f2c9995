// What norms over a row share: a block has the row.
//
//   RmsNormRow(x, w, y, Type::kF32, row * width, width, eps, tile)   // y[i] = x[i] / root(mean of squares) * w[i]
//
// A row's sum is sixteen chains of width / 16 FMAs, four cycles each, and those are the least that a norm takes: all
// else is fetched before them, by all threads, eight elements each.
#pragma once

#include "kernels/cuda/device.h"

namespace mrs::kernels::cuda {

constexpr int kBatch = 8;  // elements of a thread at a time, each a block's threads after the one before
// Of LaneSum's tile, in shared memory.
constexpr unsigned NormTileBytes(unsigned threads) { return unsigned((threads * kBatch + 1) * sizeof(float)); }

// Which of those that share a row a thread is, and how many they are: a block's, in one dimension where nothing else is
// said.
struct Team {
  unsigned own = threadIdx.x, count = blockDim.x;
};

struct AddSquare {
  __device__ float operator()(float sum, float x) const { return __fmaf_rn(x, x, sum); }
};

struct Batch {
  float of[kBatch];
};
// This thread's elements of those from `first` on; zeros past the end.
static __device__ inline Batch Fetch(const float* from, int64_t first, int64_t width, Team team = Team()) {
  Batch batch;
#pragma unroll
  for (int j = 0; j < kBatch; ++j) {
    const int64_t i = first + team.own + j * team.count;
    batch.of[j] = i < width ? from[i] : 0.0f;
  }
  return batch;
}

// put(i, j) of this thread's elements i of those from `first` on, the j-th of its batch.
template <typename Put>
__device__ inline void Each(int64_t first, int64_t width, Put put, Team team = Team()) {
#pragma unroll
  for (int j = 0; j < kBatch; ++j) {
    const int64_t i = first + team.own + j * team.count;
    if (i < width) put(i, j);
  }
}

// The sum of a row in sixteen lanes, each a chain in order: all threads fetch, sixteen add. `batch` is this thread's
// first, fetch(first) gives each other once; `tile` holds one float more than the batches of a block.
template <typename FetchFrom, typename AddTo>
__device__ inline float LaneSum(Batch batch, int64_t width, float* tile, FetchFrom fetch, AddTo add,
                                Team team = Team()) {
  const int size = int(team.count) * kBatch;
  float sum = 0;
  for (int64_t first = 0;;) {
#pragma unroll
    for (int j = 0; j < kBatch; ++j) tile[team.own + j * team.count] = batch.of[j];
    __syncthreads();
    const int count = int(width - first < size ? width - first : size);
    first += size;
    if (first < width) batch = fetch(first);
    if (team.own < kSumLanes) {
#pragma unroll 16
      for (int i = int(team.own); i < count; i += kSumLanes) sum = add(sum, tile[i]);
    }
    if (first >= width) break;
    __syncthreads();
  }
  if (team.own < kSumLanes) {
    sum = SumLanes(kLowLanes, sum);
    if (team.own == 0) tile[size] = sum;
  }
  __syncthreads();
  return tile[size];
}
template <typename AddTo>
__device__ inline float LaneSum(const float* x, Batch batch, int64_t width, float* tile, AddTo add,
                                Team team = Team()) {
  return LaneSum(
      batch, width, tile, [=](int64_t first) { return Fetch(x, first, width, team); }, add, team);
}

static __device__ inline float InverseRoot(float mean, float eps) { return 1.0f / sqrtf(mean + eps); }

// Of the row that begins at element `begin` of x and of y: by all threads of a block, at whose end x is read, and the
// tile may be written again.
static __device__ inline void RmsNormRow(const float* x_rows, const float* w_row, void* y, Type out, int64_t begin,
                                         int64_t width, float eps, float* tile, Team team = Team()) {
  const int64_t step = int64_t{team.count} * kBatch;
  const float* const row = x_rows + begin;
  Batch x = Fetch(row, 0, width, team), w = Fetch(w_row, 0, width, team);
  const float squares = LaneSum(row, x, width, tile, AddSquare(), team);
  const float inverse = InverseRoot(squares / float(width), eps);
  for (int64_t first = 0;;) {
    Each(
        first, width, [&](int64_t i, int j) { Put(y, out, begin + i, (x.of[j] * inverse) * w.of[j]); }, team);
    first += step;
    if (first >= width) break;
    x = Fetch(row, first, width, team);
    w = Fetch(w_row, first, width, team);
  }
}

}  // namespace mrs::kernels::cuda
