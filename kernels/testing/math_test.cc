// The project's own exp, tanh, erf, log, sin and cos: how good they are, and that lanes have the scalar's bits.
#include "kernels/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "kernels/testing/cases.h"
#include "kernels/testing/hooks.h"

namespace mrs::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Math, Exp_HasItsExactValues) {
  EXPECT_EQ(BitsOf(Exp(0.0f)), BitsOf(1.0f));
  EXPECT_EQ(BitsOf(Exp(-0.0f)), BitsOf(1.0f));
  EXPECT_EQ(BitsOf(Exp(-88.0f)), 0u);
  EXPECT_EQ(BitsOf(Exp(-kInfinity)), 0u);
  EXPECT_EQ(Exp(89.0f), kInfinity);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Exp(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isfinite(Exp(kExpHigh)));
  EXPECT_TRUE(std::isnormal(Exp(kExpLow)));
}

TEST(Math, Exp_IsWithinOneUlp) {
  double worst = 0;
  for (uint32_t bits = 0x30000000u; bits <= BitsOf(88.7f); bits += 211) {
    for (uint32_t sign : {0u, 0x80000000u}) {
      const float x = FloatOf(bits | sign);
      if (x < kExpLow) continue;
      const long double exact = expl(static_cast<long double>(x));
      const float y = Exp(x);
      const float ulp = std::nextafter(y, kInfinity) - y;
      worst = std::max(worst, static_cast<double>(std::abs(y - exact) / ulp));
    }
  }
  RecordProperty("worst_ulp", std::to_string(worst));
  std::printf("exp: worst %.3f ulp\n", worst);
  EXPECT_LT(worst, 1.0);
}

// |y - exact| in units of y's last place, over floats of both signs from 2^-31 up to `end`.
double WorstUlp(float (*function)(float), long double (*exact)(long double), float end) {
  double worst = 0;
  for (uint32_t bits = 0x30000000u; bits <= BitsOf(end); bits += 211) {
    const float y = function(FloatOf(bits));
    EXPECT_EQ(BitsOf(function(-FloatOf(bits))), BitsOf(-y));
    const float ulp = std::nextafter(y, kInfinity) - y;
    worst = std::max(worst, static_cast<double>(std::abs(y - exact(FloatOf(bits))) / ulp));
  }
  return worst;
}

TEST(Math, Tanh_IsWithinOneAndAHalfUlp) {
  const double worst = WorstUlp(Tanh, tanhl, 12.0f);
  std::printf("tanh: worst %.3f ulp\n", worst);
  EXPECT_LT(worst, 1.5);
}

TEST(Math, Erf_IsWithinOnePointTwoUlp) {
  const double worst = WorstUlp(Erf, erfl, 5.0f);
  std::printf("erf: worst %.3f ulp\n", worst);
  EXPECT_LT(worst, 1.2);
}

TEST(Math, TanhAndErf_HaveTheirExactValues) {
  for (float (*function)(float) : {Tanh, Erf}) {
    for (float sign : {1.0f, -1.0f}) {
      EXPECT_EQ(BitsOf(function(sign * 0.0f)), BitsOf(sign * 0.0f));
      EXPECT_EQ(function(sign * 9.1f), sign);
      EXPECT_EQ(function(sign * 1e30f), sign);
      EXPECT_EQ(function(sign * kInfinity), sign);
    }
    EXPECT_TRUE(std::isnan(function(std::numeric_limits<float>::quiet_NaN())));
  }
  EXPECT_EQ(Tanh(1e-30f), 1e-30f);
  EXPECT_EQ(Erf(kErfEnd), 1.0f);
  EXPECT_LT(Erf(3.8f), 1.0f);
  EXPECT_LT(Tanh(8.9f), 1.0f);
}

// Half of the inputs are any bits at all, the others evenly spread over +-`reach`.
void CheckLanes(const char* name, float (*scalar)(float), void (*lanes)(const float*, float*, int64_t), float reach) {
  const ScopedFlushToZero flush;
  std::vector<float> x, y(1 << 16);
  Random random{1};
  for (size_t i = 0; i < y.size(); ++i) {
    const uint32_t bits = static_cast<uint32_t>(random.Bits());
    x.push_back(i % 2 == 0 ? FloatOf(bits) : static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f * reach);
  }
  lanes(x.data(), y.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    const float expected = scalar(x[i]);
    if (expected != expected && y[i] != y[i]) continue;  // of a NaN the payload may differ
    ASSERT_EQ(BitsOf(y[i]), BitsOf(expected)) << name << " x " << x[i];
  }
}

