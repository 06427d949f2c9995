// Every exact CUDA kernel on the emulator against the reference, over the cases that the CPU's kernels are held to,
// with the threads in three orders: the same bits.
#include "kernels/cuda/exact.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/emulation/stream.h"
#include "kernels/cuda/testing/orders.h"
#include "kernels/cuda/testing/splits.h"
#include "kernels/testing/cases.h"

namespace mrs::kernels::cuda {
namespace {

constexpr uint64_t kSeed = 20261126;

template <typename Args>
void Check(const char* name, Kernel<Args> KernelSet::*of_cpu, CudaKernel<Args> CudaKernels::*of_cuda) {
  const ScopedFlushToZero flush;
  for (const Case<Args>& c : TestCases<Args>(TypeOfKernel(name), kSeed)) {
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const auto expected = OutputsOf(c, [&] { (SelectKernels(Isa::kReference, chain).*of_cpu)(c.args, 0, c.items); });
      for (const emulation::Order order : Orders()) {
        emulation::SetSchedule({.order = order, .seed = kSeed});
        SCOPED_TRACE(std::string(name) + " " + c.name + (chain == Chain::kPair2 ? " pair2" : " block32") + " order " +
                     std::to_string(static_cast<int>(order)));
        EXPECT_TRUE(OutputsOf(c, [&] { EXPECT_EQ((ExactKernels(chain).*of_cuda)(c.args, nullptr), 0); }) == expected);
      }
    }
  }
  emulation::SetSchedule({});
}

#define ROW(name, Args) \
  TEST(ExactCuda, name) { Check<Args>(#name, &KernelSet::name, &CudaKernels::name); }
MRS_KERNELS(ROW)
#undef ROW

// A row that is not there leaves the cache, and what the others write to it, alone.
TEST(ExactCuda, KvAppendOfRowsThatAreNotThere) {
  Buffers buffers;
  float *const k = buffers.New<float>(3 * 4), *const v = buffers.New<float>(3 * 4);
  float *const of_keys = buffers.New<float>(2 * 32 * 4), *const of_values = buffers.New<float>(2 * 32 * 4);
  int32_t* const slots = buffers.New<int32_t>(3);
  std::fill(k, k + 3 * 4, 1.0f);
  std::fill(v, v + 3 * 4, 2.0f);
  std::copy_n(std::array{-1, 33, -1}.data(), 3, slots);
  KvAppendArgs args = {{of_keys, of_values, 2, 1, 4}, k, v, slots, 3};
  EXPECT_EQ(ExactKernels(Chain::kPair2).kv_append_f32(args, nullptr), 0);
  const std::span<const float> keys(of_keys, 2 * 32 * 4), values(of_values, 2 * 32 * 4);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), 1.0f), 4);
  EXPECT_EQ(std::count(keys.begin(), keys.end(), 0.0f), 2 * 32 * 4 - 4);
  EXPECT_EQ(values[(32 + 1) * 4], 2.0f);
  EXPECT_EQ(std::count(values.begin(), values.end(), 0.0f), 2 * 32 * 4 - 4);
}

