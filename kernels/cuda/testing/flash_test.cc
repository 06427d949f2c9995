// Attention of fast numerics on the emulator, with the threads in three orders: within the bound of attention_truth.h.
#include "kernels/cuda/flash_attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/emulation/machine.h"
#include "kernels/cuda/fast.h"
#include "kernels/cuda/testing/attention_truth.h"
#include "kernels/cuda/testing/flash_shapes.h"
#include "kernels/cuda/testing/orders.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

constexpr uint64_t kSeed = 20261126;

std::vector<Case<AttentionArgs>> Cases() {
  std::vector<Case<AttentionArgs>> cases;
  Random random{kSeed};
  for (const AttentionShape& shape : FlashShapes()) cases.push_back(AttentionCase(Type::kBf16, &random, shape));
  for (const Case<AttentionArgs>& c : TestCases<AttentionArgs>(Type::kBf16, kSeed)) {
    if (FlashHas(c.args.cache.head_dim)) cases.push_back(c);
  }
  return cases;
}

std::vector<std::byte> RunFlash(const Case<AttentionArgs>& c, int runs_at_once) {
  return OutputsOf(c, [&] { EXPECT_EQ(StartFlash(c.args, runs_at_once, nullptr), 0); });
}

TEST(FlashCuda, AttentionIsWithinTheBoundInAnyOrder) {
  const ScopedFlushToZero flush;
  int64_t elements = 0;
  double furthest = 0;  // of the bound
  for (const Case<AttentionArgs>& c : Cases()) {
    std::vector<std::byte> first;
    for (const int runs_at_once : {kFlashRunsAtOnce, 1}) {
      for (const emulation::Order order : Orders()) {
        emulation::SetSchedule({.order = order, .seed = kSeed});
        const std::vector<std::byte> y = RunFlash(c, runs_at_once);
        if (first.empty()) {
          first = y;
          const AttentionVerdict verdict = Judge(c);
          EXPECT_EQ(verdict.outside, 0) << verdict.first;
          elements += verdict.elements;
          furthest = std::max(furthest, verdict.furthest);
        }
        EXPECT_TRUE(y == first) << c.name << ", " << runs_at_once << " runs at once";
      }
    }
  }
  emulation::SetSchedule({});
  EXPECT_GT(elements, 100'000);
  EXPECT_GT(furthest, 0.25);  // or the bound says nothing
}

// The control: the bound is narrow enough that a token more or less in sight shows. Scores are small here, so that
// weights are alike, as one alone of thirty would else have all the weight.
TEST(FlashCuda, ATokenMoreOrLessIsOutsideOfTheBound) {
  const ScopedFlushToZero flush;
  Random random{kSeed};
  Case<AttentionArgs> c = AttentionCase(
      Type::kBf16, &random, {.heads = 2, .kv_heads = 1, .head_dim = 64, .lengths = {70}, .queries = 40, .window = 30});
  c.args.scale = 0x1p-12f;
  RunFlash(c, 1);
  const AttentionVerdict verdict = Judge(c);
  EXPECT_EQ(verdict.outside, 0) << verdict.first;
  for (const int64_t window : {29, 31}) {
    Case<AttentionArgs> other = c;
    other.args.window = window;
    EXPECT_GT(Judge(other).outside, verdict.elements / 2) << window;
  }
}

// Likewise, of a head's sink: that there is none, that it is another head's, or a little more.
TEST(FlashCuda, AnotherSinkIsOutsideOfTheBound) {
  const ScopedFlushToZero flush;
  Random random{kSeed};
  Case<AttentionArgs> c =
      AttentionCase(Type::kBf16, &random,
                    {.heads = 2, .kv_heads = 1, .head_dim = 64, .lengths = {40}, .queries = 40, .sinks = {1.5f, 3.0f}});
  c.args.scale = 0x1p-12f;
  RunFlash(c, 1);
  const AttentionVerdict verdict = Judge(c);
  EXPECT_EQ(verdict.outside, 0) << verdict.first;
  const float exchanged[] = {3.0f, 1.5f}, more[] = {1.7f, 3.2f};
  for (const float* const sinks : {static_cast<const float*>(nullptr), exchanged, more}) {
    Case<AttentionArgs> other = c;
    other.args.sinks = sinks;
    EXPECT_GT(Judge(other).outside, verdict.elements / 2) << (sinks == nullptr ? "none" : fmt::format("{}", sinks[0]));
  }
}

// A row's result is the same whatever else is in its tile, as long as its run begins at the same token.
TEST(FlashCuda, RunsDoNotDependOnEachOther) {
  const ScopedFlushToZero flush;
  Random random{kSeed};
  const Case<AttentionArgs> c = AttentionCase(
      Type::kBf16, &random, {.heads = 4, .kv_heads = 2, .head_dim = 64, .lengths = {40, 33, 7}, .queries = 5});
  const std::vector<std::byte> together = RunFlash(c, 2);
  for (int64_t run = 0; run < 3; ++run) {
    Case<AttentionArgs> alone = c;
    const int64_t bytes = c.args.heads * c.args.cache.head_dim * 2;
    alone.args.q = static_cast<const std::byte*>(c.args.q) + run * 5 * bytes;
    alone.args.y = static_cast<std::byte*>(c.args.y) + run * 5 * bytes;
    alone.args.sequence += run * 5;
    alone.args.positions += run * 5;
    alone.args.tokens = 5;
    const std::vector<std::byte> y = RunFlash(alone, 1);
    const auto begin = static_cast<std::ptrdiff_t>(run * 5 * bytes),
               end = begin + static_cast<std::ptrdiff_t>(5 * bytes);
    EXPECT_TRUE(std::equal(y.begin() + begin, y.begin() + end, together.begin() + begin)) << run;
  }
}

TEST(FlashTile, IsSixtyFourRowsOrALittleLess) {
  const struct {
    int64_t group;
    const char* expected;
  } rows[] = {{1, "64 tokens x 1 heads, 1 parts"},  {3, "21 tokens x 3 heads, 1 parts"},
              {4, "16 tokens x 4 heads, 1 parts"},  {8, "8 tokens x 8 heads, 1 parts"},
              {33, "1 tokens x 33 heads, 1 parts"}, {64, "1 tokens x 64 heads, 1 parts"},
              {65, "1 tokens x 64 heads, 2 parts"}, {128, "1 tokens x 64 heads, 2 parts"}};
  for (const auto& row : rows) {
    const FlashTile tile = FlashTileOf(row.group);
    EXPECT_EQ(fmt::format("{} tokens x {} heads, {} parts", tile.tokens, tile.heads, tile.parts), row.expected);
  }
}

TEST(FlashTakes, ManyTokensWhoseContextsNeedNotBeSpread) {
  constexpr int64_t kBytes = int64_t{32} << 20;
  const struct {
    AttentionSize size;
    bool takes;
  } rows[] = {
      {{512, 32, 8, 128, 256, 0}, true},
      {{17, 32, 8, 128, 256, 0}, true},    // 136 blocks of the exact kernel on 132
                                           // multiprocessors
      {{16, 32, 8, 128, 256, 0}, false},   // few
      {{17, 8, 2, 128, 256, 0}, false},    // spread
      {{17, 8, 2, 128, 16, 0}, true},      // 512 tokens at most: cannot be
      {{512, 32, 8, 100, 256, 0}, false},  // rows of V are no multiple of sixteen bytes
      {{512, 32, 8, 8, 256, 0}, true},
      {{512, 32, 8, 256, 256, 0}, true},
      {{512, 32, 8, 264, 256, 0}, false},
      {{0, 32, 8, 128, 256, 0}, false},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(FlashTakes(row.size, 132, kBytes), row.takes)
        << row.size.tokens << " tokens, " << row.size.kv_heads << " KV heads of " << row.size.head_dim;
  }
}

}  // namespace
}  // namespace mrs::kernels::cuda
