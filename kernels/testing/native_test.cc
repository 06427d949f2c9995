// The instructions that the chains are named after, against the chains, on random bits. Each runs where the host has
// it.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/reference/reference.h"
#include "kernels/testing/cases.h"
#include "kernels/testing/hooks.h"

namespace mrs::kernels {
namespace {

// Any bits at all: denormals, infinities and NaNs included, half of the time numbers near 1 so that sums stay finite.
bf16 RandomBf16(Random* random) {
  const uint64_t bits = random->Bits();
  switch (bits % 8) {
    case 0:
      return {static_cast<uint16_t>(bits >> 16)};
    case 1:
      return {static_cast<uint16_t>((bits >> 16) & 0x807f)};  // denormal or zero
    case 2:
      return {static_cast<uint16_t>(((bits >> 16) & 0x80ff) | 0x1f80)};  // products underflow
    case 3:
      return {static_cast<uint16_t>((bits >> 32) % 512 == 0 ? 0x7f80 : 0x3f80)};
    default:
      return {static_cast<uint16_t>(((bits >> 16) & 0x80ff) | 0x3f00)};
  }
}

float RandomSum(Random* random) {
  const uint64_t bits = random->Bits();
  return bits % 4 == 0 ? FloatOf(static_cast<uint32_t>(bits >> 32))
                       : FloatOf((static_cast<uint32_t>(bits >> 32) & 0x80ffffffu) | 0x3f000000u);
}

// The same bits, or two NaNs: which payload survives is the instruction's own business.
::testing::AssertionResult SameFloat(float a, float b) {
  if (BitsOf(a) == BitsOf(b) || (a != a && b != b)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << std::hex << BitsOf(a) << " instead of " << BitsOf(b);
}

TEST(Native, Vdpbf16psIsThePair2Chain) {
  if (DetectIsa() < Isa::kAvx512Bf16) {
    std::printf("this host has no vdpbf16ps: nothing to compare\n");
    return;
  }
  const ScopedFlushToZero flush;
  Random random{11};
  int64_t finite = 0;
  for (int round = 0; round < 40000; ++round) {
    bf16 a[32], b[32];
    float acc[16], native[16];
    for (int i = 0; i < 32; ++i) a[i] = RandomBf16(&random), b[i] = RandomBf16(&random);
    for (int i = 0; i < 16; ++i) native[i] = acc[i] = RandomSum(&random);
    NativePair2(a, b, native);
    for (int i = 0; i < 16; ++i) {
      const float odd = std::fma(F32FromBf16(a[2 * i + 1]), F32FromBf16(b[2 * i + 1]), acc[i]);
      const float emulated = std::fma(F32FromBf16(a[2 * i]), F32FromBf16(b[2 * i]), odd);
      ASSERT_TRUE(SameFloat(native[i], emulated)) << "round " << round << " lane " << i;
      finite += std::isfinite(emulated);
    }
  }
  EXPECT_GT(finite, 300000);  // of 640,000: the comparison is about numbers
}

TEST(Native, Tdpbf16psIsTheBlock32Chain) {
  if (DetectIsa() < Isa::kAmx || !RequestAmx()) {
    std::printf("this host has no tdpbf16ps: nothing to compare\n");
    return;
  }
  const ScopedFlushToZero flush;
  Random random{12};
  for (int round = 0; round < 2000; ++round) {
    alignas(64) bf16 a[16 * 32], b[16 * 32];
    alignas(64) float acc[16 * 16], native[16 * 16];
    for (int i = 0; i < 16 * 32; ++i) a[i] = RandomBf16(&random), b[i] = RandomBf16(&random);
    for (int i = 0; i < 16 * 16; ++i) native[i] = acc[i] = RandomSum(&random);
    NativeBlock32(a, b, native);
    for (int row = 0; row < 16; ++row) {
      for (int lane = 0; lane < 16; ++lane) {
        const float sum = reference::Dot<Chain::kBlock32>(
            32, [&](int64_t k) { return F32FromBf16(a[row * 32 + k]); },
            [&](int64_t k) { return F32FromBf16(b[k / 2 * 32 + lane * 2 + k % 2]); });
        // Dot starts from 0; 0 + sum is sum but for the sign of a zero, and the accumulator here is what it is added
        // to.
        ASSERT_TRUE(SameFloat(native[row * 16 + lane], acc[row * 16 + lane] + sum)) << "round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
