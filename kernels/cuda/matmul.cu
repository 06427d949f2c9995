// Products in the CPU's order, and from the CPU's layout: each output is one chain of FMAs down each chunk, then the
// tree over chunks.
//
// A thread keeps `kColumns` outputs that lie side by side in a block of sixteen, of kRows rows; a warp has 32 *
// kColumns outputs. Of these a chunk's weights come into shared memory a stage after another, by copies that run
// kMatmulStages ahead: a chain waits for its own FMAs (four cycles each), not for memory. x follows as f32, a stage
// ahead. What a block is made of (matmul_split.h): groups of rows on the same weights, threadIdx.y, and warps that
// share the chunks, threadIdx.z, each a range and so a subtree. A launch may have several products of one x, whose
// blocks come one after another (products.h), and what becomes of them (epilogue.h).
#include <algorithm>

#include "kernels/cuda/copies.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/matmul_split.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/products.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kTile = kMatmulTile;  // k: a granule, and the group of kBlock32
static_assert(kTile == kGranule);
constexpr int kPairs = kTile / 2;
// Constants, of calls that device code may not make.
template <typename T, int kColumns>
constexpr int kMostOf = MostTiles(sizeof(T), kColumns);
template <int kRows, int kColumns>
constexpr bool kHaveFetchers = HaveFetchers(kRows, kColumns);

// Even and odd k of a thread's outputs: a word of bf16 a column, two of f32.
template <typename T, int kColumns>
struct alignas(sizeof(T) * 2 * kColumns) Pair {
  uint32_t words[sizeof(T) / 2 * kColumns];
  __device__ float Even(int c) const { return FloatOf(sizeof(T) == 2 ? words[c] << 16 : words[2 * c]); }
  __device__ float Odd(int c) const { return FloatOf(sizeof(T) == 2 ? words[c] & 0xffff0000u : words[2 * c + 1]); }
};

template <Chain chain, int kRows, int kColumns>
struct Chains {
  float sums[kRows][kColumns] = {};

  // One tile: weights of this thread's first pair of k, the others `kStep` further each, and x, [kRows][stride].
  template <typename T, int kStep>
  __device__ void Take(const Pair<T, kColumns>* w, const float* x, int stride) {
    float evens[kRows][kColumns] = {}, odds[kRows][kColumns] = {};
#pragma unroll
    for (int i = 0; i < kPairs; i += 2) {
      const Pair<T, kColumns> first = w[i * kStep], second = w[(i + 1) * kStep];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float4 four = *reinterpret_cast<const float4*>(x + r * stride + 2 * i);
        Add(r, four.x, four.y, first, evens[r], odds[r]);
        Add(r, four.z, four.w, second, evens[r], odds[r]);
      }
    }
    if constexpr (chain == Chain::kBlock32) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int c = 0; c < kColumns; ++c) sums[r][c] = sums[r][c] + (evens[r][c] + odds[r][c]);
      }
    }
  }

  template <typename T>
  __device__ void Add(int r, float even_x, float odd_x, const Pair<T, kColumns>& w, float* evens, float* odds) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if constexpr (chain == Chain::kPair2) {
        sums[r][c] = __fmaf_rn(even_x, w.Even(c), __fmaf_rn(odd_x, w.Odd(c), sums[r][c]));
      } else {
        evens[c] = __fmaf_rn(even_x, w.Even(c), evens[c]);
        odds[c] = __fmaf_rn(odd_x, w.Odd(c), odds[c]);
      }
    }
  }
};

struct StageShape {
  int chunk_tiles, tiles;
};
// Where a warp is in its chunks; the last stage of a chunk may be short.
struct Stage {
  int number, chunk, tile;
  __device__ int Tiles(const StageShape& shape) const {
    return shape.chunk_tiles - tile < shape.tiles ? shape.chunk_tiles - tile : shape.tiles;
  }
  __device__ void Next(const StageShape& shape) {
    ++number;
    tile += shape.tiles;
    if (tile < shape.chunk_tiles) return;
    tile = 0;
    ++chunk;
  }
};

