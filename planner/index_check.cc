#include "planner/index_check.h"

#include <algorithm>

#include "planner/model_tensors.h"
#include "planner/optional_file.h"

namespace mrs {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

// Of ModelOpt, AutoGPTQ and AutoAWQ: how the weights beside it are quantized. config.json need not say so.
constexpr const char* kQuantizationFiles[] = {"hf_quant_config.json", "quantize_config.json", "quant_config.json"};

// As if every tensor of the index were there in the type and, where the model knows it, the shape that config.json
// makes.
Checkpoint ImaginedOf(const ModelSpec& spec, const WeightIndex& index) {
  Checkpoint checkpoint;
  for (const auto& [name, file] : index.file_of) {
    checkpoint.tensors[name] = {name, spec.config_type, {}, 0, 0, 0};
  }
  ModelSpec with_head = spec;
  with_head.tied_embeddings = false;
  for (ModelTensor& tensor : ExpectedTensors(with_head)) {
    const auto found = checkpoint.tensors.find(tensor.name);
    if (found != checkpoint.tensors.end()) found->second.shape = std::move(tensor.shape);
  }
  return checkpoint;
}

// 2 or 4 bytes for each parameter, as the size of all says; nothing where it says neither. What the model does not use
// counts too, so that a little more is allowed for it.
std::optional<int> BytesEach(int64_t total, int64_t parameters, bool with_others) {
  for (const int bytes : {2, 4}) {
    const int64_t least = parameters * bytes;
    if (total == least || (with_others && total > least && total < least + least / 50)) return bytes;
  }
  return std::nullopt;
}

// What the size says, and where it and config.json disagree.
void JudgeSize(int64_t total, bool with_others, ModelSpec& spec, IndexReport& report) {
  const int64_t parameters = CountParameters(spec);
  const std::optional<int> each = BytesEach(total, parameters, with_others);
  if (!each) {
    report.warnings.push_back(fmt::format(
        "{}: 'total_size' {} is {:.3f} bytes for each of the {} parameters that config.json makes, neither 2 nor 4: "
        "{}",
        kIndexFile, total, static_cast<double>(total) / static_cast<double>(parameters), parameters,
        total < 2 * parameters ? "the checkpoint is quantized, or of another model, or the size is wrong"
                               : "it is of another model, or the size is wrong"));
    return;
  }
  report.text += fmt::format(", {} bytes for each parameter", *each);
  const bool f32 = spec.config_type == ElementType::kF32;
  if (*each == 4 && !f32) {
    report.warnings.push_back(
        fmt::format("{}: 'total_size' {} makes the checkpoint F32, and config.json has {}: F32 is what holds, since a "
                    "build goes by "
                    "the tensors",
                    kIndexFile, total, DtypeName(spec.config_type)));
    spec.config_type = ElementType::kF32;
  } else if (*each == 2 && f32) {
    report.warnings.push_back(
        fmt::format("{}: 'total_size' {} makes the checkpoint BF16 or F16, and config.json has F32, or nothing, which "
                    "means it: F16 "
                    "is computed as f32, BF16 as bf16, which --dtype bf16 shows",
                    kIndexFile, total));
  }
}

}  // namespace

Result<IndexReport> CheckIndex(ModelSpec& spec, const WeightIndex& index) {
  IndexReport report;
  Checkpoint checkpoint = ImaginedOf(spec, index);
  ResolveTiedHead(spec, checkpoint, &report.warnings);
  MRS_ASSIGN_OR_RETURN(const TensorReport tensors, CheckTensors(spec, checkpoint));
  report.warnings.insert(report.warnings.end(), tensors.warnings.begin(), tensors.warnings.end());
  const size_t needed = ExpectedTensors(spec).size();
  const bool with_others = checkpoint.tensors.size() > needed;
  report.text =
      fmt::format("{} tensors in {} file{}, {}", index.file_of.size(), index.file_names.size(),
                  index.file_names.size() == 1 ? "" : "s",
                  with_others ? fmt::format("of which the model needs {}", needed) : "all that the model needs");
  if (index.total_bytes > 0) JudgeSize(index.total_bytes, with_others, spec, report);
  return report;
}

Result<std::optional<IndexReport>> CheckWithoutHeaders(const std::string& folder, ModelSpec& spec) {
  if (IsThere(folder, kSingleFile)) return std::optional<IndexReport>();
  for (const char* name : kQuantizationFiles) {
    if (IsThere(folder, name)) {
      return Refuse("{}: quantized checkpoints are not supported yet; give one in bf16, f16 or f32", name);
    }
  }
  if (!IsThere(folder, kIndexFile)) return std::optional<IndexReport>();
  MRS_ASSIGN_OR_RETURN(const WeightIndex index, ReadWeightIndex(folder));
  MRS_ASSIGN_OR_RETURN(IndexReport report, CheckIndex(spec, index));
  return std::optional<IndexReport>(std::move(report));
}

}  // namespace mrs
