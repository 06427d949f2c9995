// The reference of what runs per row (norms, activations, factors) against formulas in double.
#include <gtest/gtest.h>

#include "kernels/testing/truth.h"

namespace mrs::kernels {
namespace {

constexpr uint64_t kSeed = 7;

TEST(Truth, RmsNorm_DividesByTheRootMeanSquare) {
  const ScopedFlushToZero flush;
  for (const Case<RmsNormArgs>& c : TestCases<RmsNormArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).rms_norm(c.args, 0, c.items);
    for (int64_t row = 0; row < c.args.rows; ++row) {
      const float* x = c.args.x + row * c.args.width;
      double squares = 0;
      for (int64_t i = 0; i < c.args.width; ++i) squares += static_cast<double>(x[i]) * x[i];
      const double rms = std::sqrt(squares / static_cast<double>(c.args.width) + static_cast<double>(c.args.eps));
      for (int64_t i = 0; i < c.args.width; ++i) {
        const double y = x[i] / rms * c.args.w[i];
        const double relative = OutEpsilon(c.args.out) + kEpsilon * (10 + static_cast<double>(c.args.width) / kLanes);
        ASSERT_NEAR(ValueAt(c.args.y, c.args.out, row * c.args.width + i), y, std::abs(y) * relative + kTiny) << c.name;
      }
    }
  }
}

// The mean is off by its sum's roundings; the variance by those of its own sum, and by the square of the mean's error.
TEST(Truth, LayerNorm_TakesOffTheMeanAndDividesByTheDeviation) {
  const ScopedFlushToZero flush;
  for (const Case<LayerNormArgs>& c : TestCases<LayerNormArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).layer_norm(c.args, 0, c.items);
    const double width = static_cast<double>(c.args.width);
    const double sum_error = kEpsilon * (6 + width / kLanes);
    for (int64_t row = 0; row < c.args.rows; ++row) {
      const float* x = c.args.x + row * c.args.width;
      double mean = 0, magnitude = 0, variance = 0;
      for (int64_t i = 0; i < c.args.width; ++i) mean += x[i] / width, magnitude += std::abs(x[i]) / width;
      for (int64_t i = 0; i < c.args.width; ++i) variance += (x[i] - mean) * (x[i] - mean) / width;
      variance += static_cast<double>(c.args.eps);
      const double deviation = std::sqrt(variance);
      const double mean_error = sum_error * magnitude;
      const double inverse_error = sum_error + 4 * kEpsilon + mean_error * mean_error / variance;
      for (int64_t i = 0; i < c.args.width; ++i) {
        const double scaled = (x[i] - mean) / deviation * c.args.w[i];
        const double y = scaled + c.args.b[i];
        const double bound = std::abs(c.args.w[i]) / deviation * mean_error +
                             std::abs(scaled) * (inverse_error + 2 * kEpsilon) +
                             std::abs(y) * (kEpsilon + OutEpsilon(c.args.out)) + kTiny;
        ASSERT_NEAR(ValueAt(c.args.y, c.args.out, row * c.args.width + i), y, bound) << c.name << " at " << i;
      }
    }
  }
}

TEST(Truth, SumSquares_IsTheSumOverAllHeads) {
  const ScopedFlushToZero flush;
  for (const Case<SumSquaresArgs>& c : TestCases<SumSquaresArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).sum_squares(c.args, 0, c.items);
    const int64_t width = c.args.heads * c.args.head_dim;
    for (int64_t row = 0; row < c.args.rows; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < width; ++i) sum += std::pow(static_cast<double>(c.args.x[row * width + i]), 2);
      // A chain of one chunk's share of a lane, 4 steps over lanes, at most 4 over chunks.
      const double steps = 9 + static_cast<double>(c.args.chunk_heads * c.args.head_dim) / kLanes;
      ASSERT_NEAR(c.args.y[row], sum, sum * steps * kEpsilon + kTiny) << c.name;
    }
  }
}

TEST(Truth, RmsScale_DividesByTheRootOfTheGivenMean) {
  const ScopedFlushToZero flush;
  for (const Case<RmsScaleArgs>& c : TestCases<RmsScaleArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).rms_scale(c.args, 0, c.items);
    for (int64_t at = 0; at < c.args.rows * c.args.width; ++at) {
      const double mean = static_cast<double>(c.args.sum[at / c.args.width]) / static_cast<double>(c.args.total);
      const double rms = std::sqrt(mean + static_cast<double>(c.args.eps));
      const double y = c.args.x[at] / rms * c.args.w[at % c.args.width];
      // Two under the root, the root, its inverse, two products.
      const double bound = std::abs(y) * (5 * kEpsilon + OutEpsilon(c.args.out)) + kTiny;
      ASSERT_NEAR(ValueAt(c.args.y, c.args.out, at), y, bound) << c.name;
    }
  }
}

