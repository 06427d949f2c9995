#include "planner/model_tensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>
#include <string_view>
#include <unordered_set>

#include "formats/json.h"
#include "planner/weight_index.h"

namespace mrs {
namespace {

int64_t Extent(const ModelSpec& spec, const LayerSpec& layer, Size size) {
  switch (size) {
    case Size::kOne:
      return 1;
    case Size::kVocab:
      return spec.vocab;
    case Size::kHidden:
      return spec.hidden;
    case Size::kHeads:
      return layer.heads;
    case Size::kKvHeads:
      return layer.kv_heads;
    case Size::kHeadDim:
      return layer.head_dim;
    case Size::kFfn:
      return layer.ffn;
  }
  MRS_CHECK(false);
}

int64_t Product(const ModelSpec& spec, const LayerSpec& layer, const std::array<Size, 2>& sizes) {
  return Extent(spec, layer, sizes[0]) * Extent(spec, layer, sizes[1]);
}

std::vector<int64_t> Extents(const ModelSpec& spec, const LayerSpec& layer, const std::array<Size, 2>& sizes) {
  std::vector<int64_t> extents;
  for (const Size size : sizes) {
    if (size != Size::kOne) extents.push_back(Extent(spec, layer, size));
  }
  return extents;
}

// Calls `see(row, layer_spec)` for the rows that this model has, block by block.
template <typename See>
void ForEachRow(const ModelSpec& spec, std::span<const Block> blocks, int64_t layer, See see) {
  static const LayerSpec kNoLayer;
  const LayerSpec& of_layer = layer < 0 ? kNoLayer : spec.layers[layer];
  for (const Block& block : blocks) {
    for (const TensorRow& row : block) {
      if (row.when == nullptr || row.when(spec, of_layer)) see(row, of_layer);
    }
  }
}

std::string FullName(std::string_view local, int64_t layer) {
  return layer < 0 ? std::string(local) : fmt::format("model.layers.{}.{}", layer, local);
}

const Family& FamilyOf(const ModelSpec& spec) {
  const Family* family = FindFamily(spec.architecture);
  MRS_CHECK(family != nullptr);
  return *family;
}

bool IsInLayers(TensorRole role) {
  for (const Block& block : {BeforeLayers(), AfterLayers()}) {
    if (std::any_of(block.begin(), block.end(), [&](const TensorRow& row) { return row.role == role; })) return false;
  }
  return true;
}

std::string NameOf(TensorRole role) {
  for (const Block& block : {BeforeLayers(), AfterLayers()}) {
    for (const TensorRow& row : block) {
      if (row.role == role) return std::string(row.name);
    }
  }
  MRS_CHECK(false);
}

std::string ShapeText(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// Ends of the names of what is kept beside quantized weights: by AutoGPTQ and AutoAWQ, bitsandbytes, MLX,
// compressed-tensors and ModelOpt, and the FP8 of DeepSeek.
constexpr std::string_view kOfQuantized[] = {
    ".qweight",          ".qzeros",         ".g_idx",         ".scales",        ".biases",
    ".absmax",           ".nested_absmax",  ".SCB",           ".weight_format", ".weight_scale",
    ".weight_scale_inv", ".weight_scale_2", ".weight_packed", ".input_scale"};

// The first by name, or "".
std::string QuantizedTensor(const Checkpoint& checkpoint) {
  const auto quantized = [](const auto& entry) {
    return std::any_of(std::begin(kOfQuantized), std::end(kOfQuantized),
                       [&](std::string_view end) { return entry.first.ends_with(end); });
  };
  std::string name;
  const auto look = [&](const auto& tensors) {
    const auto found = std::find_if(tensors.begin(), tensors.end(), quantized);
    if (found != tensors.end() && (name.empty() || found->first < name)) name = found->first;
  };
  look(checkpoint.tensors);
  look(checkpoint.other_dtypes);
  return name;
}

// What the tensors are called where not one is as it should be: with another prefix, most often.
std::string OtherNames(const Checkpoint& checkpoint, bool all_missing) {
  if (!all_missing || checkpoint.tensors.empty()) return "";
  return fmt::format(": its tensors have names like {}", DescribeJson(Json(checkpoint.tensors.begin()->first)));
}

Error Missing(const ModelTensor& first, const std::vector<ModelTensor>& expected, const Checkpoint& checkpoint) {
  const auto missing = std::count_if(expected.begin(), expected.end(), [&](const ModelTensor& tensor) {
    return checkpoint.tensors.count(tensor.name) == 0 && checkpoint.other_dtypes.count(tensor.name) == 0;
  });
  if (const auto ghost = checkpoint.only_in_index.find(first.name); ghost != checkpoint.only_in_index.end()) {
    return Refuse(
        "checkpoint: tensor '{}' {} is missing ({} missing in all): the index puts it into {}, whose header has no "
        "such "
        "tensor; index and files are of different checkpoints: download both again",
        first.name, ShapeText(first.shape), missing, ghost->second);
  }
  return Refuse(
      "checkpoint: tensor '{}' {} is missing ({} missing in all); it is incomplete or of another model than "
      "config.json{}",
      first.name, ShapeText(first.shape), missing, OtherNames(checkpoint, std::cmp_equal(missing, expected.size())));
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

int64_t ElementsOf(const ModelTensor& tensor) {
  return std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies());
}

}  // namespace

std::vector<ModelTensor> ExpectedTensors(const ModelSpec& spec) {
  std::vector<ModelTensor> tensors;
  const auto add = [&](std::span<const Block> blocks, int64_t layer) {
    ForEachRow(spec, blocks, layer, [&](const TensorRow& row, const LayerSpec& of_layer) {
      const int64_t rows = Product(spec, of_layer, row.out);
      std::string name = FullName(row.name, layer);
      if (!tensors.empty() && tensors.back().name == name) {
        tensors.back().shape[0] += rows;
        return;
      }
      const bool matrix = row.in[0] != Size::kOne;
      std::vector<int64_t> shape = {rows};
      if (matrix) shape.push_back(Product(spec, of_layer, row.in));
      tensors.push_back({layer, std::move(name), std::move(shape), matrix});
    });
  };
  const Block before = BeforeLayers(), after = AfterLayers();
  add(std::span(&before, 1), -1);
  const std::span<const Block> blocks = FamilyOf(spec).layer;
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) add(blocks, static_cast<int64_t>(layer));
  add(std::span(&after, 1), -1);
  return tensors;
}

int64_t CountParameters(const ModelSpec& spec) {
  int64_t count = 0;
  for (const ModelTensor& tensor : ExpectedTensors(spec)) count += ElementsOf(tensor);
  return count;
}

TokenReads ReadsOfAToken(const ModelSpec& spec) {
  TokenReads reads{.layers = std::vector<int64_t>(spec.layers.size()), .head = spec.vocab * spec.hidden};
  for (const ModelTensor& tensor : ExpectedTensors(spec)) {
    if (tensor.layer >= 0) reads.layers[tensor.layer] += ElementsOf(tensor);
  }
  return reads;
}

Checkpoint ImaginedCheckpoint(const ModelSpec& spec, ElementType type) {
  Checkpoint checkpoint;
  for (const ModelTensor& tensor : ExpectedTensors(spec)) {
    checkpoint.tensors[tensor.name] = {tensor.name, type, tensor.shape, 0, 0, 0};
  }
  return checkpoint;
}

std::optional<TensorPart> FindPart(const ModelSpec& spec, TensorRole role, int64_t layer) {
  if (role == TensorRole::kHead && spec.tied_embeddings) role = TensorRole::kEmbedding;
  const bool in_layers = IsInLayers(role);
  const Block around[] = {BeforeLayers(), AfterLayers()};
  std::optional<TensorPart> part;
  std::string_view tensor;  // that the last row belongs to
  int64_t row_begin = 0;    // in it
  ForEachRow(spec, in_layers ? FamilyOf(spec).layer : std::span(around), in_layers ? layer : -1,
             [&](const TensorRow& row, const LayerSpec& of_layer) {
               if (row.name != tensor) row_begin = 0;
               tensor = row.name;
               const int64_t begin = row_begin;
               row_begin += Product(spec, of_layer, row.out);
               if (row.role != role) return;
               part = TensorPart{FullName(row.name, in_layers ? layer : -1), begin, Extents(spec, of_layer, row.out),
                                 Extents(spec, of_layer, row.in), row.in[0]};
             });
  return part;
}

void ResolveTiedHead(ModelSpec& spec, Checkpoint& checkpoint, std::vector<std::string>* warnings) {
  if (!spec.tied_embeddings) return;
  const std::string embedding = NameOf(TensorRole::kEmbedding), head = NameOf(TensorRole::kHead);
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
  if (const std::string name = QuantizedTensor(checkpoint); !name.empty()) {
    return Refuse(
        "checkpoint: tensor '{}' is kept beside quantized weights; quantized checkpoints are not supported yet; give "
        "one "
        "in bf16, f16 or f32",
        name);
  }
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
