#include "runtime/engine/draw.h"

#include <cmath>

namespace mrs {
namespace {

constexpr std::array<double, 14> InverseFactorials() {
  std::array<double, 14> values{};
  double factorial = 1.0;  // exact to 13!
  for (size_t n = 0; n < values.size(); ++n) {
    if (n > 0) factorial *= static_cast<double>(n);
    values[n] = 1.0 / factorial;
  }
  return values;
}
constexpr std::array<double, 14> kInverseFactorial = InverseFactorials();

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

double Uniform(uint64_t seed, uint64_t position) {
  const std::array<uint32_t, 4> bits =
      Philox4x32({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t word = (uint64_t{bits[1]} << 32) | bits[0];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

double ExpNonPositive(double x) {
  if (std::isnan(x)) return x;
  if (x < -745.0) return 0.0;
  // x = k ln 2 + r, |r| <= ln 2 / 2; exp(r) by its Taylor series to r^13 / 13! (the rest is below 2^-58).
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42feep-1;  // ends in zeros, so k * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double k = std::nearbyint(x * kLog2E);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = kInverseFactorial[13];
  for (size_t n = 13; n-- > 0;) sum = kInverseFactorial[n] + r * sum;
  return std::ldexp(sum, static_cast<int>(k));
}

}  // namespace mrs
