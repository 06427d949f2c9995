// The promises that the rest of the project builds on: the same bits on any number of ranks and in any chunking.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

// Ranks own whole subtrees of chunks, so recursive doubling over their results is the tree of the whole.
std::vector<float> OnRanks(Type type, const KernelSet& set, const void* x, const void* source, int64_t rows, int64_t n,
                           int64_t chunk_k, int64_t chunk_count, int64_t ranks) {
  const int64_t k = chunk_k * chunk_count;
  const int64_t own = chunk_count / ranks;
  std::vector<std::vector<float>> partial;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    Buffers buffers;
    const PackedShape shape{n, chunk_k, own};
    const int64_t first = rank * own * chunk_k;
    void* packed = buffers.New<std::byte>(PackedElements(shape) * TypeBytes(type));
    PackRows({static_cast<const std::byte*>(source) + first * TypeBytes(type), type, k, packed, type, shape}, 0, n);
    partial.emplace_back(static_cast<size_t>(rows * n));
    const MatmulArgs args{static_cast<const std::byte*>(x) + first * TypeBytes(type),
                          packed,
                          nullptr,
                          partial.back().data(),
                          rows,
                          shape,
                          k,
                          n};
    (type == Type::kF32 ? set.matmul_f32 : set.matmul_bf16)(args, 0, MatmulItems(args));
  }
  for (size_t distance = 1; distance < partial.size(); distance *= 2) {
    for (size_t rank = 0; rank < partial.size(); rank += 2 * distance) {
      for (size_t i = 0; i < partial[rank].size(); ++i) partial[rank][i] += partial[rank + distance][i];
    }
  }
  return partial[0];
}

TEST(Invariance, Matmul_AnyNumberOfRanksGivesTheWhole) {
  const ScopedFlushToZero flush;
  Random random{3};
  constexpr int64_t kRows = 5, kN = 83, kChunkK = 43, kChunks = 16;
  int naive_differs = 0;
  for (Type type : {Type::kF32, Type::kBf16}) {
    Buffers buffers;
    const void* x = NewValues(&buffers, &random, type, kRows * kChunkK * kChunks);
    const void* source = NewValues(&buffers, &random, type, kN * kChunkK * kChunks);
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      for (Isa isa : {Isa::kReference, DetectIsa()}) {
        const KernelSet& set = SelectKernels(isa, chain);
        const auto whole = OnRanks(type, set, x, source, kRows, kN, kChunkK, kChunks, 1);
        for (int64_t ranks : {2, 4, 8, 16}) {
          const auto split = OnRanks(type, set, x, source, kRows, kN, kChunkK, kChunks, ranks);
          EXPECT_EQ(std::memcmp(split.data(), whole.data(), whole.size() * sizeof(float)), 0) << ranks << " ranks";
        }
        // The control: without chunks, one chain over all of K has other bits.
        const auto naive = OnRanks(type, set, x, source, kRows, kN, kChunkK * kChunks, 1, 1);
        naive_differs += std::memcmp(naive.data(), whole.data(), whole.size() * sizeof(float)) != 0;
      }
    }
  }
  EXPECT_EQ(naive_differs, 8);
}

struct Tokens {
  int64_t count, heads, kv_heads, head_dim;
  Type type;
  const std::byte* q;
  const std::byte* k;
  const float* v;
};

// Appends and attends `step` tokens at a time.
std::vector<std::byte> Attend(const KernelSet& set, const Tokens& tokens, int64_t step) {
  Buffers buffers;
  const int64_t bytes = TypeBytes(tokens.type);
  const int64_t blocks = (tokens.count + kBlockTokens - 1) / kBlockTokens;
  const int64_t elements = blocks * tokens.kv_heads * kBlockTokens * tokens.head_dim;
  const KvCache cache{buffers.New<std::byte>(elements * bytes), buffers.New<std::byte>(elements * bytes), blocks,
                      tokens.kv_heads, tokens.head_dim};
  // What was never written is NaN: nothing may depend on it.
  std::memset(cache.k, 0xff, static_cast<size_t>(elements * bytes));
  std::memset(cache.v, 0xff, static_cast<size_t>(elements * bytes));
  std::vector<int32_t> table(static_cast<size_t>(blocks)), sequence(static_cast<size_t>(tokens.count), 0);
  for (int64_t b = 0; b < blocks; ++b) table[static_cast<size_t>(b)] = static_cast<int32_t>(blocks - 1 - b);
  std::vector<int32_t> positions, slots;
  for (int32_t p = 0; p < tokens.count; ++p) {
    positions.push_back(p);
    slots.push_back(table[static_cast<size_t>(p / kBlockTokens)] * static_cast<int32_t>(kBlockTokens) +
                    p % static_cast<int32_t>(kBlockTokens));
  }
  const int64_t q_bytes = tokens.heads * tokens.head_dim * bytes;
  const int64_t kv_width = tokens.kv_heads * tokens.head_dim;
  std::vector<std::byte> y(static_cast<size_t>(tokens.count * q_bytes));
  for (int64_t first = 0; first < tokens.count; first += step) {
    const int64_t count = std::min(step, tokens.count - first);
    const KvAppendArgs append{cache, tokens.k + first * kv_width * bytes, tokens.v + first * kv_width,
                              slots.data() + first, count};
    const AttentionArgs attention{tokens.q + first * q_bytes,
                                  cache,
                                  sequence.data(),
                                  positions.data() + first,
                                  table.data(),
                                  blocks,
                                  y.data() + first * q_bytes,
                                  count,
                                  tokens.heads,
                                  0.25f};
    (tokens.type == Type::kF32 ? set.kv_append_f32 : set.kv_append_bf16)(append, 0, count);
    (tokens.type == Type::kF32 ? set.attention_f32 : set.attention_bf16)(attention, 0, count * tokens.kv_heads);
  }
  return y;
}

