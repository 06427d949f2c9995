// The promises of attention: any chunking of a prompt, any place of its blocks, the same bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/testing/cases.h"

namespace mrs::kernels {
namespace {

struct Tokens {
  int64_t count, heads, kv_heads, head_dim;
  Type type;
  const std::byte* q;
  const std::byte* k;
  const float* v;
  int64_t window = 0;
  float soft_cap = 0;
  const float* sinks = nullptr;  // [heads]
};

// `mild`: queries so small that every token in sight has its part in the result.
Tokens NewTokens(Buffers* buffers, Random* random, int64_t count, Type type, bool mild = false) {
  Tokens tokens{count, 2, 1, 16, type, nullptr, nullptr, nullptr};
  void* q = NewValues(buffers, random, type, count * 2 * 16);
  for (int64_t i = 0; mild && i < count * 2 * 16; ++i) {
    const float small = ValueAt(q, type, i) * 0x1p-12f;
    if (type == Type::kF32) static_cast<float*>(q)[i] = small;
    if (type == Type::kBf16) static_cast<bf16*>(q)[i] = Bf16FromF32(small);
  }
  tokens.q = static_cast<const std::byte*>(q);
  tokens.k = static_cast<const std::byte*>(NewValues(buffers, random, type, count * 16));
  tokens.v = NewFloats(buffers, random, count * 16);
  return tokens;
}

// Every block of a sequence has its own place, or blocks far enough apart share one.
enum class Places { kOwn, kRing };

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Appends and attends `step` tokens at a time. A ring holds what the window of the first token of a step and the step
// itself can span, and no block more.
std::vector<std::byte> Attend(const KernelSet& set, const Tokens& tokens, int64_t step, Places places = Places::kOwn) {
  Buffers buffers;
  const int64_t bytes = TypeBytes(tokens.type);
  const int64_t blocks = CeilDiv(tokens.count, kBlockTokens);
  const int64_t ring = CeilDiv(tokens.window + std::min(step, tokens.count) - 2, kBlockTokens) + 1;
  const int64_t held = places == Places::kRing ? std::min(blocks, ring) : blocks;
  const int64_t elements = held * tokens.kv_heads * kBlockTokens * tokens.head_dim;
  const KvCache cache{buffers.New<std::byte>(elements * bytes), buffers.New<std::byte>(elements * bytes), held,
                      tokens.kv_heads, tokens.head_dim};
  // What was never written is NaN: nothing may depend on it.
  std::memset(cache.k, 0xff, static_cast<size_t>(elements * bytes));
  std::memset(cache.v, 0xff, static_cast<size_t>(elements * bytes));
  std::vector<int32_t> table(static_cast<size_t>(blocks)), sequence(static_cast<size_t>(tokens.count), 0);
  for (int64_t b = 0; b < blocks; ++b) table[static_cast<size_t>(b)] = static_cast<int32_t>(held - 1 - b % held);
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
                                  0.25f,
                                  tokens.window,
                                  tokens.soft_cap,
                                  tokens.sinks};
    (tokens.type == Type::kF32 ? set.kv_append_f32 : set.kv_append_bf16)(append, 0, count);
    (tokens.type == Type::kF32 ? set.attention_f32 : set.attention_bf16)(attention, 0, count * tokens.kv_heads);
  }
  return y;
}

void CheckChunking(Random* random, int64_t count, Type type, int64_t window, float soft_cap,
                   const float* sinks = nullptr) {
  Buffers buffers;
  Tokens tokens = NewTokens(&buffers, random, count, type);
  tokens.window = window;
  tokens.soft_cap = soft_cap;
  tokens.sinks = sinks;
  for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
    SCOPED_TRACE(fmt::format("{} tokens, window {}, cap {}", count, window, soft_cap));
    const KernelSet& set = SelectKernels(DetectIsa(), chain);
    const auto whole = Attend(set, tokens, count);
    for (int64_t step : {1, 7, 64}) {
      EXPECT_TRUE(Attend(set, tokens, step) == whole) << "by " << step;
      if (window > 0) {
        EXPECT_TRUE(Attend(set, tokens, step, Places::kRing) == whole) << "ring, by " << step;
      }
    }
    if (count <= 600) {
      EXPECT_TRUE(Attend(SelectKernels(Isa::kReference, chain), tokens, count) == whole) << "reference";
    }
  }
}

TEST(Invariance, Attention_AnyChunkingOfThePromptGivesTheSame) {
  const ScopedFlushToZero flush;
  Random random{4};
  for (int64_t count : {40, 600, 1100}) {
    for (Type type : {Type::kF32, Type::kBf16}) CheckChunking(&random, count, type, 0, 0.0f);
  }
}

