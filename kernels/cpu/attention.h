// Attention with scores in lanes over tokens and sums of values in lanes over head_dim. Formula: AttentionArgs in
// kernels.h. Bytes: the visible part of K and V once per query head; flops: 4 * tokens * head_dim a head.
#pragma once

#include "kernels/cpu/dot.h"

namespace mrs::kernels {
namespace {

constexpr int64_t kHalves = kBlockTokens / kLanes;  // registers that hold one block's scores

template <typename T>
struct SequenceCache {
  const KvCache& cache;
  const int32_t* blocks;
  int64_t head;

  int64_t Offset(int64_t block) const {
    return (blocks[block] * cache.kv_heads + head) * cache.head_dim * kBlockTokens;
  }
};

// Tokens [begin, end) of a sequence.
struct Span {
  int64_t begin;
  int64_t end;
};

// What of `sight` lies in `count` tokens from `first` on, counted from there; empty: begin >= end.
inline Span Within(Span sight, int64_t first, int64_t count) {
  return {sight.begin > first ? sight.begin - first : 0, MinOf(count, sight.end - first)};
}

// Lanes [lanes.begin, lanes.end) of a, the others of `rest`.
inline F16 LanesOf(F16 a, Span lanes, F16 rest) {
  const int64_t end = lanes.end < 0 ? 0 : lanes.end;
  return FirstOf(rest, MinOf(kLanes, lanes.begin), FirstOf(a, end, rest));
}

struct SegmentWeights {
  float p[kSegmentBlocks * kBlockTokens];
  float c[kSegmentBlocks];
  float max;
  float sum;
};

// The scores of one block of keys: chain over head_dim in stretches that fit the stage.
template <typename D>
inline void BlockScores(const typename D::Element* q, const typename D::Element* k, int64_t head_dim, F16* scores) {
  alignas(64) typename D::Staged staged[1][kStage];
  F16 acc[1][kHalves] = {{Zero(), Zero()}};
  for (int64_t d = 0; d < head_dim; d += kStage) {
    const int64_t count = MinOf(kStage, head_dim - d);
    Stage(q + d, count, count, staged[0]);
    const typename D::Element* at[kHalves];
    for (int64_t h = 0; h < kHalves; ++h) at[h] = k + d * kBlockTokens + h * 2 * kLanes;
    D::template Sum<1, kHalves, 2 * kBlockTokens>(staged, at, count, acc);
  }
  for (int64_t h = 0; h < kHalves; ++h) scores[h] = acc[0][h];
}

// `sight`: of the segment that starts at block first_block.
template <typename D>
inline void WeighSegment(const AttentionArgs& args, const typename D::Element* q,
                         const SequenceCache<typename D::Element>& keys, int64_t first_block, Span sight,
                         SegmentWeights* segment) {
  using T = typename D::Element;
  const float factor = args.soft_cap == 0 ? args.scale : args.scale / args.soft_cap;
  segment->max = -kInfinity;
  segment->sum = 0;
  const int64_t first = sight.begin / kBlockTokens;
  for (int64_t b = first; b * kBlockTokens < sight.end; ++b) {
    F16 scores[kHalves];
    BlockScores<D>(q, static_cast<const T*>(keys.cache.k) + keys.Offset(first_block + b), keys.cache.head_dim, scores);
    F16 highest = Set1(segment->max);
    Span lanes[kHalves];
    for (int64_t h = 0; h < kHalves; ++h) {
      lanes[h] = Within(sight, b * kBlockTokens + h * kLanes, kLanes);
      scores[h] = Mul(scores[h], Set1(factor));
      if (args.soft_cap != 0) scores[h] = Mul(Set1(args.soft_cap), Tanh(scores[h]));
      scores[h] = LanesOf(scores[h], lanes[h], Set1(-kInfinity));
      highest = Max(scores[h], highest);
    }
    const float max = MaxLanes(highest);
    F16 sums = Zero();
    for (int64_t h = 0; h < kHalves; ++h) {
      const F16 p = LanesOf(Exp(Sub(scores[h], Set1(max))), lanes[h], Zero());
      StoreN(segment->p + b * kBlockTokens + h * kLanes, p, kLanes);
      sums = Add(sums, p);
    }
    segment->c[b] = b == first ? 0.0f : kernels::Exp(segment->max - max);
    segment->sum = segment->sum * segment->c[b] + SumLanes(sums);
    segment->max = max;
  }
}

// o[g] for `groups` registers of head_dim from d on: tokens in order, so each is one chain; several run side by side.
template <int G, typename T>
inline void SumValues(const SequenceCache<T>& values, int64_t first_block, Span sight, const SegmentWeights& segment,
                      int64_t d, int64_t last_lanes, F16* o) {
  const int64_t head_dim = values.cache.head_dim;
  F16 acc[G];
  for (int g = 0; g < G; ++g) acc[g] = Zero();
  for (int64_t b = sight.begin / kBlockTokens; b * kBlockTokens < sight.end; ++b) {
    const T* v = static_cast<const T*>(values.cache.v) + values.Offset(first_block + b) + d;
    const float* p = segment.p + b * kBlockTokens;
    const Span visible = Within(sight, b * kBlockTokens, kBlockTokens);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) acc[g] = Mul(acc[g], Set1(segment.c[b]));
    for (int64_t t = visible.begin; t < visible.end; ++t) {
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const T* at = v + t * head_dim + g * kLanes;
        acc[g] = Fma(Set1(p[t]), G == 1 ? LoadN(at, last_lanes) : Load(at), acc[g]);
      }
    }
  }
  for (int g = 0; g < G; ++g) o[g] = acc[g];
}

