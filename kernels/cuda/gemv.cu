// Products of few rows in fast numerics, from weights that lie row after row.
//
// A warp has kRows rows of kColumns outputs. Its lanes read sixteen bytes of each output's weights side by side, 512
// bytes a step, and of x what belongs to them; each keeps one f32 chain an output and row. At the end the chains of the
// lanes are added, then those of the warps that share K, then the bias. Bytes: weights once (of more than sixteen rows,
// once for each sixteen); x comes from the caches. Flops: 2 * rows * n * k.
#include "kernels/cuda/device.h"
#include "kernels/cuda/fast.h"
#include "kernels/rows.h"

namespace mrs::kernels::cuda {
namespace {

struct alignas(16) Wide {
  uint32_t words[kGemvWide / 2];
  __device__ float At(int i) const { return FloatOf(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u); }
};

struct GemvArgs {
  MatmulArgs product;
  int chunk, padded_chunk;  // elements of K that lie together in x, and in a row of weights
  int row_wides;            // of a row of weights
};

// Sums over a warp of kCount values each: lane l gets that of value l / (32 / kCount). Each step a lane gives half of
// what it has to the lane that keeps that half; of the last value left, lanes with the same add theirs.
template <int kCount, int kStep = 16>
__device__ float SumOverWarp(float* values) {
  if constexpr (kStep == 0) {
    return values[0];
  } else if constexpr (kCount == 1) {
    values[0] = values[0] + __shfl_xor_sync(0xffffffffu, values[0], kStep);
    return SumOverWarp<1, kStep / 2>(values);
  } else {
    constexpr int kHalf = kCount / 2;
    const bool is_upper = (int(threadIdx.x) & kStep) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float given = is_upper ? values[i] : values[i + kHalf];
      const float kept = is_upper ? values[i + kHalf] : values[i];
      values[i] = kept + __shfl_xor_sync(0xffffffffu, given, kStep);
    }
    return SumOverWarp<kHalf, kStep / 2>(values);
  }
}

// Eight elements of x from `k` of its chunk on; what a chunk does not have is zero, as its weights are.
template <bool kIsWhole>
__device__ void LoadX(const GemvArgs& a, const bf16* x, int k, float* values) {
  if constexpr (kIsWhole) {
    const Wide wide = k < a.chunk ? *reinterpret_cast<const Wide*>(x + k) : Wide{};
#pragma unroll
    for (int i = 0; i < kGemvWide; ++i) values[i] = wide.At(i);
  } else {
#pragma unroll
    for (int i = 0; i < kGemvWide; ++i) values[i] = k + i < a.chunk ? ToF32(x[k + i]) : 0.0f;
  }
}

// kIsWhole: x has one chunk, whose rows begin at sixteen bytes, as do all eights of it.
template <int kRows, int kColumns, bool kIsWhole>
__global__ void __launch_bounds__(kGemvWarps * 32, kRows < 16 ? 2 : 1) Gemv(GemvArgs a) {
  MRS_SHARED(bytes);
  constexpr int kCount = kRows * kColumns;
  constexpr int kSame = 32 / kCount;  // lanes that get one sum
  const int lane = int(threadIdx.x), part = int(threadIdx.y), strip = int(threadIdx.z);
  const int parts = int(blockDim.y), strips = int(blockDim.z);
  const MatmulArgs& product = a.product;
  const int64_t column = (int64_t{blockIdx.x} * strips + strip) * kColumns;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  float sums[kCount] = {};
  if (column < product.shape.n) {  // then all of its columns are there: rows of weights are a multiple of sixteen
    const Wide* const weights = static_cast<const Wide*>(product.w) + column * a.row_wides;
    const bf16* const x = static_cast<const bf16*>(product.x) + first_row * product.x_stride;
    const int rows = product.rows - first_row < kRows ? int(product.rows - first_row) : kRows;
    // Of many rows there is enough to do for each load, and by element enough loads.
    [[maybe_unused]] constexpr int kAtOnce = kIsWhole && kRows < 8 ? 2 : 1;
#pragma unroll kAtOnce
    for (int wide = part * 32 + lane; wide < a.row_wides; wide += parts * 32) {
      Wide w[kColumns];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) w[c] = weights[int64_t{c} * a.row_wides + wide];
      const int at = wide * kGemvWide;
      const int chunk = kIsWhole ? 0 : at / a.padded_chunk;
      const int k = at - chunk * a.padded_chunk;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float values[kGemvWide];
        const int row = r < rows ? r : 0;  // one that is not there is another, whose sums nobody stores
        LoadX<kIsWhole>(a, x + row * product.x_stride + int64_t{chunk} * a.chunk, k, values);
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
#pragma unroll
          for (int i = 0; i < kGemvWide; ++i) {
            sums[r * kColumns + c] = __fmaf_rn(values[i], w[c].At(i), sums[r * kColumns + c]);
          }
        }
      }
    }
  }
  float* const of_parts = reinterpret_cast<float*>(bytes);  // [parts][strips][kCount]
  const float sum = SumOverWarp<kCount>(sums);
  if (lane % kSame == 0) of_parts[(part * strips + strip) * kCount + lane / kSame] = sum;
  __syncthreads();
  const int threads = 32 * parts * strips;
  for (int i = (strip * parts + part) * 32 + lane; i < strips * kCount; i += threads) {
    const int64_t row = first_row + i % kCount / kColumns;
    const int64_t n = (int64_t{blockIdx.x} * strips + i / kCount) * kColumns + i % kColumns;
    if (row >= product.rows || n >= product.shape.n) continue;
    float y = of_parts[i];
    for (int p = 1; p < parts; ++p) y = y + of_parts[p * strips * kCount + i];
    product.y[row * product.y_stride + n] = product.bias == nullptr ? y : y + product.bias[n];
  }
}