// The same in a ring of blocks, where what no token sees any longer has been written over.
TEST(Invariance, Attention_AWindowMayForgetWhatItCannotSee) {
  const ScopedFlushToZero flush;
  Random random{7};
  for (int64_t window : {1, 2, 31, 32, 33, 64, 100, 512, 2000}) {
    for (Type type : {Type::kF32, Type::kBf16}) CheckChunking(&random, window < 100 ? 140 : 1100, type, window, 0.0f);
  }
}

TEST(Invariance, Attention_CapsAreOfAScoreAlone) {
  const ScopedFlushToZero flush;
  Random random{8};
  for (Type type : {Type::kF32, Type::kBf16}) {
    CheckChunking(&random, 600, type, 0, 0.5f);
    CheckChunking(&random, 600, type, 70, 0.5f);
  }
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A row has its heads' sinks once, however many segments and whatever window it has.
TEST(Invariance, Attention_SinksAreOfARowAlone) {
  const ScopedFlushToZero flush;
  Random random{10};
  const float sinks[] = {4.0f, 1.0f};
  for (Type type : {Type::kF32, Type::kBf16}) {
    CheckChunking(&random, 600, type, 0, 0.0f, sinks);
    CheckChunking(&random, 600, type, 70, 0.5f, sinks);
  }
}

// By the same bits; one far below the scores is none, too, and a head has its own alone.
TEST(Invariance, Attention_ASinkOfMinusInfinityIsNone) {
  const ScopedFlushToZero flush;
  Random random{11};
  constexpr int64_t kCount = 600;
  for (Type type : {Type::kF32, Type::kBf16}) {
    Buffers buffers;
    Tokens tokens = NewTokens(&buffers, &random, kCount, type, true);
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const KernelSet& set = SelectKernels(DetectIsa(), chain);
      tokens.sinks = nullptr;
      const auto without = Attend(set, tokens, kCount);
      const float none[] = {-kInfinity, -1e30f}, of_first[] = {1e6f, -kInfinity};
      tokens.sinks = none;
      EXPECT_TRUE(Attend(set, tokens, kCount) == without);
      tokens.sinks = of_first;
      const auto with = Attend(set, tokens, kCount);
      const auto head_bytes = static_cast<std::ptrdiff_t>(16 * TypeBytes(type));
      for (auto a = with.begin(), b = without.begin(); a != with.end(); a += 2 * head_bytes, b += 2 * head_bytes) {
        EXPECT_FALSE(std::equal(a, a + head_bytes, b));
        EXPECT_TRUE(std::equal(a + head_bytes, a + 2 * head_bytes, b + head_bytes));
      }
    }
  }
}

// A window that reaches past the first token changes nothing; and what lies before a window, a whole segment of it,
// might never have been.
TEST(Invariance, Attention_WindowsSeeWhatTheySayAndNothingElse) {
  const ScopedFlushToZero flush;
  Random random{9};
  constexpr int64_t kCount = 700, kSegment = kSegmentBlocks * kBlockTokens;
  for (Type type : {Type::kF32, Type::kBf16}) {
    Buffers buffers;
    Tokens tokens = NewTokens(&buffers, &random, kCount, type, true);
    const KernelSet& set = SelectKernels(DetectIsa(), Chain::kPair2);
    const auto all = Attend(set, tokens, kCount);
    tokens.window = kCount;
    EXPECT_TRUE(Attend(set, tokens, kCount) == all);
    tokens.window = kCount - 1;
    EXPECT_FALSE(Attend(set, tokens, kCount) == all);
    tokens.window = 90;
    const auto windowed = Attend(set, tokens, kCount);
    // The tokens from the second segment on, alone: where the window does not reach back to the first, the same bits.
    Tokens later = tokens;
    const int64_t kv_bytes = 16 * TypeBytes(type), q_bytes = 2 * kv_bytes;
    later.count = kCount - kSegment;
    later.q += kSegment * q_bytes;
    later.k += kSegment * kv_bytes;
    later.v += kSegment * 16;
    const auto alone = Attend(set, later, later.count);
    EXPECT_TRUE(std::equal(alone.begin() + 89 * q_bytes, alone.end(), windowed.begin() + (kSegment + 89) * q_bytes));
    EXPECT_FALSE(std::equal(alone.begin() + 88 * q_bytes, alone.end(), windowed.begin() + (kSegment + 88) * q_bytes));
  }
}

}  // namespace
}  // namespace mrs::kernels