struct MatmulLaunchArgs {
  const void* x;
  int64_t rows, x_stride;
  int64_t chunk_k, chunk_count;
  PlacedParts placed;
  Epilogue after;
  unsigned blocks_of_rows;
  int stage_tiles;
  int64_t ring_floats, x_floats, sum_floats;
  // Of a run's weights, asked for before anything else: the first stages of a warp, or all that it has. Of a device no
  // more than its shared memory holds, on an H100 half of its L2.
  int64_t first_bytes;
};

template <typename T, Chain chain, int kRows, int kColumns, After kAfter>
__global__ void __launch_bounds__(MostMatmulThreads(kRows, kColumns), 1) Matmul(MatmulLaunchArgs launch) {
  MRS_SHARED(bytes);
  constexpr int kOutputs = 32 * kColumns;                         // of a warp
  constexpr int kRuns = kOutputs / kSumLanes;                     // blocks of sixteen outputs
  constexpr int kThreads = kSumLanes / kColumns;                  // on one
  constexpr int kTileBytes = kTile * kSumLanes * int(sizeof(T));  // of a run
  constexpr int kMost = kMostOf<T, kColumns>;
  constexpr bool kAreTwo = kHaveFetchers<kRows, kColumns>;
  const int lane = int(threadIdx.x % 32), group = int(threadIdx.y), warp = int(threadIdx.z);
  const bool fetches = !kAreTwo || threadIdx.x >= 32, multiplies = !kAreTwo || threadIdx.x < 32;
  const int groups = int(blockDim.y), warps = int(blockDim.z);
  const StageShape shape = {int((launch.chunk_k + kTile - 1) / kTile), launch.stage_tiles};
  const int chunks = int(launch.chunk_count) / warps, first_chunk = warp * chunks;
  const int run_bytes = shape.tiles * kTileBytes + 64;  // RunFloats
  const int stage_bytes = kRuns * run_bytes, x_stride = shape.tiles * kTile;
  // Weights a warp, then of each group and warp x, then its sums.
  unsigned char* const ring = bytes + warp * launch.ring_floats * 4;
  float* const own = reinterpret_cast<float*>(bytes + warps * launch.ring_floats * 4);
  float* const x_stages = own + (warp * groups + group) * launch.x_floats;
  float* const all_sums = own + warps * groups * launch.x_floats;
  float* const sums = all_sums + (warp * groups + group) * launch.sum_floats;  // [levels][kRows][kOutputs]
  // Blocks of the same weights and other rows come one after another.
  const BlockPart at_block = PartOf(launch.placed, blockIdx.x / launch.blocks_of_rows);
  const int64_t first_row = (blockIdx.x % launch.blocks_of_rows * groups + group) * int64_t{kRows};
  // Of pairs the first half of a warp's runs has the first outputs, the second half the second ones.
  constexpr int kHalf = kRuns / 2;
  constexpr int kOwnRuns = kIsPaired<kAfter> ? kHalf : kRuns;
  const int64_t first_run = at_block.block * int64_t{kOwnRuns};
  const int64_t outputs_of_part = Chosen(launch.placed, at_block.part).n;
  const int64_t outputs = kIsPaired<kAfter> ? outputs_of_part >> launch.after.shift : outputs_of_part;  // or pairs
  const int64_t runs = (outputs + kSumLanes - 1) / kSumLanes - first_run;  // that are there from it on
  const int thread_at = lane / kThreads * run_bytes + lane % kThreads * int(sizeof(Pair<T, kColumns>));

  // A stage of this warp's chunks: its groups copy it together.
  const int64_t run_step = launch.chunk_count * shape.chunk_tiles * kTileBytes;
  const uint32_t half_runs = launch.after.half / kSumLanes;  // of a head
  const int64_t run_in_memory = FirstOutput<kAfter>(half_runs, uint32_t(first_run));
  const int64_t weights_at = run_in_memory * run_step + int64_t{first_chunk} * shape.chunk_tiles * kTileBytes;
  const unsigned char* const weights =
      static_cast<const unsigned char*>(Chosen(launch.placed, at_block.part).w) + weights_at;
  [[maybe_unused]] const unsigned char* const of_second =
      kIsPaired<kAfter> ? static_cast<const unsigned char*>(
                              SecondOf<kAfter>(launch.placed, launch.after, at_block.part, half_runs * run_step).w) +
                              weights_at
                        : nullptr;
  // Runs of first outputs from the first one on, before as many follow as a head has of second ones.
  const uint32_t runs_of_head = kAfter == After::kTurned ? half_runs - uint32_t(first_run) % half_runs : ~0u;
  // What the first stages are copied from, a lane a run.
  if (fetches && group == 0 && lane < kOwnRuns && lane < runs) {
    const int64_t run = FirstOutput<kAfter>(half_runs, uint32_t(first_run + lane)) - run_in_memory;
    Prefetch(weights + run * run_step, unsigned(launch.first_bytes));
    if constexpr (kIsPaired<kAfter>) Prefetch(of_second + run * run_step, unsigned(launch.first_bytes));
  }
  AwaitPrevious();
  const auto copy = [&](Stage at) {
    if (at.chunk < chunks) {
      const int end = at.Tiles(shape) * kTileBytes, step = groups * 32 * 16;
      unsigned char* to = ring + at.number % kMatmulStages * stage_bytes;
      const int64_t begin = (int64_t{at.chunk} * shape.chunk_tiles + at.tile) * kTileBytes;
      uint32_t left = runs_of_head;
      const unsigned char* from = weights + begin;
#pragma unroll 1
      for (int run = 0; run < kRuns; ++run, to += run_bytes, from += run_step) {
        if (kIsPaired<kAfter> && run == kHalf) {
          left = runs_of_head;
          from = of_second + begin;
        }
        if ((run < kOwnRuns ? run : run - kHalf) >= runs) {
          AnyBytesDo(to, run_bytes);  // of columns that are not there
          continue;
        }
#pragma unroll 4
        for (int i = (group * 32 + lane) * 16; i < end; i += step) CopyAsync16(to + i, from + i);
        if (kAfter == After::kTurned && --left == 0) {
          left = half_runs;
          from += half_runs * run_step;
        }
      }
    }
    CommitCopies();
  };
  T x_next[kRows][kMost] = {};
  const auto fetch_x = [&](Stage at) {
    const int64_t k = at.tile * kTile + lane;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const T* const x = static_cast<const T*>(launch.x) + (first_row + r) * launch.x_stride +
                         (first_chunk + at.chunk) * launch.chunk_k;
      const bool is_row = first_row + r < launch.rows && at.chunk < chunks;
#pragma unroll
      for (int t = 0; t < kMost; ++t) {
        const bool is_there = is_row && t < shape.tiles && k + t * kTile < launch.chunk_k;
        x_next[r][t] = is_there ? x[k + t * kTile] : T{};
      }
    }
  };
  Stage fetched = {};
  if (fetches) {
    fetch_x(fetched);
#pragma unroll 1
    for (int s = 0; s < kMatmulStages - 1; ++s, fetched.Next(shape)) copy(fetched);
  }
  Chains<chain, kRows, kColumns> chains;
  for (Stage at = {}; at.chunk < chunks; at.Next(shape)) {
    if (fetches) {
      WaitForCopies<kMatmulStages - 2>();
      float* const x = x_stages + at.number % 2 * kRows * x_stride;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int t = 0; t < kMost; ++t) {
          if (t < shape.tiles) x[r * x_stride + t * kTile + lane] = ToF32(x_next[r][t]);
        }
      }
    }
    // This stage is there for all, and all have done with the one before, whose place the next copy takes.
    if (groups == 1 && !kAreTwo) {
      __syncwarp();
    } else {
      __syncthreads();
    }
    if (fetches) {
      Stage next = at;
      next.Next(shape);
      fetch_x(next);
      copy(fetched);
      fetched.Next(shape);
    }
    if (!multiplies) continue;
    const float* const x_stage = x_stages + at.number % 2 * kRows * x_stride;
    const int tiles = at.Tiles(shape);
    const unsigned char* w = ring + at.number % kMatmulStages * stage_bytes + thread_at;