TEST(Math, LanesHaveTheBitsOfTheScalar) {
  if (DetectIsa() >= Isa::kAvx2) {
    CheckLanes("exp avx2", Exp, ExpAvx2, 128.0f);
    CheckLanes("tanh avx2", Tanh, TanhAvx2, 12.0f);
    CheckLanes("erf avx2", Erf, ErfAvx2, 5.0f);
  }
  if (DetectIsa() >= Isa::kAvx512) {
    CheckLanes("exp avx512", Exp, ExpAvx512, 128.0f);
    CheckLanes("tanh avx512", Tanh, TanhAvx512, 12.0f);
    CheckLanes("erf avx512", Erf, ErfAvx512, 5.0f);
  }
}

TEST(Math, Log_IsWithinTwoUlp) {
  Random random{2};
  double worst = 0;
  for (int i = 0; i < 500000; ++i) {
    // Half near 1, where the logarithm vanishes.
    const double u = static_cast<double>(random.Bits() >> 11) * 0x1p-53;
    const double x = i % 2 == 0 ? 0.5 + u : std::ldexp(1 + u, static_cast<int>(random.Below(2000)) - 1000);
    const long double exact = logl(static_cast<long double>(x));
    const double y = Log(x);
    const double ulp = std::nextafter(std::abs(y), 1e300) - std::abs(y);
    worst = std::max(worst, static_cast<double>(std::abs(y - exact)) / ulp);
  }
  std::printf("log: worst %.3f ulp\n", worst);
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(Log(1.0), 0.0);
  EXPECT_EQ(Log(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(Log(std::numeric_limits<double>::infinity()), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(Log(-1.0)));
  EXPECT_NEAR(Log(0x1p-1060), -1060 * std::log(2.0), 1e-9);
}

TEST(Math, SinCos_AreRightFarOut) {
  Random random{3};
  double worst = 0;
  int64_t other_float = 0;
  for (int i = 0; i < 500000; ++i) {
    // Floats, as angles are: small ones, positions up to 2^25, and neighbours of multiples of pi/2.
    double x = static_cast<float>(
        std::ldexp(static_cast<double>(random.Bits() >> 11) * 0x1p-53, static_cast<int>(random.Below(35)) - 10));
    if (i % 4 == 0) x = static_cast<float>(static_cast<double>(random.Below(1 << 24)) * 1.5707963267948966);
    if (i % 2 == 1) x = -x;
    double sine, cosine;
    SinCos(x, &sine, &cosine);
    const long double s = sinl(x), c = cosl(x);
    worst = std::max({worst, static_cast<double>(std::abs(sine - s)), static_cast<double>(std::abs(cosine - c))});
    other_float += static_cast<float>(sine) != static_cast<float>(s);
    other_float += static_cast<float>(cosine) != static_cast<float>(c);
  }
  std::printf("sin, cos: worst %.3g, %ld of 1000000 round to another float\n", worst, static_cast<long>(other_float));
  EXPECT_LT(worst, 2e-16);
  EXPECT_LE(other_float, 1);
  double sine, cosine;
  SinCos(0, &sine, &cosine);
  EXPECT_EQ(sine, 0);
  EXPECT_EQ(cosine, 1);
  SinCos(std::numeric_limits<double>::infinity(), &sine, &cosine);
  EXPECT_TRUE(std::isnan(sine) && std::isnan(cosine));
}

TEST(Math, Bf16_RoundsToNearestEven) {
  EXPECT_EQ(Bf16FromF32(FloatOf(0x3f808000u)).bits, 0x3f80);  // a tie to the even one below
  EXPECT_EQ(Bf16FromF32(FloatOf(0x3f818000u)).bits, 0x3f82);  // above
  EXPECT_EQ(Bf16FromF32(FloatOf(0x3f808001u)).bits, 0x3f81);
  EXPECT_EQ(Bf16FromF32(FloatOf(0x7f7fffffu)).bits, 0x7f80);  // the largest float becomes infinity
  EXPECT_EQ(Bf16FromF32(FloatOf(0xff800000u)).bits, 0xff80);
  EXPECT_EQ(Bf16FromF32(FloatOf(0x7f800001u)).bits, 0x7fc0);  // NaN stays NaN
  EXPECT_EQ(Bf16FromF32(FloatOf(0x0000ffffu)).bits, 0x0001);  // denormals are rounded, not flushed
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float wide = F32FromBf16({static_cast<uint16_t>(bits)});
    if (wide == wide) {
      EXPECT_EQ(Bf16FromF32(wide).bits, bits);
    }
  }
}

TEST(Math, Bf16_LanesRoundLikeTheScalar) {
  const ScopedFlushToZero flush;
  Random random{4};
  std::vector<float> x(1 << 16);
  std::vector<bf16> y(x.size());
  for (float& value : x) value = FloatOf(static_cast<uint32_t>(random.Bits()));
  for (size_t i = 0; i < x.size(); i += 3) x[i] = FloatOf((BitsOf(x[i]) & 0xffff0000u) | 0x8000u);  // ties
  if (DetectIsa() >= Isa::kAvx2) {
    RoundAvx2(x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i].bits, Bf16FromF32(x[i]).bits) << BitsOf(x[i]);
  }
  if (DetectIsa() >= Isa::kAvx512) {
    RoundAvx512(x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i].bits, Bf16FromF32(x[i]).bits) << BitsOf(x[i]);
  }
}

