// Random numbers that depend on nothing but (seed, position), and an exponential that is the same on every CPU.
//
//   Uniform(/*seed=*/7, /*position=*/41)   // always the same number in [0, 1)
#pragma once

#include <array>
#include <cstdint>

namespace mrs {

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// The draw for the token at `position` of a sequence: 53 random bits in [0, 1).
double Uniform(uint64_t seed, uint64_t position);

// exp(x) for x <= 0 within 2 ulp, from exact steps and one fixed polynomial (glibc's own varies by CPU). NaN gives NaN.
double ExpNonPositive(double x);

}  // namespace mrs
