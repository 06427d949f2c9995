// What a truth test allows: units of rounding, by which a bound is stated as so many operations.
//
//   EXPECT_NEAR(y, exact, std::abs(exact) * (3 * kEpsilon + OutEpsilon(out)) + kTiny);   // three roundings, then `out`
#pragma once

#include <cmath>

#include "kernels/testing/cases.h"

namespace mrs::kernels {

inline constexpr double kEpsilon = 0x1p-24;     // half an ulp of f32 at 1
inline constexpr double kBf16Epsilon = 0x1p-8;  // the same of bf16
inline constexpr double kTiny = 0x1p-120;       // what flushing denormals may lose

inline double OutEpsilon(Type out) { return out == Type::kBf16 ? kBf16Epsilon : kEpsilon; }

}  // namespace mrs::kernels
