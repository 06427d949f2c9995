#include "kernels/math.h"

#include <cmath>
#include <limits>

namespace mrs::kernels {

float Exp(float x) {
  if (x < kExpLow) return 0.0f;
  if (x > kExpHigh) return std::numeric_limits<float>::infinity();
  if (x != x) return x;
  const float t = std::fma(x, kExpLog2E, kExpMagic);
  const float n = t - kExpMagic;
  const float r = std::fma(n, -kExpLn2Low, std::fma(n, -kExpLn2High, x));
  float p = kExpSeries[7];
  for (int i = 6; i >= 0; --i) p = std::fma(p, r, kExpSeries[i]);
  // Two factors, since 2^128 is no float.
  const int32_t power = static_cast<int32_t>(BitsOf(t) - BitsOf(kExpMagic));
  const int32_t first = power >> 1;
  p = p * FloatOf(static_cast<uint32_t>(first + 127) << 23);
  return p * FloatOf(static_cast<uint32_t>(power - first + 127) << 23);
}

float Tanh(float x) {
  const float t = std::fabs(x);
  float y;
  if (t < kTanhSmall) {
    const float t2 = t * t;
    float p = kTanhSeries[kTanhTerms - 1];
    for (int i = kTanhTerms - 2; i >= 0; --i) p = std::fma(p, t2, kTanhSeries[i]);
    y = std::fma(t * t2, p, t);
  } else {
    y = 1.0f - 2.0f / (Exp(t + t) + 1.0f);
  }
  return std::copysign(y, x);
}

float Erf(float x) {
  float t = std::fabs(x);
  float y;
  if (t < kErfSmall) {
    const float t2 = t * t;
    float p = kErfSeries[kErfTerms - 1];
    for (int i = kErfTerms - 2; i >= 0; --i) p = std::fma(p, t2, kErfSeries[i]);
    y = std::fma(t, p, t);
  } else {
    if (t > kErfEnd) t = kErfEnd;
    float p = kErfTail[kErfTerms - 1];
    for (int i = kErfTerms - 2; i >= 0; --i) p = std::fma(p, t, kErfTail[i]);
    y = 1.0f - Exp(std::fma(t, p, -t));
  }
  return std::copysign(y, x);
}

double Log(double x) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (x != x || x == kInfinity) return x;
  if (x < 0) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return -kInfinity;
  int64_t exponent = 0;
  if (x < std::numeric_limits<double>::min()) {  // denormal; with denormals-are-zero it was 0 above
    x = x * 0x1p54;
    exponent = -54;
  }
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  // m in [sqrt(1/2), sqrt(2)): subtracting the bits of sqrt(1/2) carries into the exponent at the right place.
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdull;
  const int64_t shift = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  exponent += shift;
  bits -= static_cast<uint64_t>(shift) << 52;
  double m;
  std::memcpy(&m, &bits, sizeof(m));
  const double s = (m - 1.0) / (m + 1.0);  // |s| <= 0.172
  const double s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * s2;
  constexpr double kLn2High = 0x1.62e42fee00000p-1;  // 32 bits: exponent * this is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double e = static_cast<double>(exponent);
  return e * kLn2High + (2.0 * s + (2.0 * s * series + e * kLn2Low));
}

void SinCos(double x, double* sine, double* cosine) {
  if (!(x > -0x1p51 && x < 0x1p51)) x = std::numeric_limits<double>::quiet_NaN();
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kMagic = 0x1.8p52;  // adding it rounds to the nearest integer, in the low bits
  constexpr double kHalfPi1 = 0x1.921fb54000000p+0;
  constexpr double kHalfPi2 = 0x1.10b4610000000p-30;
  constexpr double kHalfPi3 = 0x1.a62633145c06ep-58;
  const double t = x * kTwoOverPi + kMagic;
  const double n = t - kMagic;
  uint64_t quadrant;
  std::memcpy(&quadrant, &t, sizeof(quadrant));
  const double r = ((x - n * kHalfPi1) - n * kHalfPi2) - n * kHalfPi3;
  const double r2 = r * r;
  // Taylor: r^19/19! < 1e-19 and r^18/18! < 3e-18 for |r| <= pi/4.
  double s = 0;
  for (int k = 17; k >= 3; k -= 2) s = (s + 1.0) * (-r2 / (k * (k - 1)));
  s = r + r * s;
  double c = 0;
  for (int k = 16; k >= 2; k -= 2) c = (c + 1.0) * (-r2 / (k * (k - 1)));
  c = c + 1.0;
  const bool swap = (quadrant & 1) != 0;
  const double a = swap ? c : s;
  const double b = swap ? s : c;
  *sine = (quadrant & 2) != 0 ? -a : a;
  *cosine = ((quadrant + 1) & 2) != 0 ? -b : b;
}

}  // namespace mrs::kernels
