// The reference against formulas in double: it computes what kernels.h says, and not only the same as the others.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/testing/truth.h"

namespace mrs::kernels {
namespace {

constexpr uint64_t kSeed = 7;

// Tolerance: each of k roundings is at most half an ulp of a partial sum, and those are below the sum of magnitudes.
void CheckMatmul(Type type, Kernel<MatmulArgs> KernelSet::*kernel) {
  const ScopedFlushToZero flush;
  for (const Case<MatmulArgs>& c : TestCases<MatmulArgs>(type, kSeed)) {
    const PackedShape& shape = c.args.shape;
    const int64_t padded = (shape.chunk_k + kGranule - 1) / kGranule * kGranule;
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      (SelectKernels(Isa::kReference, chain).*kernel)(c.args, 0, c.items);
      for (int64_t row = 0; row < c.args.rows; ++row) {
        for (int64_t n = 0; n < shape.n; ++n) {
          double sum = c.args.bias == nullptr ? 0 : c.args.bias[n];
          double magnitude = std::abs(sum);
          for (int64_t k = 0; k < shape.chunk_k * shape.chunk_count; ++k) {
            const int64_t kk = k % shape.chunk_k;
            const int64_t block = n / kLanes * shape.chunk_count + k / shape.chunk_k;
            const int64_t at = (block * padded + (kk & ~int64_t{1})) * kLanes + n % kLanes * 2 + (kk & 1);
            const double product =
                static_cast<double>(ValueAt(c.args.x, type, row * c.args.x_stride + k)) * ValueAt(c.args.w, type, at);
            sum += product;
            magnitude += std::abs(product);
          }
          const double bound = static_cast<double>(shape.chunk_k + 8) * (kEpsilon * magnitude + kTiny);
          ASSERT_NEAR(c.args.y[row * c.args.y_stride + n], sum, bound) << c.name << " row " << row << " n " << n;
        }
      }
    }
  }
}
TEST(Truth, Matmul_IsTheProduct) {
  CheckMatmul(Type::kBf16, &KernelSet::matmul_bf16);
  CheckMatmul(Type::kF32, &KernelSet::matmul_f32);
}

// Tolerance: scores here reach some hundreds (values of a thousand are among the inputs), so their rounding, relative
// to their magnitudes, comes back as a relative error of p: e^(score error).
void CheckAttention(Type type, Kernel<AttentionArgs> KernelSet::*kernel) {
  const ScopedFlushToZero flush;
  for (const Case<AttentionArgs>& c : TestCases<AttentionArgs>(type, kSeed)) {
    const AttentionArgs& args = c.args;
    const int64_t head_dim = args.cache.head_dim;
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      (SelectKernels(Isa::kReference, chain).*kernel)(args, 0, c.items);
      for (int64_t token = 0; token < args.tokens; ++token) {
        for (int64_t head = 0; head < args.heads; ++head) {
          const int64_t kv_head = head / (args.heads / args.cache.kv_heads);
          const int64_t q = (token * args.heads + head) * head_dim;
          const auto base = [&](int64_t p) {
            const int64_t block = args.block_table[args.sequence[token] * args.table_stride + p / kBlockTokens];
            return (block * args.cache.kv_heads + kv_head) * head_dim * kBlockTokens;
          };
          const int64_t end = args.positions[token] + 1;
          const int64_t begin = args.window == 0 ? 0 : std::max<int64_t>(0, end - args.window);
          const int64_t count = end - begin;
          std::vector<double> scores(static_cast<size_t>(count));
          double max = -1e300, error = 0;
          for (int64_t p = begin; p < end; ++p) {
            double score = 0, magnitude = 0, rounding = 0;
            for (int64_t d = 0; d < head_dim; ++d) {
              const double product =
                  static_cast<double>(ValueAt(args.q, type, q + d)) *
                  ValueAt(args.cache.k, type, base(p) + (d / 2 * kBlockTokens + p % kBlockTokens) * 2 + d % 2);
              score += product;
              magnitude += std::abs(product);
            }
            score *= args.scale;
            // tanh is never steeper than 1, so the error before it bounds that after it; its own is next.
            if (args.soft_cap != 0) {
              score = args.soft_cap * std::tanh(score / args.soft_cap);
              rounding = 5 * kEpsilon * std::abs(score);
            }
            scores[static_cast<size_t>(p - begin)] = score;
            max = std::max(max, score);
            error = std::max(error, rounding + magnitude * args.scale * kEpsilon * static_cast<double>(head_dim + 4));
          }
          double sum = 0;
          if (args.sinks != nullptr) {
            const double sink = double{args.sinks[head]};
            if (sink > max) error += kEpsilon * (sink - max);  // what goes into its exponential is rounded
            max = std::max(max, sink);
            sum = std::exp(sink - max);
          }
          for (double& score : scores) sum += score = std::exp(score - max);
          for (int64_t d = 0; d < head_dim; ++d) {
            double o = 0, magnitude = 0;
            for (int64_t p = begin; p < end; ++p) {
              const double v = ValueAt(args.cache.v, type, base(p) + p % kBlockTokens * head_dim + d);
              o += scores[static_cast<size_t>(p - begin)] / sum * v;
              magnitude += scores[static_cast<size_t>(p - begin)] / sum * std::abs(v);
            }
            const double relative = 3 * std::expm1(error) + kEpsilon * static_cast<double>(count + 40);
            // p below e^-87 counts as 0.
            const double bound = magnitude * relative + std::abs(o) * OutEpsilon(type) + 1e-30;
            ASSERT_NEAR(ValueAt(args.y, type, q + d), o, bound) << c.name << " token " << token << " d " << d;
          }
        }
      }
    }
  }
}
TEST(Truth, Attention_IsSoftmaxOfScoresAndSinkTimesValues) {
  CheckAttention(Type::kBf16, &KernelSet::attention_bf16);
  CheckAttention(Type::kF32, &KernelSet::attention_f32);
}

