// Products of few rows in fast numerics, from weights that lie row after row.
//
// A warp has kRows rows of kColumns outputs. Its lanes read sixteen bytes of each output's weights side by side, 512
// bytes a step, and of x what belongs to them; each keeps one f32 chain an output and row. At the end the chains of the
// lanes are added, then those of the warps that share K, then the bias. A launch may have several products of one x,
// whose blocks come one after another (products.h), and what becomes of them (epilogue.h). Bytes: weights once (of
// more than sixteen rows, once for each sixteen); x comes from the caches. Flops: 2 * rows * n * k.
#include <algorithm>

#include "kernels/cuda/device.h"
#include "kernels/cuda/fast.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/products.h"
#include "kernels/rows.h"

namespace mrs::kernels::cuda {
namespace {

struct alignas(16) Wide {
  uint32_t words[kGemvWide / 2];
  __device__ float At(int i) const { return FloatOf(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u); }
};

// Of a block's weights, asked for before anything else. Of the blocks that an H100 runs at once 17 MB, a third of its
// L2.
constexpr int kFirstBytes = 64 << 10;

struct GemvArgs {
  const bf16* x;
  int64_t rows, x_stride;
  PlacedParts placed;
  Epilogue after;
  int chunk, padded_chunk;  // elements of K that lie together in x, and in a row of weights
  int row_wides;            // of a row of weights
  int first_bytes;          // of one, asked for before anything else
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

// By element, eight rows need more registers than two blocks of a multiprocessor have. The norm of a last block is to
// leave room for those of the launch after it.
[[maybe_unused]] constexpr int BlocksAtOnce(int rows, bool is_whole, bool norms) {
  return norms ? 3 : rows < (is_whole ? 16 : 8) ? 2 : 1;
}

// kIsWhole: x has one chunk, whose rows begin at sixteen bytes, as do all eights of it.
template <int kRows, int kColumns, bool kIsWhole, After kAfter>
__global__ void __launch_bounds__(kGemvWarps * 32, BlocksAtOnce(kRows, kIsWhole, kAfter == After::kNormed))
    Gemv(GemvArgs a) {
  MRS_SHARED(bytes);
  constexpr int kCount = kRows * kColumns;
  constexpr int kSame = 32 / kCount;  // lanes that get one sum
  const int lane = int(threadIdx.x), part = int(threadIdx.y), strip = int(threadIdx.z);
  const int parts = int(blockDim.y), strips = int(blockDim.z);
  // Of pairs the first half of a warp's columns has the first outputs, the second half the second ones.
  constexpr int kHalf = kColumns / 2;
  constexpr int kOwn = kIsPaired<kAfter> ? kHalf : kColumns;
  const BlockPart at_block = PartOf(a.placed, blockIdx.x);
  const int64_t row_bytes = a.row_wides * int64_t{sizeof(Wide)};
  const int64_t outputs_of_part = Chosen(a.placed, at_block.part).n;
  const int64_t outputs = kIsPaired<kAfter> ? outputs_of_part >> a.after.shift : outputs_of_part;  // or pairs
  const int64_t first_strip = int64_t{at_block.block} * strips;
  const int64_t column = (first_strip + strip) * kOwn;
  const int64_t first_row = int64_t{blockIdx.y} * kRows;
  const int64_t first_output = FirstOutput<kAfter>(a.after.half, uint32_t(column));
  const Wide* const weights = static_cast<const Wide*>(Chosen(a.placed, at_block.part).w) + first_output * a.row_wides;
  [[maybe_unused]] const Wide* const of_second =
      kIsPaired<kAfter>
          ? static_cast<const Wide*>(SecondOf<kAfter>(a.placed, a.after, at_block.part, a.after.half * row_bytes).w) +
                first_output * a.row_wides
          : nullptr;
  // A lane a column.
  if (part == 0 && lane < kOwn && column < outputs) {
    Prefetch(weights + lane * a.row_wides, unsigned(a.first_bytes));
    if constexpr (kIsPaired<kAfter>) Prefetch(of_second + lane * a.row_wides, unsigned(a.first_bytes));
  }
  AwaitPrevious();
  float sums[kCount] = {};
  // Then all of its columns are there: rows of weights, and pairs of a head, are a multiple of sixteen.
  if (column < outputs) {
    const bf16* const x = a.x + first_row * a.x_stride;
    const int rows = a.rows - first_row < kRows ? int(a.rows - first_row) : kRows;
    // Of many rows there is enough to do for each load, and by element enough loads.
    [[maybe_unused]] constexpr int kAtOnce = kIsWhole && kRows < 8 ? 2 : 1;
#pragma unroll kAtOnce
    for (int wide = part * 32 + lane; wide < a.row_wides; wide += parts * 32) {
      Wide w[kColumns];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const Wide* const from = kIsPaired<kAfter> && c >= kHalf ? of_second : weights;
        w[c] = from[int64_t{c % kOwn} * a.row_wides + wide];
      }
      const int at = wide * kGemvWide;
      const int chunk = kIsWhole ? 0 : at / a.padded_chunk;
      const int k = at - chunk * a.padded_chunk;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float values[kGemvWide];
        const int row = r < rows ? r : 0;  // one that is not there is another, whose sums nobody stores
        LoadX<kIsWhole>(a, x + row * a.x_stride + int64_t{chunk} * a.chunk, k, values);
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
  const auto sum_up = [&](int i) {
    float y = of_parts[i];
    for (int p = 1; p < parts; ++p) y = y + of_parts[p * strips * kCount + i];
    return y;
  };
  const int threads = 32 * parts * strips, results = strips * kRows * kOwn;
  for (int i = (strip * parts + part) * 32 + lane; i < results; i += threads) {
    const int column_of_strip = i % kOwn, row_of_block = i / kOwn % kRows;
    const int strip_of_block = i / (kOwn * kRows);
    const int64_t row = first_row + row_of_block;
    const int64_t n = (first_strip + strip_of_block) * kOwn + column_of_strip;
    if (row >= a.rows || n >= outputs) continue;
    const int at = strip_of_block * kCount + row_of_block * kColumns + column_of_strip;
    float sums_of[2] = {sum_up(at)};
    if constexpr (kIsPaired<kAfter>) sums_of[1] = sum_up(at + kHalf);
    PutOutput<kAfter>(a.placed, a.after, at_block.part, row, n, sums_of);
  }
  if constexpr (kAfter == After::kNormed) NormIfLast(a.after, a.rows, outputs, bytes);
}

template <int kRows, int kColumns>
int StartSized(const MatmulGroupArgs& group, const Epilogue& after, int parts, void* stream) {
  const int64_t padded_chunk = (group.chunk_k + kGranule - 1) / kGranule * kGranule;
  // Chunks without padding are one.
  const bool is_one = group.chunk_count == 1 || padded_chunk == group.chunk_k;
  const int strips = kGemvWarps / parts;
  int64_t blocks = 0;
  GemvArgs args = {static_cast<const bf16*>(group.x),
                   group.rows,
                   group.x_stride,
                   PlaceParts(group, after, int64_t{strips} * kColumns, &blocks),
                   after,
                   int(group.chunk_k),
                   int(padded_chunk),
                   int(padded_chunk * group.chunk_count / kGemvWide),
                   0};
  if (blocks == 0) return 0;
  args.first_bytes = std::min(args.row_wides * int(sizeof(Wide)), kFirstBytes / (strips * kColumns));
  if (is_one) {
    args.chunk *= int(group.chunk_count);
    args.padded_chunk *= int(group.chunk_count);
  }
  const bool is_whole = is_one && args.chunk % kGemvWide == 0 && group.x_stride % kGemvWide == 0 &&
                        reinterpret_cast<uintptr_t>(group.x) % sizeof(Wide) == 0;
  const LaunchShape launch = {dim3{unsigned(blocks), Blocks(group.rows, kRows)},
                              dim3{32, unsigned(parts), unsigned(strips)},
                              std::max(unsigned(kGemvWarps * kRows * kColumns * int(sizeof(float))),
                                       after.kind == After::kNormed ? NormedBytes(kGemvWarps * 32) : 0u)};
  const auto start = [&]<After kAfter>() {
    return Launch(is_whole ? Gemv<kRows, kColumns, true, kAfter> : Gemv<kRows, kColumns, false, kAfter>, launch, stream,
                  args);
  };
  if (after.kind == After::kGated) return start.template operator()<After::kGated>();
  if (after.kind == After::kTurned) return start.template operator()<After::kTurned>();
  if constexpr (kRows <= kMostNormedRows) {
    if (after.kind == After::kNormed && after.count != nullptr) return start.template operator()<After::kNormed>();
  }
  return after.kind == After::kStored ? start.template operator()<After::kStored>() : kInvalidValue;
}

int StartSplit(const MatmulGroupArgs& args, const Epilogue& after, const GemvSplit& split, void* stream) {
  if (args.rows == 0) return 0;
  switch (split.rows) {
    case 1:
      return StartSized<1, 4>(args, after, split.parts, stream);
    case 2:
      return StartSized<2, 4>(args, after, split.parts, stream);
    case 4:
      return StartSized<4, 4>(args, after, split.parts, stream);
    case 8:
      return StartSized<8, 4>(args, after, split.parts, stream);
    default:
      return StartSized<16, 2>(args, after, split.parts, stream);
  }
}

// As one product of all their outputs is spread.
GemvSplit SplitOfGroup(const MatmulGroupArgs& args) {
  const int64_t row_elements = RowElements({1, args.chunk_k, args.chunk_count});
  return GemvSplitOf({args.rows, ColumnsOf(args), row_elements}, LimitsOfDevice().multiprocessors);
}

const Module kModule(Gemv<1, 4, false, After::kStored>);

}  // namespace

int StartGemvSplit(const MatmulGroupArgs& args, const GemvSplit& split, void* stream) {
  return StartSplit(args, Epilogue{}, split, stream);
}
int StartGemvSplit(const GatedMatmulArgs& args, const GemvSplit& split, void* stream) {
  return StartSplit(args.of, EpilogueOf(args), split, stream);
}
int StartGemvSplit(const MatmulRopeAppendArgs& args, const GemvSplit& split, void* stream) {
  return StartSplit(args.of, EpilogueOf(args), split, stream);
}
int StartGemvSplit(const MatmulAddRmsNormArgs& args, const GemvSplit& split, void* stream) {
  return StartSplit(args.of, EpilogueOf(args, WorkspaceOfThread().counts), split, stream);
}
int StartGemv(const MatmulGroupArgs& args, void* stream) { return StartGemvSplit(args, SplitOfGroup(args), stream); }
int StartGemv(const GatedMatmulArgs& args, void* stream) { return StartGemvSplit(args, SplitOfGroup(args.of), stream); }
int StartGemv(const MatmulArgs& args, void* stream) { return StartGemv(GroupOf(args, Type::kBf16), stream); }
int StartGemv(const MatmulRopeAppendArgs& args, void* stream) {
  if (IsOneLaunch(args)) return StartGemvSplit(args, SplitOfGroup(args.of), stream);
  const int error = StartGemv(args.of, stream);
  return error != 0 ? error : Start(args.then, stream);
}
int StartGemv(const MatmulAddRmsNormArgs& args, void* stream) {
  const GemvSplit split = SplitOfGroup(args.of);
  if (IsOneLaunch(args, kGemvWarps * 32, WorkspaceOfThread().counts)) return StartGemvSplit(args, split, stream);
  const int error = StartGemvSplit(args.of, split, stream);
  return error != 0 ? error : Start(args.then, stream);
}

}  // namespace mrs::kernels::cuda