template <int kRows, int kColumns>
int StartSized(const MatmulArgs& product, int parts, void* stream) {
  const PackedShape& shape = product.shape;
  const int64_t padded_chunk = (shape.chunk_k + kGranule - 1) / kGranule * kGranule;
  // Chunks without padding are one.
  const bool is_one = shape.chunk_count == 1 || padded_chunk == shape.chunk_k;
  GemvArgs args = {product, int(shape.chunk_k), int(padded_chunk), int(padded_chunk * shape.chunk_count / kGemvWide)};
  if (is_one) {
    args.chunk *= int(shape.chunk_count);
    args.padded_chunk *= int(shape.chunk_count);
  }
  const bool is_whole = is_one && args.chunk % kGemvWide == 0 && product.x_stride % kGemvWide == 0 &&
                        reinterpret_cast<uintptr_t>(product.x) % sizeof(Wide) == 0;
  const int strips = kGemvWarps / parts;
  const LaunchShape launch = {dim3{Blocks(shape.n, int64_t{strips} * kColumns), Blocks(product.rows, kRows)},
                              dim3{32, unsigned(parts), unsigned(strips)},
                              unsigned(kGemvWarps * kRows * kColumns * int(sizeof(float)))};
  return Launch(is_whole ? Gemv<kRows, kColumns, true> : Gemv<kRows, kColumns, false>, launch, stream, args);
}

}  // namespace

int StartGemvSplit(const MatmulArgs& args, const GemvSplit& split, void* stream) {
  if (args.rows == 0 || args.shape.n == 0) return 0;
  switch (split.rows) {
    case 1:
      return StartSized<1, 4>(args, split.parts, stream);
    case 2:
      return StartSized<2, 4>(args, split.parts, stream);
    case 4:
      return StartSized<4, 4>(args, split.parts, stream);
    case 8:
      return StartSized<8, 4>(args, split.parts, stream);
    default:
      return StartSized<16, 2>(args, split.parts, stream);
  }
}

int StartGemv(const MatmulArgs& args, void* stream) {
  const GemvSize size = {args.rows, args.shape.n, RowElements(args.shape)};
  return StartGemvSplit(args, GemvSplitOf(size, LimitsOfDevice().multiprocessors), stream);
}

}  // namespace mrs::kernels::cuda