// However a context is spread over blocks.
template <typename T>
void CheckAttentionSplits(Type type) {
  const ScopedFlushToZero flush;
  for (const Case<AttentionArgs>& c : TestCases<AttentionArgs>(type, kSeed)) {
    const AttentionArgs& a = c.args;
    const AttentionSize size = {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
    const int64_t segments = SplitOf(size, 1, 0).segments;
    if (segments < 2) continue;
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const KernelSet& reference = SelectKernels(Isa::kReference, chain);
      const auto of_cpu = type == Type::kBf16 ? reference.attention_bf16 : reference.attention_f32;
      const auto expected = OutputsOf(c, [&] { of_cpu(a, 0, c.items); });
      const auto start = chain == Chain::kPair2 ? StartSpread<T, Chain::kPair2> : StartSpread<T, Chain::kBlock32>;
      for (const int64_t blocks : {int64_t{2}, segments + 1}) {  // some take two segments; one takes none
        const AttentionSplit split = {blocks, segments};
        for (const emulation::Order order : Orders()) {
          emulation::SetSchedule({.order = order, .seed = kSeed});
          SCOPED_TRACE(fmt::format("{} {} {} blocks order {}", c.name, chain == Chain::kPair2 ? "pair2" : "block32",
                                   blocks, static_cast<int>(order)));
          Buffers buffers;
          auto* const parts = buffers.New<std::byte>(split.Bytes(size));
          const int64_t contexts = a.tokens * a.cache.kv_heads;
          auto* const counts = buffers.New<uint32_t>(contexts);
          const Workspace workspace = {parts, split.Bytes(size), counts};
          for (int run = 0; run < 2; ++run) {  // the first leaves the counts as they were
            std::memset(parts, 0xff, static_cast<size_t>(split.Bytes(size)));  // NaNs
            EXPECT_TRUE(OutputsOf(c, [&] { EXPECT_EQ(start(a, split, workspace, nullptr), 0); }) == expected);
            EXPECT_EQ(std::count(counts, counts + contexts, 0u), contexts);
          }
        }
      }
    }
  }
  emulation::SetSchedule({});
}
TEST(ExactCuda, AttentionSplitsBf16) { CheckAttentionSplits<bf16>(Type::kBf16); }
TEST(ExactCuda, AttentionSplitsF32) { CheckAttentionSplits<float>(Type::kF32); }

// With a workspace, a context's segments are spread; the same bits as without, and as with one that is too small.
TEST(ExactCuda, AttentionWithAWorkspace) {
  const ScopedFlushToZero flush;
  constexpr int64_t kBytes = 1 << 22, kCountBytes = kMostCounts * int64_t{sizeof(uint32_t)};
  Buffers buffers;
  std::byte* const memory = buffers.New<std::byte>(kBytes);
  int spread = 0, small = 0;
  for (const Case<AttentionArgs>& c : TestCases<AttentionArgs>(Type::kBf16, kSeed)) {
    const auto launch = [&] { EXPECT_EQ(ExactKernels(Chain::kPair2).attention_bf16(c.args, nullptr), 0); };
    const auto expected = OutputsOf(c, launch);
    for (const int64_t bytes : {kCountBytes, kCountBytes + 64, kBytes}) {
      const Workspace workspace = WorkspaceOf(memory, bytes);
      std::fill_n(memory, bytes, std::byte{0});
      std::fill_n(memory, workspace.bytes, std::byte{0x5a});
      UseWorkspace(workspace);
      EXPECT_TRUE(OutputsOf(c, launch) == expected) << c.name << ", " << bytes << " bytes";
      UseWorkspace({});
      const bool is_spread = memory[0] != std::byte{0x5a};
      spread += is_spread ? 1 : 0;
      small += is_spread && bytes < kBytes ? 1 : 0;
      if (workspace.counts == nullptr) continue;
      EXPECT_EQ(std::count(workspace.counts, workspace.counts + kMostCounts, 0u), kMostCounts) << c.name;
    }
  }
  EXPECT_GT(spread, 5);
  EXPECT_EQ(small, 0);
}

