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

// A norm over all heads of q: each rank sums its own, doubling over ranks completes the sum, each scales its own.
std::vector<float> NormOnRanks(const KernelSet& set, const float* x, const float* w, int64_t rows, int64_t heads,
                               int64_t head_dim, int64_t chunk_heads, int64_t ranks) {
  const int64_t own = heads / ranks, width = own * head_dim;
  std::vector<std::vector<float>> part(static_cast<size_t>(ranks)), sum(static_cast<size_t>(ranks));
  for (size_t rank = 0; rank < part.size(); ++rank) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = x + row * heads * head_dim + static_cast<int64_t>(rank) * width;
      part[rank].insert(part[rank].end(), from, from + width);
    }
    sum[rank].resize(static_cast<size_t>(rows));
    const SumSquaresArgs args{part[rank].data(), sum[rank].data(), rows, own, head_dim, chunk_heads};
    for (int64_t row = 0; row < rows; ++row) set.sum_squares(args, row, row + 1);
  }
  for (size_t distance = 1; distance < sum.size(); distance *= 2) {
    for (size_t rank = 0; rank < sum.size(); rank += 2 * distance) {
      for (size_t i = 0; i < sum[rank].size(); ++i) sum[rank][i] += sum[rank + distance][i];
    }
  }
  std::vector<float> y(static_cast<size_t>(rows * heads * head_dim));
  for (size_t rank = 0; rank < part.size(); ++rank) {
    const int64_t first = static_cast<int64_t>(rank) * width;
    std::vector<float> scaled(part[rank].size());
    set.rms_scale(
        {part[rank].data(), sum[0].data(), w + first, scaled.data(), rows, width, heads * head_dim, 1e-6f, Type::kF32},
        0, rows);
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(scaled.begin() + row * width, width, y.begin() + row * heads * head_dim + first);
    }
  }
  return y;
}

TEST(Invariance, SumSquares_AnyNumberOfRanksGivesTheWhole) {
  const ScopedFlushToZero flush;
  Random random{6};
  constexpr int64_t kRows = 40, kHeads = 24, kHeadDim = 34, kChunkHeads = 3;
  Buffers buffers;
  const float* x = NewFloats(&buffers, &random, kRows * kHeads * kHeadDim);
  const float* w = NewFloats(&buffers, &random, kHeads * kHeadDim);
  for (Isa isa : {Isa::kReference, DetectIsa()}) {
    const KernelSet& set = SelectKernels(isa, Chain::kPair2);
    const auto whole = NormOnRanks(set, x, w, kRows, kHeads, kHeadDim, kChunkHeads, 1);
    for (int64_t ranks : {2, 4, 8}) {
      EXPECT_TRUE(NormOnRanks(set, x, w, kRows, kHeads, kHeadDim, kChunkHeads, ranks) == whole) << ranks << " ranks";
    }
    // One chunk of all heads is the norm of a whole row, and another sum than that of eight.
    const auto one_chunk = NormOnRanks(set, x, w, kRows, kHeads, kHeadDim, kHeads, 1);
    std::vector<float> norm(whole.size());
    set.rms_norm({x, w, norm.data(), kRows, kHeads * kHeadDim, 1e-6f, Type::kF32}, 0, kRows);
    EXPECT_TRUE(one_chunk == norm);
    EXPECT_FALSE(one_chunk == whole);
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
