// Paged attention in the CPU's order: a thread block a KV head of a token, a segment of 512 tokens at a time.
//
// What the order leaves free is done side by side. Scores do not depend on each other: a warp a KV block, a lane a
// token, up to four query heads from one read of K. Running maxima are prefixes of the blocks' maxima. Elements of the
// result are chains over the segment's tokens, each a thread's. Segments depend on nothing: where there are too few KV
// heads and tokens for a device, several blocks take a context's, and the last of them merges (attention_split.h);
// else they are merged as they come. In order, both; a head's sink is added to the sum of all.
#include "kernels/cuda/device.h"
#include "kernels/cuda/exact.h"
#include "kernels/cuda/modules.h"
#include "kernels/cuda/signals.h"

namespace mrs::kernels::cuda {
namespace {

constexpr int kWarps = int(kSegmentBlocks);  // a KV block each
constexpr int kThreads = kWarps * 32;
constexpr int kHeads = 4;    // query heads of a KV head at a time
constexpr int kSlice = 512;  // elements of head_dim at a time; scores are made anew for the next
constexpr int kPerThread = kHeads * kSlice / kThreads;
constexpr int kTokens = int(kSegmentBlocks * kBlockTokens);
constexpr float kMinusInfinity = -HUGE_VALF;
static_assert(kBlockTokens == 32);  // a lane a token

// Of a segment, by query head; pointers to V follow, and q as f32: [kHeads][head_dim].
struct alignas(alignof(void*)) Shared {
  float p[kHeads][kTokens];  // weights, each relative to the maximum of its block and those before it
  float block_max[kHeads][kWarps];
  float block_sum[kHeads][kWarps];
  float c[kHeads][kWarps];         // what the blocks before it are scaled by
  float max[kHeads], sum[kHeads];  // of all segments so far
  float scale_old[kHeads], scale_new[kHeads];
  bool is_last;  // of the blocks of its context
};

// Tokens that are seen, [begin, end), counted from the segment's first.
struct Span {
  int begin, end;
  __device__ bool Has(int token) const { return token >= begin && token < end; }
};

// The scores of one token (this lane's, of KV block k) for kHeads query heads.
// kAhead: pairs of K that a thread loads before the first is waited for; as many as its registers take.
template <typename T, Chain chain, int kAhead>
__device__ void Scores(const float* q, const T* k, int head_dim, float (&scores)[kHeads]) {
  struct alignas(2 * sizeof(T)) Pair {
    T even, odd;
  };
  const Pair* const pairs = reinterpret_cast<const Pair*>(k) + threadIdx.x % 32;
#pragma unroll
  for (int h = 0; h < kHeads; ++h) scores[h] = 0;
  if constexpr (chain == Chain::kPair2) {
#pragma unroll kAhead
    for (int d = 0; d < head_dim; d += 2) {
      const Pair pair = pairs[d / 2 * 32];
      const float even = ToF32(pair.even), odd = ToF32(pair.odd);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const float* const at = q + h * head_dim + d;
        scores[h] = __fmaf_rn(at[0], even, __fmaf_rn(at[1], odd, scores[h]));
      }
    }
  } else {
    for (int group = 0; group < head_dim; group += int(kGranule)) {
      float evens[kHeads] = {}, odds[kHeads] = {};
      const int end = group + int(kGranule) < head_dim ? group + int(kGranule) : head_dim;
#pragma unroll kAhead / 2
      for (int d = group; d < end; d += 2) {
        const Pair pair = pairs[d / 2 * 32];
        const float even = ToF32(pair.even), odd = ToF32(pair.odd);
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          const float* const at = q + h * head_dim + d;
          evens[h] = __fmaf_rn(at[0], even, evens[h]);
          odds[h] = __fmaf_rn(at[1], odd, odds[h]);
        }
      }
#pragma unroll
      for (int h = 0; h < kHeads; ++h) scores[h] = scores[h] + (evens[h] + odds[h]);
    }
  }
}

struct AttentionLaunchArgs {
  AttentionArgs of;
  float*
      parts;  // [tokens, heads, segments, head_dim + 2] of a split: the result within a segment, its maximum, its sum
  int64_t segments;  // of a split, at most
  uint32_t* counts;  // [tokens, kv_heads]: blocks that have left their parts

  __device__ float* Part(int64_t token, int64_t head, int64_t segment) const {
    return parts + ((token * of.heads + head) * segments + segment) * (of.cache.head_dim + 2);
  }
};