// A launch, also of a graph, which leaves the counts to its next replay as it found them.
TEST(ExactCuda, AttentionOfASpreadContextIsOneLaunch) {
  const ScopedFlushToZero flush;
  int replayed = 0;
  for (const Case<AttentionArgs>& c : TestCases<AttentionArgs>(Type::kF32, kSeed)) {
    const AttentionArgs& a = c.args;
    const AttentionSize size = {a.tokens, a.heads, a.cache.kv_heads, a.cache.head_dim, a.table_stride, a.window};
    const int64_t segments = SplitOf(size, 1, 0).segments, contexts = a.tokens * a.cache.kv_heads;
    if (segments < 2 || contexts == 0) continue;
    const AttentionSplit split = {segments, segments};
    Buffers buffers;
    auto* const counts = buffers.New<uint32_t>(contexts);
    const Workspace workspace = {buffers.New<std::byte>(split.Bytes(size)), split.Bytes(size), counts};
    emulation::Stream stream;
    emulation::Capture capture;
    stream.Join(&capture);
    EXPECT_EQ((StartSpread<float, Chain::kPair2>(a, split, workspace, &stream)), 0);
    stream.Leave();
    ASSERT_EQ(capture.nodes.size(), 1u);
    const auto expected =
        OutputsOf(c, [&] { SelectKernels(Isa::kReference, Chain::kPair2).attention_f32(a, 0, c.items); });
    for (int replay = 0; replay < 3; ++replay) {
      EXPECT_TRUE(OutputsOf(c, capture.nodes[0].work) == expected) << c.name << ", replay " << replay;
      EXPECT_EQ(std::count(counts, counts + contexts, 0u), contexts) << c.name << ", replay " << replay;
    }
    ++replayed;
  }
  EXPECT_GT(replayed, 2);
}

// The last bytes are the counts, of whole words, and nobody's else.
TEST(Workspace, EndsWithItsCounts) {
  constexpr int64_t kCountBytes = 4096;
  alignas(uint32_t) static std::byte memory[2 * kCountBytes];
  struct Row {
    int64_t bytes, of_data, counts_at;  // -1: none
  };
  for (const Row& row : {Row{0, 0, -1}, Row{1, 1, -1}, Row{4095, 4095, -1}, Row{4096, 4096, -1}, Row{4099, 4099, -1},
                         Row{4100, 4, 4}, Row{4103, 4, 4}, Row{8192, 4096, 4096}}) {
    const Workspace workspace = WorkspaceOf(memory, row.bytes);
    EXPECT_EQ(workspace.data, memory);
    EXPECT_EQ(workspace.bytes, row.of_data) << row.bytes;
    EXPECT_EQ(workspace.BytesOfSpread(), row.counts_at < 0 ? 0 : row.of_data) << row.bytes;
    const auto* const counts = reinterpret_cast<const std::byte*>(workspace.counts);
    EXPECT_EQ(counts == nullptr ? -1 : counts - memory, row.counts_at) << row.bytes;
  }
}

TEST(AttentionSplit, Table) {
  struct Row {
    AttentionSize size;
    int64_t multiprocessors, workspace_bytes, blocks, segments;
  };
  constexpr int64_t kBytes = int64_t{32} << 20;
  const Row rows[] = {
      {{1, 32, 8, 128, 256, 0}, 132, kBytes, 16, 16},  // 8192 tokens at most
      {{1, 32, 8, 128, 16, 0}, 132, kBytes, 1, 1},     // 512
      {{1, 32, 8, 128, 17, 0}, 132, kBytes, 2, 2},
      {{8, 32, 8, 128, 256, 0}, 132, kBytes, 3, 16},
      {{17, 32, 8, 128, 256, 0}, 132, kBytes, 1, 16},  // blocks enough as it is
      {{16, 32, 8, 128, 256, 0}, 132, kBytes, 2, 16},
      {{1, 32, 8, 128, 4096, 0}, 132, kBytes, 17, 256},  // 131072 tokens: 4 MiB
      {{16, 32, 8, 128, 4096, 0}, 132, kBytes, 1, 256},  // 65 MiB
      {{1, 32, 8, 128, 256, 0}, 132, 0, 1, 16},
      {{1, 32, 8, 128, 256, 1}, 132, kBytes, 1, 1},  // windows
      {{1, 32, 8, 128, 256, 2}, 132, kBytes, 2, 2},
      {{1, 32, 8, 128, 256, 513}, 132, kBytes, 2, 2},
      {{1, 32, 8, 128, 256, 514}, 132, kBytes, 3, 3},
      {{1, 32, 8, 128, 256, 100000}, 132, kBytes, 16, 16},
      {{0, 32, 8, 128, 256, 0}, 132, kBytes, 1, 16},
      {{512, 2, 2, 2, 17, 0}, 2048, kBytes, 2, 2},  // as many contexts as there are counts for, and one more
      {{1025, 1, 1, 2, 17, 0}, 2048, kBytes, 1, 2},
  };
  for (const Row& row : rows) {
    const AttentionSplit split = SplitOf(row.size, row.multiprocessors, row.workspace_bytes);
    EXPECT_EQ(fmt::format("{} {}", split.blocks, split.segments), fmt::format("{} {}", row.blocks, row.segments))
        << row.size.tokens << " tokens, " << row.size.table_stride << " blocks, window " << row.size.window;
  }
}