#pragma unroll kMost
    for (int t = 0; t < tiles; ++t, w += kTileBytes) {
      chains.template Take<T, kThreads>(reinterpret_cast<const Pair<T, kColumns>*>(w), x_stage + t * kTile, x_stride);
    }
    if (at.tile + tiles != shape.chunk_tiles) continue;
    // A chunk's end. Its sums join what waits of a left subtree as large, and so on; then they wait, or are the
    // warp's. Each thread keeps its own.
    int level = 0;
    for (; at.chunk >> level & 1; ++level) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          chains.sums[r][c] = sums[(level * kRows + r) * kOutputs + lane * kColumns + c] + chains.sums[r][c];
        }
      }
    }
    if (at.chunk + 1 == chunks) level = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        sums[(level * kRows + r) * kOutputs + lane * kColumns + c] = chains.sums[r][c];
      }
    }
    chains = {};
  }
  __syncthreads();
  // A thread an output of a row, or a pair: the tree over the warps.
  const int64_t warp_floats = groups * launch.sum_floats;
  const auto sum_up = [&](int i) {
    float* const parts = all_sums + group * launch.sum_floats + i;
    for (int d = 1; d < warps; d *= 2) {
      for (int p = 0; p < warps; p += 2 * d)
        parts[p * warp_floats] = parts[p * warp_floats] + parts[(p + d) * warp_floats];
    }
    return parts[0];
  };
  constexpr int kOwn = kIsPaired<kAfter> ? kOutputs / 2 : kOutputs;
  for (int i = warp * int(blockDim.x) + int(threadIdx.x); i < kRows * kOwn; i += int(blockDim.x) * warps) {
    const int column = i % kOwn, row_of_group = i / kOwn;
    const int64_t n = first_run * kSumLanes + column;
    const int64_t row = first_row + row_of_group;
    if (n >= outputs || row >= launch.rows) continue;
    float sums_of[2] = {sum_up(row_of_group * kOutputs + column)};
    if constexpr (kIsPaired<kAfter>) sums_of[1] = sum_up(row_of_group * kOutputs + kOwn + column);
    PutOutput<kAfter>(launch.placed, launch.after, at_block.part, row, n, sums_of);
  }
  if constexpr (kAfter == After::kNormed) NormIfLast(launch.after, launch.rows, outputs, bytes);
}