TEST(Truth, RopeAngles_AreTheNearestFloats) {
  const ScopedFlushToZero flush;
  for (const Case<RopeAnglesArgs>& c : TestCases<RopeAnglesArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).rope_angles(c.args, 0, c.items);
    for (int64_t token = 0; token < c.args.tokens; ++token) {
      for (int64_t i = 0; i < c.args.half; ++i) {
        const float angle = static_cast<float>(c.args.positions[token]) * c.args.inv_freq[i];
        const float* y = c.args.cos_sin + token * 2 * c.args.half;
        const long double exact = angle;
        EXPECT_EQ(y[i], static_cast<float>(cosl(exact)) * c.args.scale) << angle;
        EXPECT_EQ(y[c.args.half + i], static_cast<float>(sinl(exact)) * c.args.scale) << angle;
      }
    }
  }
}

TEST(Truth, Rope_RotatesPairsAndCopiesTheRest) {
  const ScopedFlushToZero flush;
  for (const Case<RopeArgs>& c : TestCases<RopeArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).rope(c.args, 0, c.items);
    const int64_t half = c.args.half;
    for (int64_t at = 0; at < c.args.tokens * c.args.heads * c.args.head_dim; ++at) {
      const int64_t token = at / (c.args.heads * c.args.head_dim);
      const int64_t i = at % c.args.head_dim;
      const float* angles = c.args.cos_sin + token * 2 * half;
      double y = c.args.x[at], magnitude = std::abs(y);
      if (i < 2 * half) {
        const bool first = c.args.interleaved ? i % 2 == 0 : i < half;
        const int64_t pair = c.args.interleaved ? i / 2 : i % half;
        const int64_t apart = c.args.interleaved ? 1 : half;
        const double other = c.args.x[first ? at + apart : at - apart];
        const double cosine = angles[pair], sine = angles[half + pair];
        magnitude = std::abs(y * cosine) + std::abs(other * sine);
        y = y * cosine + (first ? -other : other) * sine;
      }
      const double bound = 3 * kEpsilon * magnitude + OutEpsilon(c.args.out) * std::abs(y) + kTiny;
      ASSERT_NEAR(ValueAt(c.args.y, c.args.out, at), y, bound) << c.name << " at " << at;
    }
  }
}

