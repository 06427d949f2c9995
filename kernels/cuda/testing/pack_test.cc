// Rows packed by the emulated device are those that the host packs, bit for bit, threads in three orders.
#include <gtest/gtest.h>

#include "kernels/cuda/testing/orders.h"
#include "kernels/cuda/testing/pack_cases.h"

namespace mrs::kernels::cuda {
namespace {

constexpr uint64_t kSeed = 20261127;

TEST(PackCuda, HasTheBitsOfTheHosts) {
  const ScopedFlushToZero flush;
  for (const PackCase& c : PackCases(kSeed)) {
    for (const emulation::Order order : Orders()) {
      emulation::SetSchedule({.order = order, .seed = kSeed});
      c.Clear();
      ASSERT_EQ(StartPackFromHost(c.args, nullptr), 0);
      EXPECT_TRUE(c.IsAsExpected()) << c.name << ", order " << static_cast<int>(order);
    }
  }
  emulation::SetSchedule({});
}

// Each pattern of sixteen bits: what is not changed keeps them, what is becomes what the host makes of it.
TEST(PackCuda, HasTheBitsOfEachElementOfSixteen) {
  const ScopedFlushToZero flush;
  for (const Type src_type : {Type::kBf16, Type::kF16}) {
    for (const Type dst_type : {Type::kBf16, Type::kF32}) {
      PackFromHostArgs args;
      args.row_count = 16;
      args.shape = {16, 4096, 1};
      args.src_type = src_type;
      args.dst_type = dst_type;
      args.layout = PackedLayout::kRows;
      Random random{kSeed};
      const PackCase c = MatrixCase(&random, args);
      auto* const src = const_cast<std::byte*>(c.args.src);
      for (uint32_t bits = 0; bits < 0x10000; ++bits) std::memcpy(src + size_t{bits} * 2, &bits, 2);
      std::vector<std::byte> expected(c.expected.size());
      CopyRows({src, src_type, 4096, expected.data(), dst_type, args.shape}, 0, 16);
      ASSERT_EQ(StartPackFromHost(c.args, nullptr), 0);
      EXPECT_EQ(std::memcmp(c.matrix, expected.data(), expected.size()), 0);
      if (src_type == Type::kBf16 && dst_type == Type::kBf16) {
        EXPECT_EQ(std::memcmp(c.matrix, src, expected.size()), 0);
      }
    }
  }
}

TEST(PackCuda, LaunchesNothingForNothingAndRefusesMoreThanAGridHas) {
  PackFromHostArgs args;
  EXPECT_EQ(StartPackFromHost(args, nullptr), 0);
  args.shape = {16, 1, 1};
  EXPECT_EQ(StartPackFromHost(args, nullptr), 0);
  args.row_count = int64_t{16} << 31;
  EXPECT_EQ(StartPackFromHost(args, nullptr), 1);
}

}  // namespace
}  // namespace mrs::kernels::cuda