int64_t ThreadsOf(const MatmulSplit& s) { return (HaveFetchers(s.rows, s.columns) ? 64 : 32) * s.groups * s.warps; }

template <typename T, Chain chain, int kRows, int kColumns>
int StartMatmul(const MatmulGroupArgs& a, const Epilogue& after, const MatmulSplit& s, void* stream) {
  int64_t strips = 0;
  const PlacedParts placed = PlaceParts(a, after, 32 * kColumns, &strips);
  if (strips == 0) return 0;
  const int64_t own_tiles = a.chunk_count / s.warps * CeilOf(a.chunk_k, kTile);
  const int64_t first_tiles = std::min(own_tiles, (kMatmulStages - 1) * s.tiles);
  const MatmulLaunchArgs launch = {a.x,
                                   a.rows,
                                   a.x_stride,
                                   a.chunk_k,
                                   a.chunk_count,
                                   placed,
                                   after,
                                   unsigned(s.blocks_of_rows),
                                   int(s.tiles),
                                   s.ring_floats,
                                   s.x_floats,
                                   s.sum_floats,
                                   first_tiles * kTile * kSumLanes * int64_t{sizeof(T)}};
  const LaunchShape shape = {
      dim3{unsigned(strips * s.blocks_of_rows)},
      dim3{HaveFetchers(kRows, kColumns) ? 64u : 32u, unsigned(s.groups), unsigned(s.warps)},
      std::max(unsigned(s.SharedBytes()), after.kind == After::kNormed ? NormedBytes(unsigned(ThreadsOf(s))) : 0u),
      true};
  const auto start = [&]<After kAfter>() {
    return Launch(Matmul<T, chain, kRows, kColumns, kAfter>, shape, stream, launch);
  };
  if (after.kind == After::kGated) return start.template operator()<After::kGated>();
  if constexpr (sizeof(T) == 2) {  // IsOneLaunch
    if (after.kind == After::kTurned) return start.template operator()<After::kTurned>();
    if constexpr (kRows <= kMostNormedRows) {
      if (after.kind == After::kNormed && after.count != nullptr) return start.template operator()<After::kNormed>();
    }
  }
  return after.kind == After::kStored ? start.template operator()<After::kStored>() : kInvalidValue;
}

