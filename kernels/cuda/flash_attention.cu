// Paged attention of many tokens in fast numerics, on tensor cores: a thread block a tile of 64 rows, which are tokens
// of one run and the query heads of a KV head; a warp sixteen of them. It walks the run's KV blocks of 32 tokens with
// the maxima, sums and results of its rows in registers, in one pass (online softmax); and adds what a head's sink has
// to the sums.
//
// Per KV block: scores by Q K^T, weights p = 2^(score - maximum) as bf16, the result by p V. K is copied to shared
// memory while the block before it is weighed, V while scores are made. K lies by pairs of head_dim, [head_dim / 2][32]
// words of two: just what mma takes as b, and four tokens are one load. So tile j of four has tokens 4c + j for its
// columns c, and rows of V are put in that order: token t at row t % 4 * 8 + t / 4.
//
// Bytes: K and V of a run once a tile and KV head, from caches after the first. Flops: 4 * rows * tokens seen *
// head_dim. A token that no row of its run sees may be anything; one that another row sees must be finite, as its
// weight of zero is multiplied. exp2f is the device's own, not math_inline.h's: of it a bound is promised, and no bits.
#include "kernels/cuda/copies.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/fast.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/tensor_cores.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kThreads = kFlashWarps * 32;
constexpr int kTokens = int(kBlockTokens);
constexpr int kWide = 8;                  // elements that a thread copies at once: sixteen bytes
constexpr int kPairStride = kTokens + 8;  // words from one pair of K to the next: no two of a load in one bank
constexpr float kLog2E = 0x1.715476p+0f;  // log2(e), to the nearest float
constexpr float kMinusInfinity = -HUGE_VALF;
static_assert(kBlockTokens == 32 && kFlashGranule == kWide);

template <int kHeadDim>
struct FlashShared {
  static constexpr int kRowStride = kHeadDim + kWide;  // elements from one row of V to the next, likewise
  // Of more, a warp's registers have no room for Q beside the sums: each thread leaves its words here.
  static constexpr bool kHasQ = kHeadDim > 128;
  alignas(16) uint32_t k[kHeadDim / 2][kPairStride];
  alignas(16) bf16 v[kTokens][kRowStride];
  uint4 q[kHasQ ? kHeadDim / 16 : 1][kHasQ ? kThreads : 1];
};

struct FlashArgs {
  AttentionArgs of;
  FlashTile tile;
  float factor;  // of a product, before what caps it; without a cap its score is to the base 2
};

// Tokens that are neighbours in one sequence.
struct Run {
  int64_t first;  // of the batch
  int tokens;     // 0: there is none
};
__device__ Run FindRun(const AttentionArgs& a, int64_t begin, int64_t end, int wanted) {
  Run run = {begin, 0};
  int number = -1;
  for (int64_t t = begin; t < end; ++t) {
    const bool goes_on = t > begin && a.sequence[t] == a.sequence[t - 1] && a.positions[t] == a.positions[t - 1] + 1;
    if (!goes_on) ++number;
    if (number > wanted) break;
    if (number < wanted) continue;
    if (run.tokens == 0) run.first = t;
    ++run.tokens;
  }
  return run;
}

// Tokens that a row sees, of its sequence.
struct Seen {
  int begin, end;
};
__device__ Seen SeenFrom(const AttentionArgs& a, int position) {
  const int end = position + 1;
  return {a.window == 0 || a.window > end ? 0 : end - int(a.window), end};
}

// Of the two rows that a lane has a part of: lanes with the same share them, and go through them in step.
__device__ float MaxOfRow(float value) {
  for (int s = 1; s <= 2; s *= 2) {
    const float other = __shfl_xor_sync(~0u, value, s);
    value = other > value ? other : value;
  }
  return value;
}
__device__ float SumOfRow(float value) {
  for (int s = 1; s <= 2; s *= 2) value = value + __shfl_xor_sync(~0u, value, s);
  return value;
}

// The pairs of a KV block and head, as they lie.
template <int kHeadDim>
__device__ void StartK(FlashShared<kHeadDim>& shared, const AttentionArgs& a, int64_t base) {
  constexpr int kChunks = kTokens * 2 / kWide;  // of a pair
  const bf16* const k = static_cast<const bf16*>(a.cache.k) + base;
  for (int i = int(threadIdx.x); i < int(a.cache.head_dim) / 2 * kChunks; i += kThreads) {
    CopyAsync16(&shared.k[i / kChunks][i % kChunks * (kWide / 2)], k + i * kWide);
  }
  CommitCopies();
}

// Its rows of V, four threads each; those of tokens outside of [begin, end) are zero.
template <int kHeadDim>
__device__ void StartV(FlashShared<kHeadDim>& shared, const AttentionArgs& a, int64_t base, int begin, int end) {
  constexpr int kThreadsOfRow = kThreads / kTokens;
  const int token = int(threadIdx.x) / kThreadsOfRow, head_dim = int(a.cache.head_dim);
  const bf16* const v = static_cast<const bf16*>(a.cache.v) + base + token * head_dim;
  bf16* const row = shared.v[token % 4 * 8 + token / 4];
  const bool is_seen = token >= begin && token < end;
  for (int d = int(threadIdx.x) % kThreadsOfRow * kWide; d < head_dim; d += kThreadsOfRow * kWide) {
    if (is_seen) {
      CopyAsync16(row + d, v + d);
    } else {
      *reinterpret_cast<uint4*>(row + d) = uint4{0, 0, 0, 0};
    }
  }
  CommitCopies();
}

