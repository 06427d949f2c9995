#include "planner/rope.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace mrs {
namespace {

constexpr double kLn2 = 0.69314718055994530942;
constexpr double kPi = 3.14159265358979323846;

// log2(x) for x > 0, to about 2^-52 of its value: x = m 2^e with m in [sqrt(1/2), sqrt(2)), and
// ln m = 2 (s + s^3/3 + s^5/5 + ...) with s = (m - 1) / (m + 1), |s| < 0.172; 13 terms leave less than 1e-20.
double Log2(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double sum = 0;
  for (int term = 25; term >= 1; term -= 2) sum = sum * square + 1.0 / term;
  return exponent + 2 * s * sum / kLn2;
}

// 2^y for |y| < 1000: the nearest integer apart, e^(f ln 2) by its series; |f ln 2| < 0.35, 18 terms leave less than
// 1e-24. Past that NaN: no frequency, which whoever reads the configuration refuses.
double Exp2(double y) {
  if (!(std::fabs(y) < 1000)) return std::numeric_limits<double>::quiet_NaN();
  const double whole = std::floor(y + 0.5);  // exact
  const double x = (y - whole) * kLn2;
  double sum = 1;
  for (int term = 18; term >= 1; --term) sum = 1 + sum * x / term;
  return std::ldexp(sum, static_cast<int>(whole));  // exact
}

double Ln(double x) { return Log2(x) * kLn2; }

// Below, torch's arithmetic: every step rounds to f32, and scalar / tensor is reciprocal, then product.
float Llama3(float frequency, const RopeConfig& config) {
  const double original = static_cast<double>(config.original_position);
  const auto factor = static_cast<float>(config.factor);
  const auto low = static_cast<float>(config.low_freq_factor);
  const auto low_wavelength = static_cast<float>(original / config.low_freq_factor);
  const auto high_wavelength = static_cast<float>(original / config.high_freq_factor);
  const float wavelength = (1.0f / frequency) * static_cast<float>(2 * kPi);
  if (wavelength < high_wavelength) return frequency;
  if (wavelength > low_wavelength) return frequency / factor;
  const auto width = static_cast<float>(config.high_freq_factor - config.low_freq_factor);
  const float smooth = ((1.0f / wavelength) * static_cast<float>(original) - low) / width;
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

// theta, grown for a length past the model's own.
double DynamicTheta(const RopeConfig& config) {
  const auto original = static_cast<double>(config.original_position);
  const double length = std::max(static_cast<double>(config.length), original);
  const auto dim = static_cast<double>(config.rotary_dim);
  const double grown = config.factor * length / original - (config.factor - 1);
  return config.theta * Exp2(Log2(grown) * (dim / (dim - 2)));
}

// Where yarn's ramp lies among the frequencies: below `low` they stay, past `high` they are divided.
struct Ramp {
  double low = 0;
  double high = 0;
};

Ramp YarnRamp(const RopeConfig& config) {
  const auto dim = static_cast<double>(config.rotary_dim);
  const auto at = [&](double rotations) {
    return dim * Ln(static_cast<double>(config.original_position) / (rotations * 2 * kPi)) / (2 * Ln(config.theta));
  };
  double low = at(config.beta_fast), high = at(config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  return {low, high};
}

float Yarn(float power, size_t i, const Ramp& ramp, const RopeConfig& config) {
  const float width = static_cast<float>(ramp.high - ramp.low);
  const float along = (static_cast<float>(i) - static_cast<float>(ramp.low)) / width;
  const float kept = 1.0f - std::clamp(along, 0.0f, 1.0f);
  const float divided = 1.0f / (static_cast<float>(config.factor) * power);
  return divided * (1.0f - kept) + (1.0f / power) * kept;
}

std::string Describe(const RopeConfig& config) {
  std::string rule = fmt::format("theta {}", config.theta);
  const auto add = [&](std::string_view text) { rule.append(", ").append(text); };
  switch (config.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      add(fmt::format("linear factor {}", config.factor));
      break;
    case RopeScaling::kDynamic:
      add(fmt::format("dynamic factor {} original {} at {}", config.factor, config.original_position, config.length));
      break;
    case RopeScaling::kLlama3:
      add(fmt::format("llama3 factor {} low {} high {} original {}", config.factor, config.low_freq_factor,
                      config.high_freq_factor, config.original_position));
      break;
    case RopeScaling::kYarn:
      add(fmt::format("yarn factor {} fast {} slow {} original {}{}", config.factor, config.beta_fast, config.beta_slow,
                      config.original_position, config.truncate ? "" : " untruncated"));
      break;
    case RopeScaling::kLongRope:
      add(fmt::format("longrope original {} at {}", config.original_position, config.length));
      break;
  }
  return rule;
}

}  // namespace

RopeSpec ComputeRope(const RopeConfig& config) {
  RopeSpec spec;
  const double theta = config.scaling == RopeScaling::kDynamic ? DynamicTheta(config) : config.theta;
  const double log_theta = Log2(static_cast<float>(theta));
  const Ramp ramp = config.scaling == RopeScaling::kYarn ? YarnRamp(config) : Ramp();
  for (int64_t i = 0; i < config.rotary_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(config.rotary_dim);
    const auto power = static_cast<float>(Exp2(exponent * log_theta));
    const size_t index = spec.inv_freq.size();
    float frequency = 1.0f / power;
    if (config.scaling == RopeScaling::kLinear) frequency /= static_cast<float>(config.factor);
    if (config.scaling == RopeScaling::kLlama3) frequency = Llama3(frequency, config);
    if (config.scaling == RopeScaling::kYarn) frequency = Yarn(power, index, ramp, config);
    if (config.scaling == RopeScaling::kLongRope) {
      frequency = 1.0f / (static_cast<float>(config.divisors[index]) * power);
    }
    spec.inv_freq.push_back(frequency);
  }
  spec.attention_factor = static_cast<float>(config.attention_factor);
  spec.rule = Describe(config);
  return spec;
}

double YarnAttentionFactor(double factor, double mscale, double mscale_all_dim) {
  const auto scale = [&](double by) { return factor <= 1 ? 1.0 : 0.1 * by * Ln(factor) + 1.0; };
  return mscale != 0 && mscale_all_dim != 0 ? scale(mscale) / scale(mscale_all_dim) : scale(1);
}

double LongRopeAttentionFactor(double factor, int64_t original_position) {
  return factor <= 1 ? 1.0 : std::sqrt(1 + Ln(factor) / Ln(static_cast<double>(original_position)));
}

}  // namespace mrs