// One query head: elements [d_begin, d_end) of its result, at most kSlice. `sink`: its own; null: it has none.
constexpr int64_t kSlice = 1024;
template <typename D>
inline void AttentionSlice(const AttentionArgs& args, const typename D::Element* q,
                           const SequenceCache<typename D::Element>& cache, Span sight, int64_t d_begin, int64_t d_end,
                           const float* sink, typename D::Element* y) {
  constexpr int64_t kSegment = kSegmentBlocks * kBlockTokens;
  F16 o[kSlice / kLanes];
  F16 os[4];
  float max = -kInfinity, sum = 0;
  const int64_t first = sight.begin / kSegment * kSegment;
  for (int64_t start = first; start < sight.end; start += kSegment) {
    const int64_t block = start / kBlockTokens;
    const Span here = Within(sight, start, kSegment);
    SegmentWeights segment;
    WeighSegment<D>(args, q, cache, block, here, &segment);
    const float merged = max > segment.max ? max : segment.max;
    const float a = kernels::Exp(max - merged);
    const float b = kernels::Exp(segment.max - merged);
    sum = start == first ? segment.sum : sum * a + segment.sum * b;
    for (int64_t d = d_begin; d < d_end;) {
      const bool wide = d + 4 * kLanes <= d_end;
      const int64_t groups = wide ? 4 : 1;
      if (wide) {
        SumValues<4>(cache, block, here, segment, d, kLanes, os);
      } else {
        SumValues<1>(cache, block, here, segment, d, MinOf(kLanes, d_end - d), os);
      }
      F16* out = o + (d - d_begin) / kLanes;
      for (int64_t g = 0; g < groups; ++g) {
        out[g] = start == first ? os[g] : Add(Mul(out[g], Set1(a)), Mul(os[g], Set1(b)));
      }
      d += groups * kLanes;
    }
    max = merged;
  }
  if (sink != nullptr) sum = sum + kernels::Exp(*sink - max);
  for (int64_t d = d_begin; d < d_end; d += kLanes) {
    StoreN(y + d, Div(o[(d - d_begin) / kLanes], Set1(sum)), MinOf(kLanes, d_end - d));
  }
}

template <typename T, Chain chain>
void Run(const AttentionArgs& args, int64_t item_begin, int64_t item_end) {
  using D = typename DotOf<T, chain>::type;
  const int64_t head_dim = args.cache.head_dim;
  const int64_t group = args.heads / args.cache.kv_heads;
  for (int64_t item = item_begin; item < item_end; ++item) {
    const int64_t token = item / args.cache.kv_heads;
    const int64_t kv_head = item % args.cache.kv_heads;
    const SequenceCache<T> cache{args.cache, args.block_table + args.sequence[token] * args.table_stride, kv_head};
    const int64_t end = int64_t{args.positions[token]} + 1;
    const Span sight{args.window == 0 || args.window > end ? 0 : end - args.window, end};
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const int64_t at = (token * args.heads + head) * head_dim;
      const float* const sink = args.sinks == nullptr ? nullptr : args.sinks + head;
      for (int64_t d = 0; d < head_dim; d += kSlice) {
        AttentionSlice<D>(args, static_cast<const T*>(args.q) + at, cache, sight, d, MinOf(head_dim, d + kSlice), sink,
                          static_cast<T*>(args.y) + at);
      }
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
