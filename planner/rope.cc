#include "planner/rope.h"

#include <cmath>
#include <string>

namespace mrs {
namespace {

constexpr double kLn2 = 0.69314718055994530942;

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
// 1e-24.
double Exp2(double y) {
  const double whole = std::floor(y + 0.5);  // exact
  const double x = (y - whole) * kLn2;
  double sum = 1;
  for (int term = 18; term >= 1; --term) sum = 1 + sum * x / term;
  return std::ldexp(sum, static_cast<int>(whole));  // exact
}

// Below, torch's arithmetic: every step rounds to f32, and scalar / tensor is reciprocal, then product.
float Llama3(float frequency, const RopeConfig& config) {
  const double original = static_cast<double>(config.original_position);
  const auto factor = static_cast<float>(config.factor);
  const auto low = static_cast<float>(config.low_freq_factor);
  const auto low_wavelength = static_cast<float>(original / config.low_freq_factor);
  const auto high_wavelength = static_cast<float>(original / config.high_freq_factor);
  const float wavelength = (1.0f / frequency) * static_cast<float>(2 * 3.14159265358979323846);
  if (wavelength < high_wavelength) return frequency;
  if (wavelength > low_wavelength) return frequency / factor;
  const auto width = static_cast<float>(config.high_freq_factor - config.low_freq_factor);
  const float smooth = ((1.0f / wavelength) * static_cast<float>(original) - low) / width;
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

Result<double> Positive(const Json& rope, std::string_view key, std::string_view where, double least) {
  MRS_ASSIGN_OR_RETURN(const double value, GetDouble(rope, key, where));
  if (!(value >= least && value <= 1e12)) {
    return Refuse("{}: '{}': expected a number from {} to 1e12, got {}", where, key, least, value);
  }
  return value;
}

Status RefusePartial(const Json& object, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const double partial, GetDoubleOr(object, "partial_rotary_factor", where, 1.0));
  if (partial != 1.0) return Refuse("{}: partial_rotary_factor {} is not supported yet", where, partial);
  return {};
}

}  // namespace

Result<RopeConfig> ReadRopeConfig(const Json& config, std::string_view where, int64_t max_position) {
  // transformers prefers `rope_scaling` where both are there and neither is empty.
  const char* key = "rope_scaling";
  MRS_ASSIGN_OR_RETURN(const Json* rope, GetObjectOrNull(config, key, where));
  if (rope == nullptr || rope->empty()) {
    key = "rope_parameters";
    MRS_ASSIGN_OR_RETURN(rope, GetObjectOrNull(config, key, where));
  }
  const Json none = Json::object();
  if (rope == nullptr) rope = &none;
  const std::string place = fmt::format("{}: {}", where, key);

  for (const auto& [name, value] : *rope->get_ptr<const Json::object_t*>()) {
    if (value.is_object())
      return Refuse("{}: a rule of its own for {} is not supported yet", place, DescribeJson(Json(name)));
  }
  MRS_RETURN_IF_ERROR(RefusePartial(config, where));
  MRS_RETURN_IF_ERROR(RefusePartial(*rope, place));

  RopeConfig result;
  const bool inner_theta = FindValue(*rope, "rope_theta") != nullptr;
  if (inner_theta || FindValue(config, "rope_theta") != nullptr) {
    MRS_ASSIGN_OR_RETURN(
        result.theta, inner_theta ? Positive(*rope, "rope_theta", place, 1) : Positive(config, "rope_theta", where, 1));
  }
  const char* type_key = FindValue(*rope, "rope_type") != nullptr ? "rope_type" : "type";
  MRS_ASSIGN_OR_RETURN(const std::string type, GetStringOr(*rope, type_key, place, "default"));
  if (type == "default") return result;
  if (type == "linear") {
    result.scaling = RopeScaling::kLinear;
    MRS_ASSIGN_OR_RETURN(result.factor, Positive(*rope, "factor", place, 1));
    return result;
  }
  if (type != "llama3")
    return Refuse("{} type {} is not supported yet; supported: default, linear, llama3", place,
                  DescribeJson(Json(type)));

  result.scaling = RopeScaling::kLlama3;
  MRS_ASSIGN_OR_RETURN(result.factor, Positive(*rope, "factor", place, 1));
  MRS_ASSIGN_OR_RETURN(result.low_freq_factor, Positive(*rope, "low_freq_factor", place, 1e-3));
  MRS_ASSIGN_OR_RETURN(result.high_freq_factor, Positive(*rope, "high_freq_factor", place, 1e-3));
  if (result.high_freq_factor <= result.low_freq_factor) {
    return Refuse("{}: high_freq_factor {} must be greater than low_freq_factor {}", place, result.high_freq_factor,
                  result.low_freq_factor);
  }
  // Beside the rule, then in it, then the model's own length.
  constexpr const char* kOriginal = "original_max_position_embeddings";
  MRS_ASSIGN_OR_RETURN(const int64_t inner, GetIntOr(*rope, kOriginal, place, max_position, 1, int64_t{1} << 30));
  MRS_ASSIGN_OR_RETURN(result.original_position, GetIntOr(config, kOriginal, where, inner, 1, int64_t{1} << 30));
  return result;
}

RopeSpec ComputeRope(const RopeConfig& config, int64_t head_dim) {
  RopeSpec spec;
  const double log_theta = Log2(static_cast<float>(config.theta));
  for (int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    const auto power = static_cast<float>(Exp2(exponent * log_theta));
    float frequency = 1.0f / power;
    if (config.scaling == RopeScaling::kLinear) frequency /= static_cast<float>(config.factor);
    if (config.scaling == RopeScaling::kLlama3) frequency = Llama3(frequency, config);
    spec.inv_freq.push_back(frequency);
  }
  spec.rule = fmt::format("theta {}", config.theta);
  if (config.scaling == RopeScaling::kLinear) spec.rule += fmt::format(", linear factor {}", config.factor);
  if (config.scaling == RopeScaling::kLlama3) {
    spec.rule += fmt::format(", llama3 factor {} low {} high {} original {}", config.factor, config.low_freq_factor,
                             config.high_freq_factor, config.original_position);
  }
  return spec;
}

}  // namespace mrs