// However a product is spread, also as only larger ones would be.
template <typename T>
void CheckSplits(Type type) {
  const ScopedFlushToZero flush;
  for (const Case<MatmulArgs>& c : TestCases<MatmulArgs>(type, kSeed)) {
    for (Chain chain : {Chain::kPair2, Chain::kBlock32}) {
      const KernelSet& reference = SelectKernels(Isa::kReference, chain);
      const auto of_cpu = type == Type::kBf16 ? reference.matmul_bf16 : reference.matmul_f32;
      const auto expected = OutputsOf(c, [&] { of_cpu(c.args, 0, c.items); });
      const MatmulSize size = {c.args.rows, c.args.shape.n, c.args.shape.chunk_count, int64_t{sizeof(T)}};
      for (const MatmulSplit& split : SplitsOf(size)) {
        SCOPED_TRACE(fmt::format("{} {} {} x {}, {} groups, {} warps", c.name,
                                 chain == Chain::kPair2 ? "pair2" : "block32", split.rows, split.columns, split.groups,
                                 split.warps));
        for (const emulation::Order order : Orders()) {
          if (order == emulation::Order::kForward) continue;  // copies are as late as in random order
          emulation::SetSchedule({.order = order, .seed = kSeed});
          const MatmulGroupArgs alone = GroupOf(c.args, type);
          EXPECT_TRUE(OutputsOf(c, [&] {
                        EXPECT_EQ(chain == Chain::kPair2 ? StartSplit<Chain::kPair2>(alone, split, nullptr)
                                                         : StartSplit<Chain::kBlock32>(alone, split, nullptr),
                                  0);
                      }) == expected);
        }
      }
    }
  }
  emulation::SetSchedule({});
}
TEST(ExactCuda, MatmulHoweverItIsSpread) {
  CheckSplits<bf16>(Type::kBf16);
  CheckSplits<float>(Type::kF32);
}

