#include "planner/rope_config.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "planner/fact_keys.h"
#include "plans/append.h"

namespace mrs {
namespace {

constexpr int64_t kMaxPosition = int64_t{1} << 30;
constexpr const char* kOriginal = "original_max_position_embeddings";
constexpr const char* kBeta = "llama_4_scaling_beta";
constexpr const char* kFull = "full_attention";
constexpr const char* kSliding = "sliding_attention";

struct ScalingRow {
  std::string_view name;
  RopeScaling scaling;
  std::string_view keys;  // that the rule reads, beside its name, theta and the rotary part
};
constexpr ScalingRow kScalings[] = {
    {"default", RopeScaling::kNone, ""},
    {"dynamic", RopeScaling::kDynamic, "factor"},
    {"linear", RopeScaling::kLinear, "factor"},
    {"llama3", RopeScaling::kLlama3, "factor low_freq_factor high_freq_factor original_max_position_embeddings"},
    {"longrope", RopeScaling::kLongRope,
     "factor long_factor short_factor attention_factor original_max_position_embeddings"},
    {"yarn", RopeScaling::kYarn,
     "factor beta_fast beta_slow mscale mscale_all_dim truncate attention_factor original_max_position_embeddings"},
};
constexpr std::string_view kKnown = "default, dynamic, linear, llama3, longrope, yarn";

Result<double> Positive(const Json& rope, std::string_view key, std::string_view where, double least) {
  MRS_ASSIGN_OR_RETURN(const double value, GetDouble(rope, key, where));
  if (!(value >= least && value <= 1e12)) {
    return Refuse("{}: '{}': expected a number from {} to 1e12, got {}", where, key, least, value);
  }
  return value;
}

Result<double> PositiveOr(const Json& rope, std::string_view key, std::string_view where, double fallback,
                          double least) {
  if (FindValue(rope, key) == nullptr) return fallback;
  return Positive(rope, key, where, least);
}

// The object with the rule, and where it stands.
struct Place {
  Json rule = Json::object();
  std::string name;     // "config.json: rope_scaling"
  bool nested = false;  // among rules for each layer type
};

// transformers prefers `rope_scaling` where both are there and neither is empty. Of families with a rule for each layer
// type it is the rule of full attention, and `rope_parameters` has them all.
Result<Place> FindRule(const Json& config, std::string_view where, const RopeOfModel& model) {
  MRS_ASSIGN_OR_RETURN(const Json* scaling, GetObjectOrNull(config, "rope_scaling", where));
  MRS_ASSIGN_OR_RETURN(const Json* parameters, GetObjectOrNull(config, "rope_parameters", where));
  if (scaling != nullptr && scaling->empty()) scaling = nullptr;
  if (parameters != nullptr && parameters->empty()) parameters = nullptr;
  if (model.family.rope_by_type) {
    const char* type = model.local ? kSliding : kFull;
    const std::string outer = fmt::format("{}: rope_parameters", where);
    const Json* rule = nullptr;
    if (parameters != nullptr) {
      MRS_ASSIGN_OR_RETURN(rule, GetObjectOrNull(*parameters, type, outer));
    }
    if (scaling != nullptr && !model.local) {
      if (rule != nullptr && *rule != *scaling) {
        return Refuse("{}: rope_scaling and {} both state a rule, and differ; leave one out", outer, type);
      }
      return Place{*scaling, fmt::format("{}: rope_scaling", where), true};
    }
    return Place{rule != nullptr ? *rule : Json::object(), fmt::format("{}: {}", outer, type), true};
  }
  Place place{Json::object(), fmt::format("{}: {}", where, scaling != nullptr ? "rope_scaling" : "rope_parameters")};
  if (const Json* rule = scaling != nullptr ? scaling : parameters) {
    place.rule = *rule;
  } else if (!model.family.default_rope.empty()) {
    MRS_ASSIGN_OR_RETURN(place.rule, ParseJson(model.family.default_rope, place.name));
  }
  for (const auto& [name, value] : *place.rule.get_ptr<const Json::object_t*>()) {
    if (value.is_object()) {
      return Refuse("{}: a rule of its own for {} is not supported yet in {}", place.name, DescribeJson(Json(name)),
                    model.family.architecture);
    }
  }
  return place;
}

Result<double> ReadTheta(const Json& config, std::string_view where, const Place& place, const RopeOfModel& model) {
  if (FindValue(place.rule, "rope_theta") != nullptr) return Positive(place.rule, "rope_theta", place.name, 1);
  if (!model.local) return PositiveOr(config, "rope_theta", where, model.family.default_theta, 1);
  // transformers gives `rope_theta` to the layers with full attention alone.
  if (model.family.default_local_theta == 0) return model.family.default_theta;
  return PositiveOr(config, "rope_local_base_freq", where, model.family.default_local_theta, 1);
}

Result<int64_t> ReadRotaryDim(const Json& config, std::string_view where, const Place& place,
                              const RopeOfModel& model) {
  constexpr const char* kKey = "partial_rotary_factor";
  const bool inner = FindValue(place.rule, kKey) != nullptr;
  const Json& object = inner ? place.rule : config;
  const std::string_view at = inner ? std::string_view(place.name) : where;
  const double whole = model.family.default_rotary == 0 ? 1 : model.family.default_rotary;
  MRS_ASSIGN_OR_RETURN(const double part, GetDoubleOr(object, kKey, at, whole));
  if (model.family.default_rotary == 0) {
    if (part != 1) return Refuse("{}: {} {} is not supported yet in {}", at, kKey, part, model.family.architecture);
    return model.head_dim;
  }
  if (!(part > 0 && part <= 1)) return Refuse("{}: '{}': expected a number above 0, at most 1, got {}", at, kKey, part);
  const auto dim = static_cast<int64_t>(static_cast<double>(model.head_dim) * part);
  if (dim < 2 || dim % 2 != 0) {
    return Refuse("{}: {} {} of head_dim {} are {} dimensions; RoPE turns pairs of elements", at, kKey, part,
                  model.head_dim, dim);
  }
  return dim;
}

Result<RopeScaling> ReadScaling(const Place& place, const Family& family) {
  const char* key = FindValue(place.rule, "rope_type") != nullptr ? "rope_type" : "type";
  MRS_ASSIGN_OR_RETURN(const std::string type, GetStringOr(place.rule, key, place.name, "default"));
  if (family.longrope_alone && type != "default") {
    if (type == "longrope" || type == "su" || type == "yarn") return RopeScaling::kLongRope;
    return Refuse("{} type {} is not supported yet; supported in {}: default, longrope", place.name,
                  DescribeJson(Json(type)), family.architecture);
  }
  for (const ScalingRow& row : kScalings) {
    if (row.name == type) return row.scaling;
  }
  return Refuse("{} type {} is not supported yet; supported: {}", place.name, DescribeJson(Json(type)), kKnown);
}

// Beside the rule, then in it, then the model's own length; a rule of a layer type has its own or the model's length.
Result<int64_t> ReadOriginal(const Json& config, std::string_view where, const Place& place, const RopeOfModel& model) {
  MRS_ASSIGN_OR_RETURN(const int64_t inner,
                       GetIntOr(place.rule, kOriginal, place.name, model.max_position, 1, kMaxPosition));
  if (place.nested) return inner;
  const int64_t fallback = model.family.default_original != 0 ? model.family.default_original : inner;
  return GetIntOr(config, kOriginal, where, fallback, 1, kMaxPosition);
}

Status ReadLlama3(const Place& place, RopeConfig& rope) {
  MRS_ASSIGN_OR_RETURN(rope.factor, Positive(place.rule, "factor", place.name, 1));
  MRS_ASSIGN_OR_RETURN(rope.low_freq_factor, Positive(place.rule, "low_freq_factor", place.name, 1e-3));
  MRS_ASSIGN_OR_RETURN(rope.high_freq_factor, Positive(place.rule, "high_freq_factor", place.name, 1e-3));
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    return Refuse("{}: high_freq_factor {} must be greater than low_freq_factor {}", place.name, rope.high_freq_factor,
                  rope.low_freq_factor);
  }
  return {};
}

// How far the model's length lies past the original one, where the rule does not say it.
Result<double> ReadFactor(const Place& place, const RopeConfig& rope, int64_t max_position) {
  return PositiveOr(place.rule, "factor", place.name,
                    static_cast<double>(max_position) / static_cast<double>(rope.original_position), 1e-3);
}

Status ReadYarn(const Place& place, const RopeOfModel& model, RopeConfig& rope) {
  const Json& rule = place.rule;
  MRS_ASSIGN_OR_RETURN(rope.factor, ReadFactor(place, rope, model.max_position));
  const auto number = [&](const char* key, double fallback) -> Result<double> {
    MRS_ASSIGN_OR_RETURN(const double value, GetDoubleOr(rule, key, place.name, fallback));
    if (value >= 0 && value <= 1e6) return value;
    return Refuse("{}: '{}': expected a number from 0 to 1e6, got {}", place.name, key, value);
  };
  MRS_ASSIGN_OR_RETURN(const double fast, number("beta_fast", 0));
  MRS_ASSIGN_OR_RETURN(const double slow, number("beta_slow", 0));
  if (fast != 0) rope.beta_fast = fast;
  if (slow != 0) rope.beta_slow = slow;
  // transformers does not look for it in the rule of a layer type.
  if (!place.nested) {
    MRS_ASSIGN_OR_RETURN(rope.truncate, GetBoolOr(rule, "truncate", place.name, true));
  }
  MRS_ASSIGN_OR_RETURN(const double mscale, number("mscale", 0));
  MRS_ASSIGN_OR_RETURN(const double mscale_all_dim, number("mscale_all_dim", 0));
  MRS_ASSIGN_OR_RETURN(rope.attention_factor, PositiveOr(rule, "attention_factor", place.name,
                                                         YarnAttentionFactor(rope.factor, mscale, mscale_all_dim), 0));
  if (rope.theta <= 1) return Refuse("{}: 'rope_theta': yarn needs one greater than 1", place.name);
  return {};
}

Status ReadLongRope(const Place& place, const RopeOfModel& model, RopeConfig& rope) {
  if (rope.original_position < 2) {
    return Refuse("{}: '{}': longrope needs at least 2, got {}", place.name, kOriginal, rope.original_position);
  }
  MRS_ASSIGN_OR_RETURN(const double factor, ReadFactor(place, rope, model.max_position));
  MRS_ASSIGN_OR_RETURN(rope.attention_factor, PositiveOr(place.rule, "attention_factor", place.name,
                                                         LongRopeAttentionFactor(factor, rope.original_position), 0));
  const auto count = static_cast<size_t>(rope.rotary_dim / 2);
  for (const char* key : {"short_factor", "long_factor"}) {
    MRS_ASSIGN_OR_RETURN(const Json* list, GetArray(place.rule, key, place.name));
    const bool good = list->size() == count && std::all_of(list->begin(), list->end(), [](const Json& value) {
                        return value.is_number() && value.get<double>() > 1e-6 && value.get<double>() < 1e12;
                      });
    if (!good)
      return Refuse("{}: '{}': expected {} positive numbers, got {}", place.name, key, count, DescribeJson(*list));
    const bool is_long = std::string_view(key) == "long_factor";
    if (is_long != (model.max_len > rope.original_position)) continue;
    for (const Json& value : *list) rope.divisors.push_back(value.get<double>());
  }
  return {};
}

// What the rule reads beside theta.
Status ReadParameters(const Place& place, const RopeOfModel& model, RopeConfig& rope) {
  switch (rope.scaling) {
    case RopeScaling::kNone:
      return {};
    case RopeScaling::kLinear:
    case RopeScaling::kDynamic: {
      MRS_ASSIGN_OR_RETURN(rope.factor, Positive(place.rule, "factor", place.name, 1));
      rope.original_position = model.max_position;
      return {};
    }
    case RopeScaling::kLlama3:
      return ReadLlama3(place, rope);
    case RopeScaling::kYarn:
      return ReadYarn(place, model, rope);
    case RopeScaling::kLongRope:
      return ReadLongRope(place, model, rope);
  }
  MRS_CHECK(false);
}

Result<QueryScaling> ReadQueryScaling(const Place& place, const RopeConfig& rope) {
  MRS_ASSIGN_OR_RETURN(const double beta, GetDouble(place.rule, kBeta, place.name));
  if (!(beta >= 0 && beta <= 1e6)) {
    return Refuse("{}: '{}': expected a number from 0 to 1e6, got {}", place.name, kBeta, beta);
  }
  return QueryScaling{static_cast<float>(beta), rope.original_position};
}

// What stands in `rope_parameters` beside the rules of the layer types: also one rule for all layers.
void WarnBesideTypes(const Json& config, std::string_view where, const Family& family,
                     std::vector<std::string>* warnings) {
  const Json* parameters = FindValue(config, "rope_parameters");
  if (parameters == nullptr) return;
  std::string names;
  for (const auto& [name, value] : *parameters->get_ptr<const Json::object_t*>()) {
    if (value.is_null() || name == kFull || name == kSliding) continue;
    Append(&names, "{}{}", names.empty() ? "" : ", ", DescribeJson(Json(name)));
  }
  if (names.empty()) return;
  warnings->push_back(fmt::format("{}: rope_parameters: nothing of {} is used: {} reads the rules of {} and {} alone",
                                  where, names, family.architecture, kFull, kSliding));
}

// What the rule says and transformers does not read there.
void WarnOfRule(const Json& config, std::string_view where, const Place& place, const RopeOfModel& model,
                const RopeConfig& rope, std::vector<std::string>* warnings) {
  const Json* scaling = FindValue(config, "rope_scaling");
  const Json* parameters = FindValue(config, "rope_parameters");
  const bool both = scaling != nullptr && !scaling->empty() && parameters != nullptr && !parameters->empty();
  if (both && !model.family.rope_by_type && *parameters != *scaling) {
    warnings->push_back(fmt::format("{}: 'rope_parameters' is not used: rope_scaling is there, and wins", where));
  }
  if (model.family.rope_by_type && !model.local) WarnBesideTypes(config, where, model.family, warnings);
  WarnOfKeys(FactFile::kRope, place.rule, place.name, warnings);
  const auto* used = std::find_if(std::begin(kScalings), std::end(kScalings),
                                  [&](const ScalingRow& row) { return row.scaling == rope.scaling; });
  for (const auto& [key, value] : *place.rule.get_ptr<const Json::object_t*>()) {
    const auto reads = [&key = key](const ScalingRow& row) { return HasWord(row.keys, key); };
    if (key == kBeta && !model.family.query_scaling) {
      warnings->push_back(fmt::format("{}: '{}' {} is not used: {} does not read it", place.name, key,
                                      DescribeJson(value), model.family.architecture));
    }
    const bool neutral = value.is_null() || key == kOriginal || (key == "factor" && value == 1);
    if (neutral || reads(*used) || std::none_of(std::begin(kScalings), std::end(kScalings), reads)) continue;
    warnings->push_back(
        fmt::format("{}: '{}' {} is not used: the rule is {}", place.name, key, DescribeJson(value), used->name));
  }
  const Json* inner = FindValue(place.rule, "rope_theta");
  const Json* outer = model.local ? nullptr : FindValue(config, "rope_theta");
  if (inner != nullptr && outer != nullptr && *inner != *outer) {
    warnings->push_back(fmt::format("{}: 'rope_theta' {} is not used: that of {} wins", where, DescribeJson(*outer),
                                    place.name.substr(where.size() + 2)));
  }
}

}  // namespace