TEST(Math, F16_WidensExactly) {
  EXPECT_EQ(F32FromF16(0x3c00), 1.0f);
  EXPECT_EQ(F32FromF16(0xc000), -2.0f);
  EXPECT_EQ(F32FromF16(0x0001), 0x1p-24f);
  EXPECT_EQ(F32FromF16(0x83ff), -0x1.ff8p-15f);
  EXPECT_EQ(F32FromF16(0x7bff), 65504.0f);
  EXPECT_EQ(BitsOf(F32FromF16(0x8000)), 0x80000000u);
  EXPECT_EQ(F32FromF16(0xfc00), -kInfinity);
  EXPECT_TRUE(std::isnan(F32FromF16(0x7e01)));
}

TEST(Host, MrsIsaNarrowsAndNeverWidens) {
  const char* before = std::getenv("MRS_ISA");
  const std::string saved = before == nullptr ? "" : before;
  ASSERT_EQ(unsetenv("MRS_ISA"), 0);
  const Isa host = DetectIsa();
  ASSERT_EQ(setenv("MRS_ISA", "reference", 1), 0);
  EXPECT_EQ(DetectIsa(), Isa::kReference);
  ASSERT_EQ(setenv("MRS_ISA", "avx2", 1), 0);
  EXPECT_EQ(DetectIsa(), std::min(host, Isa::kAvx2));
  ASSERT_EQ(setenv("MRS_ISA", "amx", 1), 0);
  EXPECT_EQ(DetectIsa(), host);
  ASSERT_EQ(setenv("MRS_ISA", "sse9", 1), 0);
  EXPECT_EQ(DetectIsa(), host);
  ASSERT_EQ(before == nullptr ? unsetenv("MRS_ISA") : setenv("MRS_ISA", saved.c_str(), 1), 0);
  std::printf("host: %s\n", IsaName(host));
}

TEST(Host, NamesParseBack) {
  for (int i = 0; i <= static_cast<int>(Isa::kAmx); ++i) {
    Isa isa;
    ASSERT_TRUE(ParseIsa(IsaName(static_cast<Isa>(i)), &isa));
    EXPECT_EQ(isa, static_cast<Isa>(i));
  }
  Isa isa;
  EXPECT_FALSE(ParseIsa("sse9", &isa));
  EXPECT_TRUE(IsNative(Isa::kAvx512Bf16, Chain::kPair2));
  EXPECT_FALSE(IsNative(Isa::kAvx512, Chain::kPair2));
  EXPECT_FALSE(IsNative(Isa::kAvx512Bf16, Chain::kBlock32));
}

TEST(Host, FlushToZeroEndsWithItsScope) {
  volatile float tiny = std::numeric_limits<float>::min();
  {
    const ScopedFlushToZero flush;
    EXPECT_EQ(BitsOf(tiny * 0.5f), 0u);
  }
  EXPECT_NE(BitsOf(tiny * 0.5f), 0u);
}

TEST(LogSumExp, KeepsEmptyAndInfiniteChunksApart) {
  const LsePartial empty = ChunkLse(nullptr, 0);
  EXPECT_EQ(empty.max, -kInfinity);
  EXPECT_EQ(empty.sum, 0.0f);
  const float masked[] = {-kInfinity, -kInfinity};
  EXPECT_EQ(ChunkLse(masked, 2).sum, 0.0f);
  const float one[] = {3.0f};
  const LsePartial both = CombineLse(empty, ChunkLse(one, 1));
  EXPECT_EQ(both.max, 3.0f);
  EXPECT_EQ(both.sum, 1.0f);
  EXPECT_EQ(LseValue(both), 3.0f);
  const LsePartial a{1.0f, 2.5f}, b{2.0f, 1.25f};
  EXPECT_EQ(BitsOf(CombineLse(a, b).sum), BitsOf(CombineLse(b, a).sum));
}

}  // namespace
}  // namespace mrs::kernels
