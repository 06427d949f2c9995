#include "planner/families.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <unordered_set>

#include "formats/json.h"
#include "planner/weight_index.h"

namespace mrs {
namespace {

using enum TensorRole;

// One naming serves all four families.
constexpr TensorPattern kLlamaTensors[] = {
    {kEmbedding, "model.embed_tokens.weight"},
    {kInputNorm, "model.layers.{}.input_layernorm.weight"},
    {kQ, "model.layers.{}.self_attn.q_proj.weight"},
    {kK, "model.layers.{}.self_attn.k_proj.weight"},
    {kV, "model.layers.{}.self_attn.v_proj.weight"},
    {kQBias, "model.layers.{}.self_attn.q_proj.bias"},
    {kKBias, "model.layers.{}.self_attn.k_proj.bias"},
    {kVBias, "model.layers.{}.self_attn.v_proj.bias"},
    {kQNorm, "model.layers.{}.self_attn.q_norm.weight"},
    {kKNorm, "model.layers.{}.self_attn.k_norm.weight"},
    {kO, "model.layers.{}.self_attn.o_proj.weight"},
    {kOBias, "model.layers.{}.self_attn.o_proj.bias"},
    {kPostNorm, "model.layers.{}.post_attention_layernorm.weight"},
    {kGate, "model.layers.{}.mlp.gate_proj.weight"},
    {kUp, "model.layers.{}.mlp.up_proj.weight"},
    {kGateBias, "model.layers.{}.mlp.gate_proj.bias"},
    {kUpBias, "model.layers.{}.mlp.up_proj.bias"},
    {kDown, "model.layers.{}.mlp.down_proj.weight"},
    {kDownBias, "model.layers.{}.mlp.down_proj.bias"},
    {kFinalNorm, "model.norm.weight"},
    {kHead, "lm_head.weight"},
};

// The first pattern stands before the layers, the last two after them.
constexpr size_t kBeforeLayers = 1;
constexpr size_t kAfterLayers = 2;

constexpr Family kFamilies[] = {
    {.architecture = "LlamaForCausalLM",
     .model_type = "llama",
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .mlp_bias = Bias::kByConfig,
     .qk_norm = false,
     .default_kv_heads = 0,
     .default_head_dim = 0,
     .window = Window::kNone,
     .default_window = 0,
     .default_bos = 1,
     .default_eos = 2,
     .tensors = kLlamaTensors},
    {.architecture = "MistralForCausalLM",
     .model_type = "mistral",
     .qkv_bias = Bias::kNever,
     .o_bias = Bias::kNever,
     .mlp_bias = Bias::kNever,
     .qk_norm = false,
     .default_kv_heads = 8,
     .default_head_dim = 0,
     .window = Window::kByLength,
     .default_window = 4096,
     .default_bos = 1,
     .default_eos = 2,
     .tensors = kLlamaTensors},
    {.architecture = "Qwen2ForCausalLM",
     .model_type = "qwen2",
     .qkv_bias = Bias::kAlways,
     .o_bias = Bias::kNever,
     .mlp_bias = Bias::kNever,
     .qk_norm = false,
     .default_kv_heads = 32,
     .default_head_dim = 0,
     .window = Window::kBySwitch,
     .default_window = 4096,
     .default_bos = -1,
     .default_eos = -1,
     .tensors = kLlamaTensors},
    {.architecture = "Qwen3ForCausalLM",
     .model_type = "qwen3",
     .qkv_bias = Bias::kByConfig,
     .o_bias = Bias::kByConfig,
     .mlp_bias = Bias::kNever,
     .qk_norm = true,
     .default_kv_heads = 32,
     .default_head_dim = 128,
     .window = Window::kBySwitch,
     .default_window = 4096,
     .default_bos = -1,
     .default_eos = -1,
     .tensors = kLlamaTensors},
};

// The shape of a role's tensor, or nothing where this model has no such tensor.
std::optional<std::vector<int64_t>> Shape(const ModelSpec& spec, TensorRole role) {
  using Extents = std::vector<int64_t>;
  const int64_t q = spec.heads * spec.head_dim;
  const int64_t kv = spec.kv_heads * spec.head_dim;
  const auto only = [](bool has, Extents shape) {
    return has ? std::optional<Extents>(std::move(shape)) : std::nullopt;
  };
  switch (role) {
    case kEmbedding:
      return Extents{spec.vocab, spec.hidden};
    case kHead:
      return only(!spec.tied_embeddings, {spec.vocab, spec.hidden});
    case kInputNorm:
    case kPostNorm:
    case kFinalNorm:
      return Extents{spec.hidden};
    case kQ:
      return Extents{q, spec.hidden};
    case kK:
    case kV:
      return Extents{kv, spec.hidden};
    case kO:
      return Extents{spec.hidden, q};
    case kQBias:
      return only(spec.qkv_bias, {q});
    case kKBias:
    case kVBias:
      return only(spec.qkv_bias, {kv});
    case kOBias:
      return only(spec.o_bias, {spec.hidden});
    case kQNorm:
    case kKNorm:
      return only(spec.qk_norm, {spec.head_dim});
    case kGate:
    case kUp:
      return Extents{spec.ffn, spec.hidden};
    case kDown:
      return Extents{spec.hidden, spec.ffn};
    case kGateBias:
    case kUpBias:
      return only(spec.mlp_bias, {spec.ffn});
    case kDownBias:
      return only(spec.mlp_bias, {spec.hidden});
  }
  return std::nullopt;
}

const Family& FamilyOf(const ModelSpec& spec) {
  const Family* family = FindFamily(spec.architecture);
  MRS_CHECK(family != nullptr);
  return *family;
}

std::string Name(const TensorPattern& pattern, int64_t layer) {
  std::string name(pattern.name);
  if (const size_t at = name.find("{}"); at != name.npos) name.replace(at, 2, fmt::format("{}", layer));
  return name;
}

std::string ShapeText(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Error Missing(const ModelTensor& first, const std::vector<ModelTensor>& expected, const Checkpoint& checkpoint) {
  const auto missing = std::count_if(expected.begin(), expected.end(), [&](const ModelTensor& tensor) {
    return checkpoint.tensors.count(tensor.name) == 0 && checkpoint.other_dtypes.count(tensor.name) == 0;
  });
  if (const auto ghost = checkpoint.only_in_index.find(first.name); ghost != checkpoint.only_in_index.end()) {
    return Refuse(
        "checkpoint: tensor '{}' {} is missing ({} missing in all): the index puts it into {}, whose header has no such "
        "tensor; index and files are of different checkpoints: download both again",
        first.name, ShapeText(first.shape), missing, ghost->second);
  }
  return Refuse(
      "checkpoint: tensor '{}' {} is missing ({} missing in all); it is incomplete or of another model than "
      "config.json",
      first.name, ShapeText(first.shape), missing);
}

// What the index promises and no file holds, where the model does without: the first by name, and how many.
void WarnOfGhosts(const Checkpoint& checkpoint, std::vector<std::string>& warnings) {
  const auto& ghosts = checkpoint.only_in_index;
  if (ghosts.empty()) return;
  const std::string more = ghosts.size() == 1 ? "" : fmt::format(" ({} such tensors in all)", ghosts.size());
  warnings.push_back(fmt::format(
      "checkpoint: the index puts tensor {} into {}, whose header has no such tensor{}; the model does not need it",
      DescribeJson(Json(ghosts.begin()->first)), ghosts.begin()->second, more));
}

// The tensors that the model does not know, at most ten by name.
std::vector<std::string> UnknownTensors(const ModelSpec& spec, const std::vector<ModelTensor>& expected,
                                        const Checkpoint& checkpoint) {
  constexpr size_t kNamed = 10;
  std::unordered_set<std::string_view> known;
  for (const ModelTensor& tensor : expected) known.insert(tensor.name);
  std::vector<std::string> warnings;
  size_t unnamed = 0;
  const auto check = [&](const std::string& name) {
    constexpr std::string_view kLeftover = "rotary_emb.inv_freq";
    if (known.count(name) != 0) return;
    if (name.size() >= kLeftover.size() && name.ends_with(kLeftover)) return;
    if (warnings.size() < kNamed) {
      warnings.push_back(fmt::format("checkpoint: tensor {} is no part of {}; it is not used", DescribeJson(Json(name)),
                                     spec.architecture));
    } else {
      ++unnamed;
    }
  };
  for (const auto& [name, info] : checkpoint.tensors) check(name);
  for (const auto& [name, dtype] : checkpoint.other_dtypes) check(name);
  if (unnamed > 0) warnings.push_back(fmt::format("checkpoint: {} more tensors are not used", unnamed));
  return warnings;
}

}  // namespace

std::span<const Family> Families() { return kFamilies; }

const Family* FindFamily(std::string_view architecture) {
  const auto* found = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                   [&](const Family& family) { return family.architecture == architecture; });
  return found == std::end(kFamilies) ? nullptr : found;
}

std::string SupportedArchitectures() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies) names.push_back(family.architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<ModelTensor> ExpectedTensors(const ModelSpec& spec) {
  const std::span<const TensorPattern> patterns = FamilyOf(spec).tensors;
  std::vector<ModelTensor> tensors;
  const auto add = [&](std::span<const TensorPattern> some, int64_t layer) {
    for (const TensorPattern& pattern : some) {
      std::optional<std::vector<int64_t>> shape = Shape(spec, pattern.role);
      if (!shape) continue;
      const bool matrix = shape->size() == 2;
      tensors.push_back({pattern.role, layer, Name(pattern, layer), std::move(*shape), matrix});
    }
  };
  const size_t in_layers = patterns.size() - kBeforeLayers - kAfterLayers;
  add(patterns.first(kBeforeLayers), -1);
  for (int64_t layer = 0; layer < spec.layers; ++layer) add(patterns.subspan(kBeforeLayers, in_layers), layer);
  add(patterns.last(kAfterLayers), -1);
  return tensors;
}

std::string TensorName(const ModelSpec& spec, TensorRole role, int64_t layer) {
  if (role == kHead && spec.tied_embeddings) role = kEmbedding;
  if (!Shape(spec, role)) return "";
  for (const TensorPattern& pattern : FamilyOf(spec).tensors) {
    if (pattern.role == role) return Name(pattern, layer);
  }
  return "";
}

void ResolveTiedHead(ModelSpec& spec, Checkpoint& checkpoint, std::vector<std::string>* warnings) {
  if (!spec.tied_embeddings) return;
  const auto name_of = [&](TensorRole role) {
    for (const TensorPattern& pattern : FamilyOf(spec).tensors) {
      if (pattern.role == role) return std::string(pattern.name);
    }
    MRS_CHECK(false);
  };
  const std::string embedding = name_of(kEmbedding), head = name_of(kHead);
  const auto has = [&](const std::string& name) {
    return checkpoint.tensors.count(name) + checkpoint.other_dtypes.count(name) != 0;
  };
  if (!has(head)) return;
  if (has(embedding)) {
    spec.tied_embeddings = false;
    warnings->push_back(fmt::format(
        "config.json: 'tie_word_embeddings' true is not used: the checkpoint holds {} beside {}, and each is used, as "
        "transformers does",
        head, embedding));
    return;
  }
  if (auto tensor = checkpoint.tensors.extract(head)) {
    tensor.key() = embedding;
    checkpoint.tensors.insert(std::move(tensor));
  }
}

Result<TensorReport> CheckTensors(const ModelSpec& spec, const Checkpoint& checkpoint) {
  const std::vector<ModelTensor> expected = ExpectedTensors(spec);
  TensorReport report;
  const ModelTensor* first_matrix = nullptr;
  const auto check = [&](const ModelTensor& tensor) -> Status {
    if (const auto other = checkpoint.other_dtypes.find(tensor.name); other != checkpoint.other_dtypes.end()) {
      return Refuse(
          "checkpoint: tensor '{}' is {}; supported are F32, BF16 and F16 (quantized checkpoints are not "
          "supported yet)",
          tensor.name, other->second);
    }
    const auto found = checkpoint.tensors.find(tensor.name);
    if (found == checkpoint.tensors.end()) return Missing(tensor, expected, checkpoint);
    const TensorInfo& info = found->second;
    if (info.shape != tensor.shape) {
      return Refuse("checkpoint: tensor '{}' has shape {}; config.json makes it {}", tensor.name, ShapeText(info.shape),
                    ShapeText(tensor.shape));
    }
    if (!tensor.matrix) return {};
    if (first_matrix == nullptr) {
      first_matrix = &tensor;
      report.matrix_type = info.dtype;
    } else if (info.dtype != report.matrix_type) {
      return Refuse("checkpoint: tensor '{}' is {}, but '{}' is {}; all matrices must share one type", tensor.name,
                    DtypeName(info.dtype), first_matrix->name, DtypeName(report.matrix_type));
    }
    return {};
  };
  for (const ModelTensor& tensor : expected) MRS_RETURN_IF_ERROR(check(tensor));
  report.warnings = UnknownTensors(spec, expected, checkpoint);
  WarnOfGhosts(checkpoint, report.warnings);
  return report;
}

}  // namespace mrs