// The tokens that a token sees, and the first segment of them.
struct Sight {
  int64_t begin, end, first_start;
};
__device__ Sight SightOf(const AttentionArgs& a, int64_t token) {
  const int64_t end = int64_t{a.positions[token]} + 1;
  const int64_t begin = a.window == 0 || a.window > end ? 0 : end - a.window;
  return {begin, end, begin / kTokens * kTokens};
}

// One element of the result within a segment: the chain over its tokens. Where a block is alone on its multiprocessor,
// a thread has registers to load a KV block's before the first is waited for.
template <bool kAreAllAhead, typename T>
__device__ float Weighed(const float* p, const float* c, const T* const* v_of_block, Span seen, int head_dim, int d) {
  float o = 0;
  for (int b = seen.begin / 32; b * 32 < seen.end; ++b) {
    o = o * c[b];
    const T* const v = v_of_block[b] + d;
    const int begin = seen.begin > b * 32 ? seen.begin - b * 32 : 0;
    const int end = seen.end - b * 32 < 32 ? seen.end - b * 32 : 32;
    if (kAreAllAhead && begin == 0 && end == 32) {
      T values[32];
#pragma unroll
      for (int t = 0; t < 32; ++t) values[t] = v[t * head_dim];
#pragma unroll
      for (int t = 0; t < 32; ++t) o = __fmaf_rn(p[b * 32 + t], ToF32(values[t]), o);
    } else {
#pragma unroll 8
      for (int t = begin; t < end; ++t) o = __fmaf_rn(p[b * 32 + t], ToF32(v[int64_t{t} * head_dim]), o);
    }
  }
  return o;
}

// The query heads of a KV head: a thread an element of the result, whose segments' parts are merged in order. It finds
// all it needs anew, so that the walk of the segments before it keeps no registers for it.
// kAtOnce: parts that it asks for; as many as sm_80 has registers for beside the walk's.
template <typename T, int kAtOnce>
__device__ void MergeSegments(const AttentionLaunchArgs& launch) {
  const AttentionArgs& a = launch.of;
  const int64_t token = blockIdx.x;
  const int head_dim = int(a.cache.head_dim), heads = int(a.heads) / int(a.cache.kv_heads);
  const int64_t first_head = int64_t{blockIdx.y} * heads;
  const Sight sight = SightOf(a, token);
  const int segments = int((sight.end - sight.first_start + kTokens - 1) / kTokens);
  for (int i = int(threadIdx.x); i < heads * head_dim; i += kThreads) {
    const int64_t head = first_head + i / head_dim;
    const int d = i % head_dim;
    const float* const first = launch.Part(token, head, 0);
    float max = first[head_dim], sum = first[head_dim + 1], o = first[d];
#pragma unroll kAtOnce
    for (int s = 1; s < segments; ++s) {
      const float* const part = first + int64_t{s} * (head_dim + 2);
      const float of_segment = part[head_dim];
      const float merged = max > of_segment ? max : of_segment;
      const float scale_old = math::Exp(max - merged), scale_new = math::Exp(of_segment - merged);
      sum = sum * scale_old + part[head_dim + 1] * scale_new;
      o = o * scale_old + part[d] * scale_new;
      max = merged;
    }
    if (a.sinks != nullptr) sum = sum + math::Exp(a.sinks[head] - max);
    Put(static_cast<T*>(a.y), (token * a.heads + head) * head_dim + d, o / sum);
  }
}