TEST(Truth, Embed_IsZeroForAnotherRanksIds) {
  const ScopedFlushToZero flush;
  int64_t mine = 0, others = 0;
  for (Type type : {Type::kF32, Type::kBf16}) {
    Random random{kSeed};
    constexpr int64_t kVocab = 37, kWidth = 33, kBegin = 11;
    Buffers buffers;
    const PackedShape shape{kVocab, kWidth, 1};
    const void* source = NewValues(&buffers, &random, type, kVocab * kWidth);
    void* table = buffers.New<std::byte>(PackedElements(shape) * TypeBytes(type));
    PackRows({static_cast<const std::byte*>(source), type, kWidth, table, type, shape}, 0, kVocab);
    for (int32_t id = 0; id < 60; ++id) {
      std::vector<float> y(kWidth, 5.0f);
      SelectKernels(Isa::kReference, Chain::kPair2).embed({&id, table, type, y.data(), 1, shape, kBegin}, 0, 1);
      const bool here = id >= kBegin && id < kBegin + kVocab;
      (here ? mine : others) += 1;
      for (int64_t k = 0; k < kWidth; ++k) {
        const float expected = here ? ValueAt(source, type, (id - kBegin) * kWidth + k) + 0.0f : 0.0f;
        ASSERT_EQ(BitsOf(y[static_cast<size_t>(k)]), BitsOf(expected)) << "id " << id << " k " << k;
      }
    }
  }
  EXPECT_EQ(mine, 2 * 37);
  EXPECT_EQ(others, 2 * 23);
}

TEST(Truth, SelectRows_CopiesRows) {
  for (const Case<SelectRowsArgs>& c : TestCases<SelectRowsArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).select_rows(c.args, 0, c.items);
    for (int64_t i = 0; i < c.args.count * c.args.width; ++i) {
      const int64_t from = c.args.rows[i / c.args.width] * c.args.width + i % c.args.width;
      ASSERT_EQ(BitsOf(c.args.y[i]), BitsOf(c.args.x[from])) << c.name;
    }
  }
}

TEST(Truth, KvAppend_PutsTokensWhereAttentionReads) {
  for (Type type : {Type::kF32, Type::kBf16}) {
    const KernelSet& set = SelectKernels(Isa::kReference, Chain::kPair2);
    for (const Case<KvAppendArgs>& c : TestCases<KvAppendArgs>(type, kSeed)) {
      (type == Type::kF32 ? set.kv_append_f32 : set.kv_append_bf16)(c.args, 0, c.items);
      const int64_t width = c.args.cache.head_dim;
      for (int64_t at = 0; at < c.args.tokens * c.args.cache.kv_heads * width; ++at) {
        const int64_t d = at % width, head = at / width % c.args.cache.kv_heads;
        const int64_t slot = c.args.slots[at / width / c.args.cache.kv_heads];
        const int64_t base = (slot / 32 * c.args.cache.kv_heads + head) * width * 32;
        const float v = type == Type::kF32 ? c.args.v[at] : F32FromBf16(Bf16FromF32(c.args.v[at]));
        ASSERT_EQ(BitsOf(ValueAt(c.args.cache.v, type, base + slot % 32 * width + d)), BitsOf(v)) << c.name;
        ASSERT_EQ(BitsOf(ValueAt(c.args.cache.k, type, base + (d / 2 * 32 + slot % 32) * 2 + d % 2)),
                  BitsOf(ValueAt(c.args.k, type, at)))
            << c.name;
      }
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