// kIsCapped: scores are, by soft_cap.
template <int kHeadDim, bool kIsCapped>
__global__ void __launch_bounds__(kThreads, kHeadDim <= 64 ? 3 : 2) Flash(FlashArgs launch) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  constexpr bool kHasQ = FlashShared<kHeadDim>::kHasQ;
  [[maybe_unused]] constexpr int kStepsAtOnce = kHasQ ? 4 : kHeadDim / 16;  // of what is in registers, all
  FlashShared<kHeadDim>& shared = *reinterpret_cast<FlashShared<kHeadDim>*>(bytes);
  const AttentionArgs& a = launch.of;
  const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int g = lane / 4, t = lane % 4;  // tensor_cores.h
  const int head_dim = int(a.cache.head_dim);
  const int group = int(a.heads / a.cache.kv_heads);
  const int64_t kv_head = blockIdx.y / unsigned(launch.tile.parts);
  const int first_head = int(blockIdx.y) % launch.tile.parts * launch.tile.heads;
  // Later tokens have more to walk through, so they begin.
  const int64_t tile_begin = int64_t{gridDim.x - 1 - blockIdx.x} * launch.tile.tokens;
  const int64_t tile_end = tile_begin + launch.tile.tokens < a.tokens ? tile_begin + launch.tile.tokens : a.tokens;
  // What K and V have not is zero.
  for (int i = head_dim / 2 * kTokens + thread; i < kHeadDim / 2 * kTokens; i += kThreads) {
    shared.k[i / kTokens][i % kTokens] = 0;
  }
  for (int d = head_dim + thread / kTokens; d < kHeadDim; d += kThreads / kTokens) shared.v[thread % kTokens][d] = {0};

  for (int number = int(blockIdx.z);; number += int(gridDim.z)) {
    const Run run = FindRun(a, tile_begin, tile_end, number);
    if (run.tokens == 0) break;
    const int position = a.positions[run.first];
    const Seen of_first = SeenFrom(a, position), of_last = SeenFrom(a, position + run.tokens - 1);
    const int32_t* const blocks = a.block_table + a.sequence[run.first] * a.table_stride;
    const auto base_of = [&](int start) {
      return (blocks[start / kTokens] * a.cache.kv_heads + kv_head) * head_dim * kTokens;
    };

    // This lane's rows, g and g + 8 of its warp's; one that is not there sees nothing, and is stored nowhere.
    int rows[2];  // of q and y; -1: none
    Seen seen[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = warp * 16 + i * 8 + g;
      const int token = row / launch.tile.heads, head = first_head + row % launch.tile.heads;
      const bool is_there = token < run.tokens && head < group;
      rows[i] = is_there ? int(run.first + token) * int(a.heads) + int(kv_head) * group + head : -1;
      seen[i] = is_there ? SeenFrom(a, position + token) : Seen{0, 0};
    }
    uint32_t q[kHasQ ? 1 : kHeadDim / 16][4];
#pragma unroll
    for (int s = 0; s < kHeadDim / 16; ++s) {
      uint32_t(&words)[4] = q[kHasQ ? 0 : s];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = rows[i % 2], d = s * 16 + i / 2 * 8 + t * 2;
        const bf16* const at = static_cast<const bf16*>(a.q) + int64_t{row} * head_dim + d;
        words[i] = row >= 0 && d < head_dim ? *reinterpret_cast<const uint32_t*>(at) : 0;
      }
      if constexpr (kHasQ) shared.q[s][thread] = uint4{words[0], words[1], words[2], words[3]};
    }

    float o[kHeadDim / 8][4] = {};                                     // as mma has c: row g, then row g + 8
    float max[2] = {kMinusInfinity, kMinusInfinity}, sum[2] = {0, 0};  // sums of this lane's columns alone
    int start = of_first.begin / kTokens * kTokens;
    StartK(shared, a, base_of(start));
    for (; start < of_last.end; start += kTokens) {
      WaitForCopies<0>();
      __syncthreads();  // K is there; and all have V of the block before behind them
      StartV(shared, a, base_of(start), of_first.begin - start, of_last.end - start);
      float scores[4][4] = {};
#pragma unroll kStepsAtOnce
      for (int s = 0; s < kHeadDim / 16; ++s) {
        const uint4 low = *reinterpret_cast<const uint4*>(&shared.k[s * 8 + t][g * 4]);
        const uint4 high = *reinterpret_cast<const uint4*>(&shared.k[s * 8 + 4 + t][g * 4]);
        uint32_t(&words)[4] = q[kHasQ ? 0 : s];
        if constexpr (kHasQ) {
          const uint4 own = shared.q[s][thread];
          words[0] = own.x, words[1] = own.y, words[2] = own.z, words[3] = own.w;
        }
        MultiplyTiles(scores[0], words, low.x, high.x);
        MultiplyTiles(scores[1], words, low.y, high.y);
        MultiplyTiles(scores[2], words, low.z, high.z);
        MultiplyTiles(scores[3], words, low.w, high.w);
      }
      uint32_t p[4][2];  // [tile][row], of two columns
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        // Tokens that the row sees, counted from this lane's first.
        const int begin = seen[i].begin - start - t * 8, end = seen[i].end - start - t * 8;
        float of_block = max[i];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            float& score = scores[j][i * 2 + c];
            score = score * launch.factor;
            if constexpr (kIsCapped) score = a.soft_cap * kLog2E * math::Tanh(score);
            const int token = c * 4 + j;
            score = token >= begin && token < end ? score : kMinusInfinity;
            of_block = score > of_block ? score : of_block;
          }
        }
        of_block = MaxOfRow(of_block);
        const float base = of_block == kMinusInfinity ? 0.0f : of_block;  // of a row that has seen nothing yet
        const float scale = exp2f(max[i] - base);
        max[i] = of_block;
        sum[i] = sum[i] * scale;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          p[j][i] = PackBf16(exp2f(scores[j][i * 2] - base), exp2f(scores[j][i * 2 + 1] - base));
          sum[i] = sum[i] + (FloatOf(p[j][i] << 16) + FloatOf(p[j][i] & 0xffff0000u));
        }