TEST(Invariance, Attention_AnyChunkingOfThePromptGivesTheSame) {
  const ScopedFlushToZero flush;
  Random random{4};
  for (int64_t count : {40, 600, 1100}) {
    for (Type type : {Type::kF32, Type::kBf16}) {
      Buffers buffers;
      Tokens tokens{count, 2, 1, 16, type, nullptr, nullptr, nullptr};
      tokens.q = static_cast<const std::byte*>(NewValues(&buffers, &random, type, count * 2 * 16));
      tokens.k = static_cast<const std::byte*>(NewValues(&buffers, &random, type, count * 16));
      tokens.v = static_cast<const float*>(NewValues(&buffers, &random, Type::kF32, count * 16));
      for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
        const KernelSet& set = SelectKernels(DetectIsa(), chain);
        const auto whole = Attend(set, tokens, count);
        for (int64_t step : {1, 7, 64}) EXPECT_TRUE(Attend(set, tokens, step) == whole) << count << " by " << step;
        if (count <= 600) {
          EXPECT_TRUE(Attend(SelectKernels(Isa::kReference, chain), tokens, count) == whole) << count << " reference";
        }
      }
    }
  }
}

// Vocabulary shards: candidates and partials of ranks, put together, are those of one rank.
TEST(Invariance, TopCandidates_ShardsCombineToTheWhole) {
  const ScopedFlushToZero flush;
  Random random{5};
  constexpr int64_t kSize = 37, kValid = 560, kK = 8;
  std::vector<float> logits(static_cast<size_t>(kSize * kVocabChunks));
  for (float& value : logits) value = static_cast<float>(random.Below(40)) * 0.25f;
  const KernelSet& set = SelectKernels(DetectIsa(), Chain::kPair2);
  std::vector<std::byte> whole(static_cast<size_t>(TopCandidatesRecordBytes(kK, kVocabChunks)));
  set.top_candidates({logits.data(), 1, kSize, kVocabChunks, 0, kValid, kK, whole.data()}, 0, 1);
  for (int64_t ranks : {2, 4, 8, 16}) {
    const int64_t own = kVocabChunks / ranks;
    std::vector<std::pair<float, int32_t>> candidates;
    std::vector<LsePartial> partials;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      std::vector<std::byte> record(static_cast<size_t>(TopCandidatesRecordBytes(kK, own)));
      const int64_t begin = rank * own * kSize;
      set.top_candidates({logits.data() + begin, 1, kSize, own, begin, kValid, kK, record.data()}, 0, 1);
      for (int64_t i = 0; i < kK; ++i) {
        int32_t id;
        float logit;
        std::memcpy(&id, record.data() + i * 4, 4);
        std::memcpy(&logit, record.data() + (kK + i) * 4, 4);
        if (id >= 0) candidates.emplace_back(-logit, id);
      }
      for (int64_t c = 0; c < own; ++c) {
        LsePartial partial;
        std::memcpy(&partial, record.data() + kK * 8 + c * 8, 8);
        partials.push_back(partial);
      }
    }
    std::sort(candidates.begin(), candidates.end());
    for (int64_t i = 0; i < kK; ++i) {
      int32_t id;
      std::memcpy(&id, whole.data() + i * 4, 4);
      EXPECT_EQ(candidates[static_cast<size_t>(i)].second, id) << ranks << " ranks, place " << i;
    }
    EXPECT_EQ(std::memcmp(partials.data(), whole.data() + kK * 8, kVocabChunks * 8), 0) << ranks << " ranks";
    // Subtrees first, as ranks would, or all at once.
    std::vector<LsePartial> subtrees;
    for (int64_t rank = 0; rank < ranks; ++rank) subtrees.push_back(CombineLseTree(partials.data() + rank * own, own));
    const float all = LseValue(CombineLseTree(partials.data(), kVocabChunks));
    EXPECT_EQ(BitsOf(LseValue(CombineLseTree(subtrees.data(), ranks))), BitsOf(all));
    double sum = 0;
    for (int64_t i = 0; i < kValid; ++i) sum += std::exp(static_cast<double>(logits[static_cast<size_t>(i)]));
    EXPECT_NEAR(all, std::log(sum), 1e-5);
  }
}

}  // namespace
}  // namespace mrs::kernels