// Of a model of 8 billion weights, in bf16 where not said otherwise. Of bf16 in one or sixteen chunks each is what was
// the quickest on an H200, or within 7 % of it, where it was timed (matmul_split.h).
TEST(MatmulSplit, ByTheSizeOfTheProduct) {
  struct Row {
    MatmulSize size;  // rows, n, chunk_count, element_bytes
    MatmulDevice device;
    const char* expected;
  };
  const Row rows[] = {
      {{1, 1024, 1, 2}, {}, "1 x 1, 32 strips x 1 blocks of 1 groups, 1 warps, 4 tiles, 33 KiB"},
      {{1, 14336, 1, 2}, {}, "1 x 1, 448 strips x 1 blocks of 1 groups, 1 warps, 4 tiles, 33 KiB"},
      {{1, 1024, 1, 4}, {}, "1 x 1, 32 strips x 1 blocks of 1 groups, 1 warps, 2 tiles, 33 KiB"},
      {{2, 1024, 1, 2}, {}, "1 x 1, 32 strips x 1 blocks of 2 groups, 1 warps, 4 tiles, 34 KiB"},
      {{3, 4096, 1, 2}, {}, "2 x 1, 128 strips x 1 blocks of 2 groups, 1 warps, 4 tiles, 37 KiB"},
      {{4, 14336, 1, 2}, {}, "2 x 1, 448 strips x 1 blocks of 2 groups, 1 warps, 4 tiles, 37 KiB"},
      {{8, 4096, 1, 2}, {}, "2 x 1, 128 strips x 2 blocks of 2 groups, 1 warps, 4 tiles, 37 KiB"},
      {{8, 14336, 1, 2}, {}, "2 x 1, 448 strips x 2 blocks of 2 groups, 1 warps, 4 tiles, 37 KiB"},
      {{8, 128256, 1, 2}, {}, "4 x 2, 2004 strips x 1 blocks of 2 groups, 1 warps, 2 tiles, 39 KiB"},
      {{16, 4096, 1, 2}, {}, "2 x 1, 128 strips x 4 blocks of 2 groups, 1 warps, 4 tiles, 37 KiB"},
      {{16, 14336, 1, 2}, {}, "4 x 2, 224 strips x 1 blocks of 4 groups, 1 warps, 2 tiles, 45 KiB"},
      {{16, 128256, 1, 2}, {}, "8 x 4, 1002 strips x 1 blocks of 2 groups, 1 warps, 1 tiles, 46 KiB"},
      {{256, 1024, 1, 2}, {}, "4 x 2, 16 strips x 16 blocks of 4 groups, 1 warps, 2 tiles, 45 KiB"},
      {{256, 4096, 1, 2}, {}, "8 x 4, 32 strips x 8 blocks of 4 groups, 1 warps, 1 tiles, 58 KiB"},
      {{512, 14336, 1, 4}, {}, "8 x 2, 224 strips x 16 blocks of 4 groups, 1 warps, 1 tiles, 49 KiB"},
      {{1, 4096, 16, 2}, {}, "1 x 1, 128 strips x 1 blocks of 1 groups, 4 warps, 4 tiles, 135 KiB"},
      {{1, 6144, 16, 2}, {}, "1 x 1, 192 strips x 1 blocks of 1 groups, 2 warps, 4 tiles, 67 KiB"},
      {{1, 28672, 16, 2}, {}, "1 x 1, 896 strips x 1 blocks of 1 groups, 1 warps, 4 tiles, 34 KiB"},
      {{2, 4096, 16, 2}, {}, "2 x 1, 128 strips x 1 blocks of 1 groups, 4 warps, 4 tiles, 140 KiB"},
      {{4, 4096, 16, 2}, {}, "2 x 1, 128 strips x 1 blocks of 2 groups, 4 warps, 4 tiles, 150 KiB"},
      {{8, 4096, 16, 2}, {}, "4 x 2, 64 strips x 2 blocks of 1 groups, 4 warps, 2 tiles, 148 KiB"},
      {{16, 4096, 16, 2}, {}, "4 x 2, 64 strips x 2 blocks of 2 groups, 2 warps, 2 tiles, 86 KiB"},
      {{16, 28672, 16, 2}, {}, "4 x 2, 448 strips x 1 blocks of 4 groups, 1 warps, 2 tiles, 57 KiB"},
      {{256, 4096, 16, 2}, {}, "8 x 4, 32 strips x 8 blocks of 4 groups, 1 warps, 1 tiles, 106 KiB"},
      // Where a block has less shared memory.
      {{1, 4096, 16, 2}, {170, 99 << 10}, "1 x 1, 128 strips x 1 blocks of 1 groups, 2 warps, 4 tiles, 67 KiB"},
      {{256, 4096, 16, 2}, {170, 99 << 10}, "8 x 4, 32 strips x 16 blocks of 2 groups, 1 warps, 1 tiles, 70 KiB"},
  };
  for (const Row& row : rows) {
    const MatmulSplit s = SplitOf(row.size, row.device);
    EXPECT_EQ(fmt::format("{} x {}, {} strips x {} blocks of {} groups, {} warps, {} tiles, {} KiB", s.rows, s.columns,
                          s.strips, s.blocks_of_rows, s.groups, s.warps, s.tiles, s.SharedBytes() >> 10),
              row.expected);
  }
}

}  // namespace
}  // namespace mrs::kernels::cuda