#pragma unroll
        for (int n = 0; n < kHeadDim / 8; ++n) {
          o[n][i * 2] = o[n][i * 2] * scale;
          o[n][i * 2 + 1] = o[n][i * 2 + 1] * scale;
        }
      }
      WaitForCopies<0>();
      __syncthreads();  // V is there; and all have K behind them
      if (start + kTokens < of_last.end) StartK(shared, a, base_of(start + kTokens));
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        const uint32_t weights[4] = {p[s * 2][0], p[s * 2][1], p[s * 2 + 1][0], p[s * 2 + 1][1]};
#pragma unroll
        for (int n = 0; n < kHeadDim / 16; ++n) {
          uint32_t v[4];
          LoadTransposed(v, &shared.v[s * 16 + lane % 16][n * 16 + lane / 16 * 8]);
          MultiplyTiles(o[n * 2], weights, v[0], v[1]);
          MultiplyTiles(o[n * 2 + 1], weights, v[2], v[3]);
        }
      }
    }

#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float of_row = SumOfRow(sum[i]);
      if (rows[i] < 0) continue;
      if (a.sinks != nullptr) of_row = of_row + exp2f(a.sinks[rows[i] % int(a.heads)] * kLog2E - max[i]);
      uint32_t* const y = reinterpret_cast<uint32_t*>(static_cast<bf16*>(a.y) + int64_t{rows[i]} * head_dim);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
        if (n * 8 < head_dim) y[n * 4 + t] = PackBf16(o[n][i * 2] / of_row, o[n][i * 2 + 1] / of_row);
      }
    }
  }
}

template <int kHeadDim>
int StartPadded(const FlashArgs& args, int runs_at_once, void* stream) {
  const AttentionArgs& a = args.of;
  const LaunchShape shape = {
      dim3{Blocks(a.tokens, args.tile.tokens), unsigned(a.cache.kv_heads * args.tile.parts), unsigned(runs_at_once)},
      dim3{kThreads}, unsigned(sizeof(FlashShared<kHeadDim>))};
  return Launch(a.soft_cap == 0 ? Flash<kHeadDim, false> : Flash<kHeadDim, true>, shape, stream, args);
}

const Module kModule(Flash<128, false>);

}  // namespace

int StartFlash(const AttentionArgs& args, int runs_at_once, void* stream) {
  if (args.tokens == 0) return 0;
  const FlashTile tile = FlashTileOf(args.heads / args.cache.kv_heads);
  const float factor = args.soft_cap == 0 ? args.scale * kLog2E : args.scale / args.soft_cap;
  const FlashArgs launch = {args, tile, factor};
  const int64_t head_dim = args.cache.head_dim;
  if (head_dim <= 64) return StartPadded<64>(launch, runs_at_once, stream);
  if (head_dim <= 96) return StartPadded<96>(launch, runs_at_once, stream);
  if (head_dim <= 128) return StartPadded<128>(launch, runs_at_once, stream);
  return StartPadded<256>(launch, runs_at_once, stream);
}

int StartFastAttention(const AttentionArgs& a, void* stream) {
  const AttentionSize size = {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
  if (!FlashTakes(size, LimitsOfDevice().multiprocessors, WorkspaceOfThread().BytesOfSpread())) {
    return Start<bf16, Chain::kPair2>(a, stream);
  }
  return StartFlash(a, kFlashRunsAtOnce, stream);
}

}  // namespace mrs::kernels::cuda