template <typename T, Chain chain, bool kIsSplit>
__global__ void __launch_bounds__(kThreads, kIsSplit ? 1 : 2) Attention(AttentionLaunchArgs launch) {
  AwaitPrevious();
  MRS_SHARED(bytes);
  const AttentionArgs& a = launch.of;
  Shared& shared = *reinterpret_cast<Shared*>(bytes);
  const T** const v_of_block = reinterpret_cast<const T**>(bytes + sizeof(Shared));
  float* const q = reinterpret_cast<float*>(bytes + sizeof(Shared) + kWarps * sizeof(T*));
  const int thread = int(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int64_t token = blockIdx.x, kv_head = blockIdx.y;
  const int head_dim = int(a.cache.head_dim);
  const int group = int(a.heads / a.cache.kv_heads);
  const float factor = a.soft_cap == 0 ? a.scale : a.scale / a.soft_cap;
  const int32_t* const blocks = a.block_table + a.sequence[token] * a.table_stride;
  const auto [begin, end, first_start] = SightOf(a, token);

  for (int first_head = 0; first_head < group; first_head += kHeads) {
    const int heads = group - first_head < kHeads ? group - first_head : kHeads;
    const int64_t row = ((token * a.heads) + kv_head * group + first_head) * head_dim;
    for (int i = thread; i < kHeads * head_dim; i += kThreads) {
      q[i] = i < heads * head_dim ? ToF32(static_cast<const T*>(a.q)[row + i]) : 0.0f;
    }
    for (int first_d = 0; first_d < head_dim; first_d += kSlice) {
      const int slice = head_dim - first_d < kSlice ? head_dim - first_d : kSlice;
      float o[kPerThread] = {};
      const int64_t step = kIsSplit ? int64_t{gridDim.z} * kTokens : kTokens;
      for (int64_t start = first_start + (kIsSplit ? blockIdx.z * kTokens : 0); start < end; start += step) {
        const Span seen = {int(begin > start ? begin - start : 0), int(end - start < kTokens ? end - start : kTokens)};
        const int first_block = seen.begin / 32, block_end = (seen.end + 31) / 32;
        const bool has_block = warp >= first_block && warp < block_end;
        const bool is_seen = seen.Has(thread);
        float scores[kHeads] = {};
        if (has_block) {
          const int64_t base = (blocks[start / 32 + warp] * a.cache.kv_heads + kv_head) * head_dim * 32;
          if (lane == 0) v_of_block[warp] = static_cast<const T*>(a.cache.v) + base;
        }
        __syncthreads();  // q is there, too
        if (has_block) {
          const int64_t base = (blocks[start / 32 + warp] * a.cache.kv_heads + kv_head) * head_dim * 32;
          if (is_seen)
            Scores<T, chain, kIsSplit ? 32 / int(sizeof(T)) : 8>(q, static_cast<const T*>(a.cache.k) + base, head_dim,
                                                                 scores);
#pragma unroll
          for (int h = 0; h < kHeads; ++h) {
            if (is_seen) {
              scores[h] = scores[h] * factor;
              if (a.soft_cap != 0) scores[h] = a.soft_cap * math::Tanh(scores[h]);
            }
            float max = is_seen && scores[h] > kMinusInfinity ? scores[h] : kMinusInfinity;
            for (int s = 16; s > 0; s /= 2) {
              const float other = __shfl_xor_sync(~0u, max, s);
              max = other > max ? other : max;
            }
            if (lane == 0) shared.block_max[h][warp] = max;
          }
        }
        __syncthreads();
        if (has_block) {
#pragma unroll
          for (int h = 0; h < kHeads; ++h) {
            float before = kMinusInfinity;
            for (int b = first_block; b < warp; ++b) {
              before = shared.block_max[h][b] > before ? shared.block_max[h][b] : before;
            }
            const float max = shared.block_max[h][warp] > before ? shared.block_max[h][warp] : before;
            const float weight = is_seen ? math::Exp(scores[h] - max) : 0.0f;
            // Lane l of sixteen has tokens l and l + 16, in this order; what is not seen adds nothing.
            const float other = __shfl_xor_sync(~0u, weight, 16);
            const float sum = SumLanes(~0u, weight + other);
            shared.p[h][thread] = weight;
            if (lane == 0) {
              shared.block_sum[h][warp] = sum;
              shared.c[h][warp] = warp == first_block ? 0.0f : math::Exp(before - max);
            }
          }
        }
        __syncthreads();
        const auto sum_up = [&](int h, float* sum, float* max) {  // of the segment
          *sum = 0;
          *max = kMinusInfinity;
          for (int b = first_block; b < block_end; ++b) {
            *sum = *sum * shared.c[h][b] + shared.block_sum[h][b];
            *max = shared.block_max[h][b] > *max ? shared.block_max[h][b] : *max;
          }
        };
        if constexpr (kIsSplit) {
          const int64_t segment = (start - first_start) / kTokens, head = kv_head * group + first_head;
          if (thread < heads) {
            float* const part = launch.Part(token, head + thread, segment) + head_dim;
            sum_up(thread, &part[1], &part[0]);
          }
#pragma unroll 1  // a KV block's values take a thread's registers as it is
          for (int j = 0; j < kPerThread; ++j) {
            const int h = (thread + j * kThreads) / slice, d = first_d + (thread + j * kThreads) % slice;
            if (h >= heads) continue;
            launch.Part(token, head + h, segment)[d] =
                Weighed<true>(shared.p[h], shared.c[h], v_of_block, seen, head_dim, d);
          }
          __syncthreads();
        } else {
          const bool is_first = start == first_start;
          if (thread < heads) {
            const int h = thread;
            float sum, max;
            sum_up(h, &sum, &max);
            const float old_max = is_first ? kMinusInfinity : shared.max[h];
            const float merged = old_max > max ? old_max : max;
            shared.scale_old[h] = math::Exp(old_max - merged);
            shared.scale_new[h] = math::Exp(max - merged);
            shared.sum[h] = is_first ? sum : shared.sum[h] * shared.scale_old[h] + sum * shared.scale_new[h];
            shared.max[h] = merged;
            if (a.sinks != nullptr && start + step >= end) {
              shared.sum[h] = shared.sum[h] + math::Exp(a.sinks[kv_head * group + first_head + h] - merged);
            }
          }
          float of_segment[kPerThread];
#pragma unroll
          for (int j = 0; j < kPerThread; ++j) {
            const int h = (thread + j * kThreads) / slice, d = first_d + (thread + j * kThreads) % slice;
            if (h < heads) of_segment[j] = Weighed<false>(shared.p[h], shared.c[h], v_of_block, seen, head_dim, d);
          }
          __syncthreads();
#pragma unroll
          for (int j = 0; j < kPerThread; ++j) {
            const int h = (thread + j * kThreads) / slice;
            if (h < heads) {
              o[j] = is_first ? of_segment[j] : o[j] * shared.scale_old[h] + of_segment[j] * shared.scale_new[h];
            }
          }
        }
      }
      if constexpr (!kIsSplit) {
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
          const int h = (thread + j * kThreads) / slice, d = first_d + (thread + j * kThreads) % slice;
          if (h < heads) Put(static_cast<T*>(a.y), row + int64_t{h} * head_dim + d, o[j] / shared.sum[h]);
        }
      }
    }
  }
  if constexpr (kIsSplit) {  // each turn has ended with a barrier, so the block's parts are there
    uint32_t* const count = launch.counts + blockIdx.x * gridDim.y + blockIdx.y;
    if (threadIdx.x == 0) shared.is_last = CountBlock(count) + 1 == gridDim.z;
    __syncthreads();
    if (!shared.is_last) return;
    MergeSegments<T, chain == Chain::kBlock32 ? 2 : 4>(launch);
    if (threadIdx.x == 0) *count = 0;  // for the next launch
  }
}

