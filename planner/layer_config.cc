#include "planner/layer_config.h"

#include <algorithm>
#include <cmath>

#include "planner/rope_config.h"

namespace mrs {
namespace {

// Far above any model known, low enough that products of two or three of them cannot overflow.
constexpr int64_t kMaxWidth = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxWindow = int64_t{1} << 30;
constexpr const char* kSliding = "sliding_attention";

// What layers of one model may differ in.
struct LayerKind {
  bool sliding = false;
  bool rotated = true;
};

// null means as many as heads; absent means the family's default.
Result<int64_t> ReadKvHeads(const Json& config, std::string_view where, const Family& family, int64_t heads) {
  constexpr const char* kKey = "num_key_value_heads";
  const int64_t absent = family.default_kv_heads == 0 ? heads : family.default_kv_heads;
  MRS_ASSIGN_OR_RETURN(const int64_t kv_heads,
                       GetIntOr(config, kKey, where, config.contains(kKey) ? heads : absent, 1, kMaxHeads));
  if (heads % kv_heads != 0) {
    return Refuse("{}: num_attention_heads {} does not divide by num_key_value_heads {}", where, heads, kv_heads);
  }
  return kv_heads;
}

Result<int64_t> ReadHeadDim(const Json& config, std::string_view where, const Family& family, int64_t hidden,
                            int64_t heads) {
  int64_t fallback = family.default_head_dim;
  if (fallback == 0 && (family.head_dim_is_fixed || FindValue(config, "head_dim") == nullptr)) {
    if (hidden % heads != 0) {
      return Refuse("{}: hidden_size {} does not divide by num_attention_heads {}, and there is no head_dim", where,
                    hidden, heads);
    }
    fallback = hidden / heads;
  }
  MRS_ASSIGN_OR_RETURN(const int64_t head_dim, GetIntOr(config, "head_dim", where, fallback, 1, kMaxHeadDim));
  if (family.head_dim_is_fixed && head_dim != fallback) {
    return Refuse("{}: head_dim {}: heads of {} have hidden_size / num_attention_heads elements, {}", where, head_dim,
                  family.architecture, fallback);
  }
  if (head_dim % 2 != 0) return Refuse("{}: head_dim {} is odd; RoPE turns pairs of elements", where, head_dim);
  if (head_dim > kMaxHeadDim) return Refuse("{}: head_dim {}; at most {} is accepted", where, head_dim, kMaxHeadDim);
  return head_dim;
}

Result<Activation> ReadActivation(const Json& config, std::string_view where, const Family& family) {
  struct Row {
    std::string_view name;
    Activation activation;
  };
  // The approximations by tanh are one function, written in several ways.
  constexpr Row kRows[] = {{"silu", Activation::kSilu},
                           {"swish", Activation::kSilu},
                           {"gelu", Activation::kGelu},
                           {"gelu_python", Activation::kGelu},
                           {"gelu_pytorch_tanh", Activation::kGeluTanh},
                           {"gelu_python_tanh", Activation::kGeluTanh},
                           {"gelu_new", Activation::kGeluTanh},
                           {"gelu_fast", Activation::kGeluTanh},
                           {"gelu_accurate", Activation::kGeluTanh}};
  MRS_ASSIGN_OR_RETURN(const std::string name,
                       GetStringOr(config, family.activation_key, where, family.default_activation));
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    return name == "gelu" && family.gelu_means_tanh ? Activation::kGeluTanh : row.activation;
  }
  return Refuse("{}: {} {} is not supported yet; supported: silu, gelu, gelu_pytorch_tanh", where,
                family.activation_key, DescribeJson(Json(name)));
}

Result<bool> ReadBias(const Json& config, std::string_view where, std::string_view key, Bias bias, bool absent) {
  if (bias != Bias::kByConfig) return bias == Bias::kAlways;
  return GetBoolOr(config, key, where, absent);
}

Result<float> ReadScoreScale(const Json& config, std::string_view where, const Family& family, int64_t head_dim) {
  auto divisor = static_cast<double>(head_dim);
  if (family.score_scale == ScoreScale::kMultiplier) {
    MRS_ASSIGN_OR_RETURN(const double scale, NumberOr(config, "attention_multiplier", where, 1, 1, 1e-12, 1e12));
    return static_cast<float>(scale);
  }
  if (family.score_scale == ScoreScale::kQueryScalar) {
    MRS_ASSIGN_OR_RETURN(divisor, NumberOr(config, "query_pre_attn_scalar", where, 256, 256, 1e-12, 1e12));
  }
  return static_cast<float>(1.0 / std::sqrt(divisor));
}

// What all layers of the model share.
Result<LayerSpec> ReadLayer(const Json& config, std::string_view where, const Family& family, int64_t hidden) {
  LayerSpec layer;
  MRS_ASSIGN_OR_RETURN(layer.heads, GetInt(config, "num_attention_heads", where, 1, kMaxHeads));
  MRS_ASSIGN_OR_RETURN(layer.kv_heads, ReadKvHeads(config, where, family, layer.heads));
  MRS_ASSIGN_OR_RETURN(layer.head_dim, ReadHeadDim(config, where, family, hidden, layer.heads));
  MRS_ASSIGN_OR_RETURN(layer.ffn, GetInt(config, "intermediate_size", where, 1, kMaxWidth));
  MRS_ASSIGN_OR_RETURN(layer.activation, ReadActivation(config, where, family));
  MRS_ASSIGN_OR_RETURN(layer.qkv_bias,
                       ReadBias(config, where, family.qkv_bias_key, family.qkv_bias, family.default_qkv_bias));
  MRS_ASSIGN_OR_RETURN(layer.o_bias, ReadBias(config, where, "attention_bias", family.o_bias, false));
  MRS_ASSIGN_OR_RETURN(layer.mlp_bias, ReadBias(config, where, "mlp_bias", family.mlp_bias, false));
  layer.qk_norm = family.qk_norm;
  layer.interleaved = family.interleaved;
  MRS_ASSIGN_OR_RETURN(layer.score_scale, ReadScoreScale(config, where, family, layer.head_dim));
  if (family.score_cap_key) {
    MRS_ASSIGN_OR_RETURN(layer.score_cap,
                         CapOr(config, "attn_logit_softcapping", where, family.default_score_cap));
  }
  if (family.parallel_key) {
    MRS_ASSIGN_OR_RETURN(layer.parallel, GetBoolOr(config, "use_parallel_residual", where, false));
  }
  if (family.multiplier_keys) {
    MRS_ASSIGN_OR_RETURN(const double by, NumberOr(config, "residual_multiplier", where, 1, 1, 1e-12, 1e12));
    layer.residual_multiplier = static_cast<float>(by);
  }
  return layer;
}

// 0: none.
Result<int64_t> ReadWindow(const Json& config, std::string_view where, const Family& family) {
  constexpr const char* kKey = "sliding_window";
  if (family.windows == Windows::kNone) return 0;
  if (family.window_switch) {
    MRS_ASSIGN_OR_RETURN(const bool used, GetBoolOr(config, "use_sliding_window", where, false));
    if (!used) return 0;
  }
  const bool none = config.contains(kKey) ? FindValue(config, kKey) == nullptr : family.default_window == 0;
  if (none) return 0;
  return GetIntOr(config, kKey, where, family.default_window, 1, kMaxWindow);
}

Result<std::vector<LayerKind>> ReadRotated(const Json& config, std::string_view where, const Family& family,
                                           size_t count) {
  std::vector<LayerKind> kinds(count);
  if (family.no_rope != NoRope::kByList) return kinds;
  constexpr const char* kKey = "no_rope_layers";
  MRS_ASSIGN_OR_RETURN(const Json* list, GetArrayOrNull(config, kKey, where));
  if (list == nullptr) {
    MRS_ASSIGN_OR_RETURN(const int64_t interval, GetIntOr(config, "no_rope_layer_interval", where, 4, 1, kMaxLayers));
    for (size_t i = 0; i < count; ++i) kinds[i].rotated = (i + 1) % static_cast<size_t>(interval) != 0;
    return kinds;
  }
  if (list->size() < count) {
    return Refuse("{}: '{}' has {} entries for {} layers", where, kKey, list->size(), count);
  }
  for (size_t i = 0; i < count; ++i) {
    const Json& entry = (*list)[i];
    if (entry != 0 && entry != 1) {
      return Refuse("{}: {}[{}]: expected 1 (the layer turns) or 0, got {}", where, kKey, i, DescribeJson(entry));
    }
    kinds[i].rotated = entry == 1;
  }
  return kinds;
}

// `layer_types`, which must be there.
Status ReadTypes(const Json& types, std::string_view where, const Family& family, int64_t window,
                 std::vector<LayerKind>& kinds) {
  if (types.size() != kinds.size()) {
    return Refuse("{}: 'layer_types' has {} entries for {} layers", where, types.size(), kinds.size());
  }
  for (size_t i = 0; i < kinds.size(); ++i) {
    const bool sliding = types[i] == kSliding;
    if (!sliding && types[i] != "full_attention" && types[i] != "attention") {
      return Refuse("{}: layer_types[{}] {} is not supported yet; supported: full_attention, sliding_attention", where,
                    i, DescribeJson(types[i]));
    }
    if (sliding && window == 0) {
      return Refuse(
          "{}: layer_types[{}] is \"sliding_attention\", but {} has no sliding window here: give "
          "sliding_window{}",
          where, i, family.architecture, family.window_switch ? " and use_sliding_window" : "");
    }
    if (family.windows != Windows::kByType && types[i] != types[0]) {
      return Refuse("{}: layer_types[{}] {}: {} has one attention for all layers", where, i, DescribeJson(types[i]),
                    family.architecture);
    }
    kinds[i].sliding = sliding;
  }
  return {};
}

// The types of a config.json that does not list them.
Status DecideTypes(const Json& config, std::string_view where, const Family& family, int64_t window,
                   std::vector<LayerKind>& kinds) {
  if (window == 0) return {};
  const auto decide = [&](auto sliding) {
    for (size_t i = 0; i < kinds.size(); ++i) kinds[i].sliding = sliding(static_cast<int64_t>(i));
  };
  switch (family.types) {
    case TypeRule::kFull:
      break;
    case TypeRule::kSliding:
      decide([](int64_t) { return true; });
      break;
    case TypeRule::kFromLayer: {
      MRS_ASSIGN_OR_RETURN(const int64_t first, GetIntOr(config, "max_window_layers", where, 28, 0));
      decide([&](int64_t i) { return i >= first; });
      break;
    }
    case TypeRule::kEveryNth: {
      constexpr const char* kKey = "sliding_window_pattern";
      int64_t n = family.default_pattern;
      if (family.pattern_key && config.contains(kKey)) {
        if (FindValue(config, kKey) == nullptr) break;
        if (config[kKey].is_string()) {
          return Refuse("{}: '{}' {} is not supported yet; write it out as layer_types", where, kKey,
                        DescribeJson(config[kKey]));
        }
        MRS_ASSIGN_OR_RETURN(n, GetInt(config, kKey, where, 1, kMaxLayers));
      }
      decide([&](int64_t i) { return (i + 1) % n != 0; });
      break;
    }
    case TypeRule::kUnrotated: {
      MRS_ASSIGN_OR_RETURN(const bool used, GetBoolOr(config, "use_sliding_window", where, false));
      decide([&](int64_t i) { return used && !kinds[static_cast<size_t>(i)].rotated; });
      break;
    }
  }
  return {};
}

Result<std::vector<LayerKind>> ReadKinds(const Json& config, std::string_view where, const Family& family,
                                         int64_t window, size_t count) {
  MRS_ASSIGN_OR_RETURN(std::vector<LayerKind> kinds, ReadRotated(config, where, family, count));
  MRS_ASSIGN_OR_RETURN(const Json* types, GetArrayOrNull(config, "layer_types", where));
  if (types != nullptr) {
    MRS_RETURN_IF_ERROR(ReadTypes(*types, where, family, window, kinds));
  } else {
    MRS_RETURN_IF_ERROR(DecideTypes(config, where, family, window, kinds));
  }
  for (LayerKind& kind : kinds) {
    if (family.windows == Windows::kEveryLayer) kind.sliding = window != 0;
    if (family.no_rope == NoRope::kFullLayers && window != 0) kind.rotated = kind.sliding;
  }
  return kinds;
}

uint32_t IndexOf(RopeSpec rope, std::vector<RopeSpec>& ropes) {
  const auto found = std::find(ropes.begin(), ropes.end(), rope);
  const auto index = static_cast<uint32_t>(found - ropes.begin());
  if (found == ropes.end()) ropes.push_back(std::move(rope));
  return index;
}

}  // namespace

