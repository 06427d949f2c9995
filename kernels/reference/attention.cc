#include <limits>

#include "kernels/reference/reference.h"

namespace mrs::kernels::reference {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// The cache's rows as one kv head of one sequence sees them.
template <typename T>
struct Keys {
  const KvCache& cache;
  const int32_t* blocks;
  int64_t head;

  const T* K(int64_t block) const {
    return static_cast<const T*>(cache.k) + (blocks[block] * cache.kv_heads + head) * cache.head_dim * kBlockTokens;
  }
  const T* V(int64_t block) const {
    return static_cast<const T*>(cache.v) + (blocks[block] * cache.kv_heads + head) * cache.head_dim * kBlockTokens;
  }
};

// Tokens [begin, end) of a sequence.
struct Span {
  int64_t begin;
  int64_t end;
};

// What of `sight` lies in `count` tokens from `first` on, counted from there.
Span Within(Span sight, int64_t first, int64_t count) {
  return {sight.begin > first ? sight.begin - first : 0, Min(count, sight.end - first)};
}

// The probabilities of one segment, relative to its own running maximum.
struct Segment {
  float p[kSegmentBlocks * kBlockTokens];  // each relative to the maximum of its block and those before it
  float c[kSegmentBlocks];                 // what the blocks before it are scaled by
  float max;
  float sum;
};

// `sight`: of the segment that starts at block first_block.
template <typename T, Chain chain>
void Score(const AttentionArgs& args, const T* q, const Keys<T>& keys, int64_t first_block, Span sight,
           Segment* segment) {
  const int64_t head_dim = keys.cache.head_dim;
  const float factor = args.soft_cap == 0 ? args.scale : args.scale / args.soft_cap;
  segment->max = kMinusInfinity;
  segment->sum = 0;
  const int64_t first = sight.begin / kBlockTokens;
  for (int64_t b = first; b * kBlockTokens < sight.end; ++b) {
    const T* k = keys.K(first_block + b);
    const Span visible = Within(sight, b * kBlockTokens, kBlockTokens);
    float* p = segment->p + b * kBlockTokens;
    float max = segment->max;
    for (int64_t t = visible.begin; t < visible.end; ++t) {
      const float score = Dot<chain>(
          head_dim, [=](int64_t d) { return ToF32(q[d]); },
          [=](int64_t d) { return ToF32(k[(d / 2 * kBlockTokens + t) * 2 + d % 2]); });
      p[t] = score * factor;
      if (args.soft_cap != 0) p[t] = args.soft_cap * Tanh(p[t]);
      max = p[t] > max ? p[t] : max;
    }
    segment->c[b] = b == first ? 0.0f : Exp(segment->max - max);
    float lanes[kLanes] = {};
    for (int64_t t = visible.begin; t < visible.end; ++t) {
      p[t] = Exp(p[t] - max);
      lanes[t % kLanes] += p[t];
    }
    segment->sum = segment->sum * segment->c[b] + SumLanes(lanes);
    segment->max = max;
  }
}

template <typename T>
float WeighedValue(const Keys<T>& keys, int64_t first_block, Span sight, const Segment& segment, int64_t d) {
  float o = 0;
  for (int64_t b = sight.begin / kBlockTokens; b * kBlockTokens < sight.end; ++b) {
    const T* v = keys.V(first_block + b);
    const Span visible = Within(sight, b * kBlockTokens, kBlockTokens);
    o = o * segment.c[b];
    for (int64_t t = visible.begin; t < visible.end; ++t) {
      o = std::fma(segment.p[b * kBlockTokens + t], ToF32(v[t * keys.cache.head_dim + d]), o);
    }
  }
  return o;
}

// Elements [d_begin, d_end) of one head's result. `o` holds them; scores do not depend on which are asked for. `sink`:
// the head's; null: it has none.
template <typename T, Chain chain>
void Slice(const AttentionArgs& args, const T* q, const Keys<T>& keys, Span sight, int64_t d_begin, int64_t d_end,
           const float* sink, float* o, T* y) {
  constexpr int64_t kSegment = kSegmentBlocks * kBlockTokens;
  const int64_t first = sight.begin / kSegment * kSegment;
  float max = kMinusInfinity, sum = 0;
  for (int64_t start = first; start < sight.end; start += kSegment) {
    const int64_t block = start / kBlockTokens;
    const Span here = Within(sight, start, kSegment);
    Segment segment;
    Score<T, chain>(args, q, keys, block, here, &segment);
    const float merged = max > segment.max ? max : segment.max;
    const float a = Exp(max - merged);
    const float b = Exp(segment.max - merged);
    sum = start == first ? segment.sum : sum * a + segment.sum * b;
    for (int64_t d = d_begin; d < d_end; ++d) {
      const float os = WeighedValue<T>(keys, block, here, segment, d);
      o[d - d_begin] = start == first ? os : o[d - d_begin] * a + os * b;
    }
    max = merged;
  }
  if (sink != nullptr) sum = sum + Exp(*sink - max);
  for (int64_t d = d_begin; d < d_end; ++d) Put(y, sizeof(T) == 2 ? Type::kBf16 : Type::kF32, d, o[d - d_begin] / sum);
}

}  // namespace