AttentionSize SizeOf(const AttentionArgs& a) {
  return {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
}

const Module kModule(Attention<bf16, Chain::kPair2, false>);

}  // namespace

template <typename T, Chain chain>
int StartSpread(const AttentionArgs& args, const AttentionSplit& split, const Workspace& workspace, void* stream) {
  if (args.tokens == 0) return 0;
  const size_t shared = sizeof(Shared) + kWarps * sizeof(T*) + kHeads * size_t(args.cache.head_dim) * sizeof(float);
  const LaunchShape shape = {dim3{unsigned(args.tokens), unsigned(args.cache.kv_heads), unsigned(split.blocks)},
                             dim3{kThreads}, unsigned(shared)};
  const AttentionLaunchArgs launch = {args, static_cast<float*>(workspace.data), split.segments, workspace.counts};
  if (split.blocks == 1) return Launch(Attention<T, chain, false>, shape, stream, launch);
  return Launch(Attention<T, chain, true>, shape, stream, launch);
}

template <typename T, Chain chain>
int Start(const AttentionArgs& args, void* stream) {
  const Workspace workspace = WorkspaceOfThread();
  const AttentionSplit split = SplitOf(SizeOf(args), LimitsOfDevice().multiprocessors, workspace.BytesOfSpread());
  return StartSpread<T, chain>(args, split, workspace, stream);
}

#define BOTH(T, chain)                                                                                      \
  template int StartSpread<T, chain>(const AttentionArgs&, const AttentionSplit&, const Workspace&, void*); \
  template int Start<T, chain>(const AttentionArgs&, void*)
BOTH(float, Chain::kPair2);
BOTH(float, Chain::kBlock32);
BOTH(bf16, Chain::kPair2);
BOTH(bf16, Chain::kBlock32);
#undef BOTH

}  // namespace mrs::kernels::cuda
