// Every fused kernel on the emulator against the reference's plain rows in turn, with the threads in three orders: the
// same bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/exact.h"
#include "kernels/cuda/testing/fused_cases.h"
#include "kernels/cuda/testing/orders.h"
#include "kernels/cuda/testing/splits.h"

namespace mrs::kernels::cuda {
namespace {

constexpr uint64_t kSeed = 20261127;

template <typename Args>
void Check(const char* name, CudaKernel<Args> CudaKernels::*fused) {
  const ScopedFlushToZero flush;
  const KernelSet& reference = SelectKernels(Isa::kReference, Chain::kPair2);  // neither has a chain over K
  for (const Case<Args>& c : TestCases<Args>(Type::kF32, kSeed)) {
    const auto expected = OutputsOf(c, [&] { RunPlain(reference, c.args); });
    for (const emulation::Order order : Orders()) {
      emulation::SetSchedule({.order = order, .seed = kSeed});
      SCOPED_TRACE(std::string(name) + " " + c.name + " order " + std::to_string(static_cast<int>(order)));
      EXPECT_TRUE(OutputsOf(c, [&] { EXPECT_EQ((ExactKernels(Chain::kPair2).*fused)(c.args, nullptr), 0); }) ==
                  expected);
    }
  }
  emulation::SetSchedule({});
}

#define ROW(name, Args) \
  TEST(ExactCuda, name) { Check<Args>(#name, &CudaKernels::name); }
MRS_FUSED_KERNELS(ROW)
#undef ROW

// Products, however they are spread, also as only larger ones would be.
template <Chain chain, typename Args>
void CheckProducts(const char* name, CudaKernel<Args> CudaKernels::*fused, Type type) {
  const ScopedFlushToZero flush;
  const KernelSet& reference = SelectKernels(Isa::kReference, chain);
  Buffers buffers;
  constexpr int64_t kBytes = 1 << 20;
  UseWorkspace(WorkspaceOf(buffers.New<std::byte>(kBytes), kBytes));  // for its counts
  for (const Case<Args>& c : TestCases<Args>(type, kSeed)) {
    const auto expected = OutputsOf(c, [&] { RunPlain(reference, c.args); });
    const auto check = [&](const auto& start) {
      for (const emulation::Order order : Orders()) {
        emulation::SetSchedule({.order = order, .seed = kSeed});
        SCOPED_TRACE(fmt::format("{} {} {} order {}", name, chain == Chain::kPair2 ? "pair2" : "block32", c.name,
                                 static_cast<int>(order)));
        EXPECT_TRUE(OutputsOf(c, [&] { EXPECT_EQ(start(), 0); }) == expected);
        EXPECT_EQ(*WorkspaceOfThread().counts, 0u);  // as whoever comes next needs it
      }
    };
    check([&] { return (ExactKernels(chain).*fused)(c.args, nullptr); });
    const MatmulGroupArgs& group = ProductsOf(c.args);
    const MatmulSize size = {group.rows, 1, group.chunk_count, TypeBytes(type)};
    for (const MatmulSplit& split : SplitsOf(size)) {
      if (!CanBeOne(c.args, split)) continue;
      SCOPED_TRACE(fmt::format("{} x {}, {} groups, {} warps", split.rows, split.columns, split.groups, split.warps));
      check([&] { return StartSplit<chain>(c.args, split, nullptr); });
    }
  }
  UseWorkspace({});
  emulation::SetSchedule({});
}

#define ROW(name, Args)                                                      \
  TEST(ExactCuda, name) {                                                    \
    for (const Type type : {Type::kBf16, Type::kF32}) {                      \
      CheckProducts<Chain::kPair2, Args>(#name, &CudaKernels::name, type);   \
      CheckProducts<Chain::kBlock32, Args>(#name, &CudaKernels::name, type); \
    }                                                                        \
  }
MRS_FUSED_PRODUCTS(ROW)
#undef ROW

// As plans have it: the sum takes over the bytes of what is added to.
TEST(ExactCuda, AddInPlaceThen_norm) {
  const ScopedFlushToZero flush;
  for (const Case<AddRmsNormArgs>& c : TestCases<AddRmsNormArgs>(Type::kF32, kSeed)) {
    const auto expected = OutputsOf(c, [&] { RunPlain(SelectKernels(Isa::kReference, Chain::kPair2), c.args); });
    for (const emulation::Order order : Orders()) {
      emulation::SetSchedule({.order = order, .seed = kSeed});
      const auto actual = OutputsOf(c, [&] {
        AddRmsNormArgs args = c.args;
        std::memcpy(args.sum, args.a, static_cast<size_t>(args.rows * args.width) * sizeof(float));
        args.a = args.sum;
        EXPECT_EQ(ExactKernels(Chain::kPair2).add_rms_norm(args, nullptr), 0);
      });
      EXPECT_TRUE(actual == expected) << c.name;
    }
  }
  emulation::SetSchedule({});
}

}  // namespace
}  // namespace mrs::kernels::cuda