Result<RopeRead> ReadRope(const Json& config, std::string_view where, const RopeOfModel& model,
                          std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const Place place, FindRule(config, where, model));
  RopeRead read;
  RopeConfig& rope = read.config;
  MRS_ASSIGN_OR_RETURN(rope.theta, ReadTheta(config, where, place, model));
  MRS_ASSIGN_OR_RETURN(rope.scaling, ReadScaling(place, model.family));
  MRS_ASSIGN_OR_RETURN(rope.rotary_dim, ReadRotaryDim(config, where, place, model));
  MRS_ASSIGN_OR_RETURN(rope.original_position, ReadOriginal(config, where, place, model));
  rope.length = model.max_len;
  MRS_RETURN_IF_ERROR(ReadParameters(place, model, rope));
  if (rope.scaling == RopeScaling::kDynamic && rope.rotary_dim < 4) {
    return Refuse("{}: dynamic RoPE of {} dimensions; it needs at least 4", place.name, rope.rotary_dim);
  }
  const bool stretches = rope.scaling == RopeScaling::kLinear || rope.scaling == RopeScaling::kDynamic ||
                         rope.scaling == RopeScaling::kYarn;
  if (stretches) {
    const double reach = rope.factor * static_cast<double>(rope.original_position);
    read.longest = static_cast<int64_t>(std::min(reach, static_cast<double>(kMaxPosition)));
  }
  if (model.family.query_scaling) {
    MRS_ASSIGN_OR_RETURN(read.query_scaling, ReadQueryScaling(place, rope));
  }
  if (warnings != nullptr) WarnOfRule(config, where, place, model, rope, warnings);
  return read;
}

}  // namespace mrs