template <typename T, Chain chain>
int StartGroup(const MatmulGroupArgs& args, const Epilogue& after, const MatmulSplit& split, void* stream) {
  if (args.rows == 0) return 0;
  if (split.rows == 1) return StartMatmul<T, chain, 1, 1>(args, after, split, stream);
  if (split.rows == 2) return StartMatmul<T, chain, 2, 1>(args, after, split, stream);
  if (split.rows == 4) return StartMatmul<T, chain, 4, 2>(args, after, split, stream);
  return StartMatmul<T, chain, 8, MostColumns(sizeof(T))>(args, after, split, stream);
}

// As one product of all their outputs is spread.
MatmulSplit SplitOfGroup(const MatmulGroupArgs& args) {
  const DeviceLimits& limits = LimitsOfDevice();
  const MatmulSize size = {args.rows, ColumnsOf(args), args.chunk_count, args.type == Type::kBf16 ? 2 : 4};
  return SplitOf(size, {limits.multiprocessors, limits.block_shared_bytes});
}

template <Chain chain>
int StartSplit(const MatmulGroupArgs& args, const Epilogue& after, const MatmulSplit& split, void* stream) {
  return args.type == Type::kBf16 ? StartGroup<bf16, chain>(args, after, split, stream)
                                  : StartGroup<float, chain>(args, after, split, stream);
}

const Module kModule(Matmul<bf16, Chain::kPair2, 1, 1, After::kStored>);

}  // namespace

template <Chain chain>
int StartSplit(const MatmulGroupArgs& args, const MatmulSplit& split, void* stream) {
  return StartSplit<chain>(args, Epilogue{}, split, stream);
}
template <Chain chain>
int StartSplit(const GatedMatmulArgs& args, const MatmulSplit& split, void* stream) {
  return StartSplit<chain>(args.of, EpilogueOf(args), split, stream);
}
template <Chain chain>
int StartSplit(const MatmulRopeAppendArgs& args, const MatmulSplit& split, void* stream) {
  return StartSplit<chain>(args.of, EpilogueOf(args), split, stream);
}
template <Chain chain>
int StartSplit(const MatmulAddRmsNormArgs& args, const MatmulSplit& split, void* stream) {
  return StartSplit<chain>(args.of, EpilogueOf(args, WorkspaceOfThread().counts), split, stream);
}
template <Chain chain>
int Start(const MatmulGroupArgs& args, void* stream) {
  return StartSplit<chain>(args, SplitOfGroup(args), stream);
}
template <Chain chain>
int Start(const GatedMatmulArgs& args, void* stream) {
  return StartSplit<chain>(args, SplitOfGroup(args.of), stream);
}
template <Chain chain>
int Start(const MatmulRopeAppendArgs& args, void* stream) {
  if (IsOneLaunch(args)) return StartSplit<chain>(args, SplitOfGroup(args.of), stream);
  const int error = Start<chain>(args.of, stream);
  return error != 0 ? error : Start(args.then, stream);
}
template <Chain chain>
int Start(const MatmulAddRmsNormArgs& args, void* stream) {
  const MatmulSplit split = SplitOfGroup(args.of);
  if (IsOneLaunch(args, ThreadsOf(split), WorkspaceOfThread().counts)) return StartSplit<chain>(args, split, stream);
  const int error = StartSplit<chain>(args.of, split, stream);
  return error != 0 ? error : Start(args.then, stream);
}
template <typename T, Chain chain>
int Start(const MatmulArgs& args, void* stream) {
  return Start<chain>(GroupOf(args, sizeof(T) == 2 ? Type::kBf16 : Type::kF32), stream);
}

#define ROW(name, Args)                                                             \
  template int StartSplit<Chain::kPair2>(const Args&, const MatmulSplit&, void*);   \
  template int StartSplit<Chain::kBlock32>(const Args&, const MatmulSplit&, void*); \
  template int Start<Chain::kPair2>(const Args&, void*);                            \
  template int Start<Chain::kBlock32>(const Args&, void*);
MRS_FUSED_PRODUCTS(ROW)
#undef ROW
#define BOTH(chain)                                           \
  template int Start<float, chain>(const MatmulArgs&, void*); \
  template int Start<bf16, chain>(const MatmulArgs&, void*)
BOTH(Chain::kPair2);
BOTH(Chain::kBlock32);
#undef BOTH

}  // namespace mrs::kernels::cuda