template <typename T, Chain chain>
void Run(const AttentionArgs& args, int64_t item_begin, int64_t item_end) {
  constexpr int64_t kSlice = 1024;  // of head_dim, so that the result fits on the stack
  const int64_t head_dim = args.cache.head_dim;
  const int64_t group = args.heads / args.cache.kv_heads;
  for (int64_t item = item_begin; item < item_end; ++item) {
    const int64_t token = item / args.cache.kv_heads;
    const int64_t kv_head = item % args.cache.kv_heads;
    const Keys<T> keys{args.cache, args.block_table + args.sequence[token] * args.table_stride, kv_head};
    const int64_t end = int64_t{args.positions[token]} + 1;
    const Span sight{args.window == 0 || args.window > end ? 0 : end - args.window, end};
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const int64_t at = (token * args.heads + head) * head_dim;
      const float* const sink = args.sinks == nullptr ? nullptr : args.sinks + head;
      float o[kSlice];
      for (int64_t d = 0; d < head_dim; d += kSlice) {
        Slice<T, chain>(args, static_cast<const T*>(args.q) + at, keys, sight, d, Min(head_dim, d + kSlice), sink, o,
                        static_cast<T*>(args.y) + at);
      }
    }
  }
}

template void Run<float, Chain::kPair2>(const AttentionArgs&, int64_t, int64_t);
template void Run<float, Chain::kBlock32>(const AttentionArgs&, int64_t, int64_t);
template void Run<bf16, Chain::kPair2>(const AttentionArgs&, int64_t, int64_t);
template void Run<bf16, Chain::kBlock32>(const AttentionArgs&, int64_t, int64_t);

template <typename T>
void Run(const KvAppendArgs& args, int64_t item_begin, int64_t item_end) {
  const int64_t head_dim = args.cache.head_dim;
  const int64_t heads = args.cache.kv_heads;
  for (int64_t token = item_begin; token < item_end; ++token) {
    const int64_t block = args.slots[token] / kBlockTokens;
    const int64_t t = args.slots[token] % kBlockTokens;
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t base = (block * heads + head) * head_dim * kBlockTokens;
      const int64_t row = (token * heads + head) * head_dim;
      T* k = static_cast<T*>(args.cache.k) + base;
      for (int64_t d = 0; d < head_dim; ++d) {
        k[(d / 2 * kBlockTokens + t) * 2 + d % 2] = static_cast<const T*>(args.k)[row + d];
      }
      T* v = static_cast<T*>(args.cache.v) + base + t * head_dim;
      for (int64_t d = 0; d < head_dim; ++d) Put(v, sizeof(T) == 2 ? Type::kBf16 : Type::kF32, d, args.v[row + d]);
    }
  }
}

template void Run<float>(const KvAppendArgs&, int64_t, int64_t);
template void Run<bf16>(const KvAppendArgs&, int64_t, int64_t);

}  // namespace mrs::kernels::reference