TEST(Truth, SiluMul_IsTheSwishTimesUp) {
  const ScopedFlushToZero flush;
  for (const Case<SiluMulArgs>& c : TestCases<SiluMulArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).silu_mul(c.args, 0, c.items);
    for (int64_t i = 0; i < c.args.rows * c.args.width; ++i) {
      const double gate = c.args.gate[i];
      const double y = gate / (1 + std::exp(-gate)) * c.args.up[i];
      // e^-gate past the largest float counts as infinity: y is 0 from gate = -88.7 on.
      const double bound = std::abs(y) * (6 * kEpsilon + OutEpsilon(c.args.out)) + 1e-33;
      ASSERT_NEAR(ValueAt(c.args.y, c.args.out, i), y, bound) << c.name << " gate " << gate;
    }
  }
}

TEST(Truth, Add_IsTheSum) {
  const ScopedFlushToZero flush;
  for (const Case<AddArgs>& c : TestCases<AddArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).add(c.args, 0, c.items);
    for (int64_t i = 0; i < c.args.rows * c.args.width; ++i) {
      ASSERT_EQ(c.args.y[i], c.args.a[i] + c.args.b[c.args.broadcast_b ? i % c.args.width : i]) << c.name;
    }
  }
}

// 1 + erf, or 1 + tanh, cancels for gates far below 0: its error is absolute, in units of gate * up / 2. Erf: 1 for the
// argument (steepness times argument is below 1/2), 1.2 of its own, 1 for the sum. Tanh: 2.3 for the five roundings of
// its argument, 1.5 of its own, 1 for the sum.
TEST(Truth, GeluMul_IsTheGaussianGateTimesUp) {
  const ScopedFlushToZero flush;
  for (const Case<GeluMulArgs>& c : TestCases<GeluMulArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).gelu_mul(c.args, 0, c.items);
    for (int64_t i = 0; i < c.args.rows * c.args.width; ++i) {
      const double gate = c.args.gate[i], up = c.args.up[i];
      const double bent = c.args.approximate ? std::tanh(std::sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))
                                             : std::erf(gate / std::sqrt(2.0));
      const double y = 0.5 * gate * (1 + bent) * up;
      const double bound = std::abs(0.5 * gate * up) * (c.args.approximate ? 5 : 3.5) * kEpsilon +
                           std::abs(y) * (2 * kEpsilon + OutEpsilon(c.args.out)) + kTiny;
      ASSERT_NEAR(ValueAt(c.args.y, c.args.out, i), y, bound) << c.name << " gate " << gate;
    }
  }
}

TEST(Truth, Scale_IsTheProductRounded) {
  const ScopedFlushToZero flush;
  for (const Case<ScaleArgs>& c : TestCases<ScaleArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).scale(c.args, 0, c.items);
    for (int64_t i = 0; i < c.args.rows * c.args.width; ++i) {
      const float y = c.args.x[i] * c.args.factor;
      ASSERT_EQ(ValueAt(c.args.y, c.args.out, i), c.args.out == Type::kBf16 ? F32FromBf16(Bf16FromF32(y)) : y)
          << c.name;
    }
  }
}

// Quotient and product round once each; 1.5 ulp of Tanh are at most 3 units. tanh makes no relative error larger.
TEST(Truth, SoftCap_BendsTowardsTheCap) {
  const ScopedFlushToZero flush;
  for (const Case<SoftCapArgs>& c : TestCases<SoftCapArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).soft_cap(c.args, 0, c.items);
    const double cap = c.args.cap;
    for (int64_t i = 0; i < c.args.rows * c.args.width; ++i) {
      const double y = cap * std::tanh(c.args.x[i] / cap);
      ASSERT_NEAR(c.args.y[i], y, std::abs(y) * 5 * kEpsilon + kTiny) << c.name << " x " << c.args.x[i];
      ASSERT_LE(std::abs(c.args.y[i]), c.args.cap);
    }
  }
}

TEST(Truth, PositionScale_GrowsWithTheLogarithmOfWholePeriods) {
  const ScopedFlushToZero flush;
  for (const Case<PositionScaleArgs>& c : TestCases<PositionScaleArgs>(Type::kF32, kSeed)) {
    SelectKernels(Isa::kReference, Chain::kPair2).position_scale(c.args, 0, c.items);
    for (int64_t i = 0; i < c.args.rows * c.args.width; ++i) {
      const int32_t position = c.args.positions[i / c.args.width];
      const double periods = std::floor(static_cast<double>(position) / static_cast<double>(c.args.original));
      const float x = ValueAt(c.args.x, c.args.type, i), y = ValueAt(c.args.y, c.args.type, i);
      const double exact = x * (1 + c.args.beta * std::log(1 + periods));
      ASSERT_NEAR(y, exact, std::abs(exact) * (4 * kEpsilon + OutEpsilon(c.args.type)) + kTiny) << c.name;
      if (position < c.args.original) {
        ASSERT_EQ(y, x) << c.name << " position " << position;
      }
    }
  }
}

}  // namespace
}  // namespace mrs::kernels
