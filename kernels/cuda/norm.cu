// Norms over a row, whole on this rank or not: a block a row.
#include "kernels/cuda/device.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/norm_row.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = 512;  // at most

struct AddValue {
  __device__ float operator()(float sum, float x) const { return sum + x; }
};
struct AddSquareOfDifference {
  float mean;
  __device__ float operator()(float sum, float x) const {
    const float d = x - mean;
    return __fmaf_rn(d, d, sum);
  }
};

__global__ void __launch_bounds__(kThreads) RmsNorm(RmsNormArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  RmsNormRow(a.x, a.w, a.y, a.out, blockIdx.x * a.width, a.width, a.eps, reinterpret_cast<float*>(bytes));
}

// Each thread adds its own elements, keeps its first batch of sums for the norm, and reads those after it as it wrote
// them.
__global__ void __launch_bounds__(kThreads) AddRmsNorm(AddRmsNormArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  const int64_t begin = blockIdx.x * a.width, step = int64_t{blockDim.x} * kBatch;
  const auto add = [&](int64_t first) {
    Batch sum = Fetch(a.a + begin, first, a.width);
    const Batch b = Fetch(a.b + begin, first, a.width);
    Each(first, a.width, [&](int64_t i, int j) { a.sum[begin + i] = sum.of[j] = sum.of[j] + b.of[j]; });
    return sum;
  };
  Batch x = add(0), w = Fetch(a.w, 0, a.width);
  const float squares = LaneSum(x, a.width, reinterpret_cast<float*>(bytes), add, AddSquare());
  const float inverse = InverseRoot(squares / float(a.width), a.eps);
  for (int64_t first = 0;;) {
    Each(first, a.width, [&](int64_t i, int j) { Put(a.y, a.out, begin + i, (x.of[j] * inverse) * w.of[j]); });
    first += step;
    if (first >= a.width) break;
    x = Fetch(a.sum + begin, first, a.width);
    w = Fetch(a.w, first, a.width);
  }
}

__global__ void __launch_bounds__(kThreads) LayerNorm(LayerNormArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  float* const tile = reinterpret_cast<float*>(bytes);
  const int64_t begin = blockIdx.x * a.width, step = int64_t{blockDim.x} * kBatch;
  const float* const row = a.x + begin;
  Batch x = Fetch(row, 0, a.width), w = Fetch(a.w, 0, a.width), b = Fetch(a.b, 0, a.width);
  const float mean = LaneSum(row, x, a.width, tile, AddValue()) / float(a.width);
  const float squares = LaneSum(row, x, a.width, tile, AddSquareOfDifference{mean});
  const float inverse = InverseRoot(squares / float(a.width), a.eps);
  for (int64_t first = 0;;) {
    Each(first, a.width, [&](int64_t i, int j) {
      Put(a.y, a.out, begin + i, __fmaf_rn((x.of[j] - mean) * inverse, w.of[j], b.of[j]));
    });
    first += step;
    if (first >= a.width) break;
    x = Fetch(row, first, a.width);
    w = Fetch(a.w, first, a.width);
    b = Fetch(a.b, first, a.width);
  }
}

// Half a warp a chunk, then the tree over chunks.
__global__ void __launch_bounds__(kThreads) SumSquares(SumSquaresArgs a) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  float* const sums = reinterpret_cast<float*>(bytes);
  const int64_t row = blockIdx.x;
  const int64_t chunk = a.chunk_heads * a.head_dim;
  const int chunk_count = int(a.heads / a.chunk_heads);
  const float* const x = a.x + row * a.heads * a.head_dim;
  for (int c = int(threadIdx.x) / kSumLanes; c < chunk_count; c += int(blockDim.x) / kSumLanes) {
    float sum = 0;
    for (int64_t i = SumLane(); i < chunk; i += kSumLanes) sum = __fmaf_rn(x[c * chunk + i], x[c * chunk + i], sum);
    sum = SumLanes(HalfWarp(), sum);
    if (SumLane() == 0) sums[c] = sum;
  }
  __syncthreads();
  for (int d = 1; d < chunk_count; d *= 2) {
    for (int c = int(threadIdx.x) * 2 * d; c < chunk_count; c += int(blockDim.x) * 2 * d)
      sums[c] = sums[c] + sums[c + d];
    __syncthreads();
  }
  if (threadIdx.x == 0) a.y[row] = sums[0];
}

// A block the batches of its threads.
__global__ void __launch_bounds__(kThreads) RmsScale(RmsScaleArgs a) {
  AwaitPrevious();
  const int64_t row = blockIdx.x, begin = row * a.width;
  const int64_t first = blockIdx.y * int64_t{blockDim.x} * kBatch;
  const Batch x = Fetch(a.x + begin, first, a.width), w = Fetch(a.w, first, a.width);
  const float inverse = InverseRoot(a.sum[row] / float(a.total), a.eps);
  Each(first, a.width, [&](int64_t i, int j) { Put(a.y, a.out, begin + i, (x.of[j] * inverse) * w.of[j]); });
}

// Whole warps, so many that a batch of each has the row, where so many there are.
unsigned ThreadsOf(int64_t width) {
  const unsigned warps = Blocks(width, 32 * kBatch);
  return warps < 1 ? 32 : warps < kThreads / 32 ? warps * 32 : kThreads;
}

LaunchShape OfRows(int64_t rows, int64_t width) {
  const unsigned threads = ThreadsOf(width);
  return {dim3{unsigned(rows)}, dim3{threads}, NormTileBytes(threads)};
}

const Module kModule(RmsNorm);

}  // namespace

int Start(const RmsNormArgs& args, void* stream) {
  return args.rows == 0 ? 0 : Launch(RmsNorm, OfRows(args.rows, args.width), stream, args);
}

int Start(const AddRmsNormArgs& args, void* stream) {
  return args.rows == 0 ? 0 : Launch(AddRmsNorm, OfRows(args.rows, args.width), stream, args);
}

int Start(const LayerNormArgs& args, void* stream) {
  return args.rows == 0 ? 0 : Launch(LayerNorm, OfRows(args.rows, args.width), stream, args);
}

int Start(const SumSquaresArgs& args, void* stream) {
  const int64_t chunk_count = args.heads / args.chunk_heads;
  const LaunchShape shape = {dim3{unsigned(args.rows)}, dim3{256}, unsigned(size_t(chunk_count) * sizeof(float))};
  return args.rows == 0 ? 0 : Launch(SumSquares, shape, stream, args);
}

int Start(const RmsScaleArgs& args, void* stream) {
  if (args.rows == 0 || args.width == 0) return 0;
  const unsigned threads = ThreadsOf(args.width);
  const LaunchShape shape = {dim3{unsigned(args.rows), Blocks(args.width, int64_t{threads} * kBatch)}, dim3{threads}};
  return Launch(RmsScale, shape, stream, args);
}

}  // namespace mrs::kernels::cuda