Result<double> NumberOr(const Json& config, const char* key, std::string_view where, double absent, double null,
                        double least, double most) {
  MRS_ASSIGN_OR_RETURN(const double value, GetDoubleOr(config, key, where, config.contains(key) ? null : absent));
  if (value >= least && value <= most) return value;
  return Refuse("{}: '{}': expected a number from {} to {}, got {}", where, key, least, most, value);
}

Result<float> CapOr(const Json& config, const char* key, std::string_view where, double absent) {
  MRS_ASSIGN_OR_RETURN(const double cap, NumberOr(config, key, where, absent, 0, 0, 1e12));
  if (cap == 0 || cap >= 1e-12) return static_cast<float>(cap);
  return Refuse("{}: '{}': expected 0 or a number from 1e-12 to 1e12, got {}", where, key, cap);
}

Status ReadLayers(const Json& config, std::string_view where, const Family& family, int64_t max_len, ModelSpec& spec,
                  std::vector<std::string>* warnings) {
  MRS_ASSIGN_OR_RETURN(const int64_t count, GetInt(config, "num_hidden_layers", where, 1, kMaxLayers));
  MRS_ASSIGN_OR_RETURN(const LayerSpec shared, ReadLayer(config, where, family, spec.hidden));
  MRS_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(config, where, family));
  MRS_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds,
                       ReadKinds(config, where, family, window, static_cast<size_t>(count)));
  const Json* types = FindValue(config, "layer_types");
  if (family.windows == Windows::kEveryLayer && window != 0 && types != nullptr && types->front() != kSliding) {
    warnings->push_back(fmt::format("{}: 'layer_types' {} is not used: sliding_window {} holds for every layer of {}",
                                    where, DescribeJson(types->front()), window, family.architecture));
  }
  RopeOfModel model{family, shared.head_dim, spec.max_position, max_len};
  MRS_ASSIGN_OR_RETURN(const RopeRead of_all, ReadRope(config, where, model, warnings));
  RopeRead of_local = of_all;
  if (family.rope_by_type) {
    model.local = true;
    MRS_ASSIGN_OR_RETURN(of_local, ReadRope(config, where, model, warnings));
  }
  spec.longest = family.rope_by_type ? spec.max_position : std::max(spec.max_position, of_all.longest);
  const RopeSpec full = ComputeRope(of_all.config), local = ComputeRope(of_local.config);
  for (const RopeSpec* rope : {&full, &local}) {
    const bool finite =
        std::all_of(rope->inv_freq.begin(), rope->inv_freq.end(), [](float f) { return std::isfinite(f); });
    if (!finite) return Refuse("{}: RoPE by {} gives frequencies that are not finite numbers", where, rope->rule);
  }
  for (const LayerKind& kind : kinds) {
    LayerSpec layer = shared;
    layer.window = kind.sliding ? window : 0;
    layer.query_scaling = of_all.query_scaling;
    if (kind.rotated) layer.rope = IndexOf(kind.sliding ? local : full, spec.ropes);
    spec.layers.push_back(layer);
  }
  return {};
}

}  // namespace mrs
