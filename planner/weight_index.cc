#include "planner/weight_index.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <vector>

#include "formats/input_file.h"
#include "formats/json.h"
#include "formats/model_json.h"
#include "formats/safetensors.h"

namespace mrs {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxIndexBytes = size_t{64} << 20;

std::optional<ElementType> FindElementType(std::string_view dtype) {
  for (const ElementType type : {ElementType::kF32, ElementType::kBf16, ElementType::kF16}) {
    if (dtype == DtypeName(type)) return type;
  }
  return std::nullopt;
}

bool IsPlainName(std::string_view name) {
  constexpr std::string_view kSuffix = ".safetensors";
  if (name.size() <= kSuffix.size() || name.size() > 255 || name.front() == '.') return false;
  if (name.substr(name.size() - kSuffix.size()) != kSuffix) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c != '/' && c != '\\' && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
}

// Adds one file and its tensors: those that `wanted` puts into it, or all of them without `wanted`.
Status AddFile(const std::string& folder, const std::string& name, const WeightIndex* wanted, Checkpoint& checkpoint) {
  MRS_ASSIGN_OR_RETURN(SafetensorsHeader header, ReadSafetensorsHeader(fmt::format("{}/{}", folder, name)));
  const auto file = static_cast<uint32_t>(checkpoint.files.size());
  checkpoint.files.push_back({name, header.file_bytes, header.header_bytes, std::move(header.sha256)});
  for (SafetensorsTensor& tensor : header.tensors) {
    if (wanted != nullptr) {
      const auto found = wanted->file_of.find(tensor.name);
      if (found == wanted->file_of.end() || found->second != name) continue;
    }
    const std::optional<ElementType> type = FindElementType(tensor.dtype);
    if (!type) {
      checkpoint.other_dtypes.emplace(std::move(tensor.name), tensor.dtype);
      continue;
    }
    TensorInfo info{tensor.name, *type, std::move(tensor.shape), file, tensor.begin, tensor.end - tensor.begin};
    checkpoint.tensors.emplace(std::move(tensor.name), std::move(info));
  }
  return {};
}

// A download that was cut short lacks files: the first by name, and how many.
Status CheckAllThere(const std::string& folder, const std::set<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (!IsNamed(fmt::format("{}/{}", folder, name))) missing.push_back(name);
  }
  if (missing.empty()) return {};
  return Unavailable("{}: lacks {}, which {} names ({} of its {} files are missing); download what is missing", folder,
                     missing.front(), kIndexFile, missing.size(), names.size());
}

// Nothing is computed by it, so whatever is no size says nothing.
int64_t TotalBytes(const Json& index) {
  const Json* metadata = FindValue(index, "metadata");
  const Json* total = metadata == nullptr ? nullptr : FindValue(*metadata, "total_size");
  if (total == nullptr || !total->is_number()) return 0;
  const auto bytes = total->get<double>();
  return bytes >= 1 && bytes < 9e15 ? static_cast<int64_t>(bytes) : 0;
}

Result<Checkpoint> ReadIndexed(const std::string& folder) {
  MRS_ASSIGN_OR_RETURN(const WeightIndex index, ReadWeightIndex(folder));
  MRS_RETURN_IF_ERROR(CheckAllThere(folder, index.file_names));
  Checkpoint checkpoint;
  for (const std::string& name : index.file_names) MRS_RETURN_IF_ERROR(AddFile(folder, name, &index, checkpoint));
  for (const auto& [tensor, file] : index.file_of) {
    if (checkpoint.tensors.count(tensor) == 0 && checkpoint.other_dtypes.count(tensor) == 0) {
      checkpoint.only_in_index.emplace(tensor, file);
    }
  }
  return checkpoint;
}

// For the message where there are no weights: ", only pytorch_model.bin", or nothing.
std::string OtherWeights(const std::string& folder) {
  constexpr std::string_view kSuffixes[] = {".safetensors", ".bin", ".gguf", ".pth", ".pt"};
  std::set<std::string> names;  // sorted: which of them is named depends on nothing else
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const bool weights = std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                                     [&](std::string_view suffix) { return name.ends_with(suffix); });
    if (weights && names.size() < kMaxFiles) names.insert(name);
  }
  if (names.empty()) return "";
  const std::string more = names.size() == 1 ? "" : fmt::format(" and {} more", names.size() - 1);
  return fmt::format(", only {}{}", *names.begin(), more);
}

}  // namespace

const char* DtypeName(ElementType type) {
  switch (type) {
    case ElementType::kF32:
      return "F32";
    case ElementType::kBf16:
      return "BF16";
    case ElementType::kF16:
      return "F16";
  }
  MRS_CHECK(false);
}

Result<WeightIndex> ReadWeightIndex(const std::string& folder) {
  const std::string path = fmt::format("{}/{}", folder, kIndexFile);
  MRS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxIndexBytes));
  MRS_ASSIGN_OR_RETURN(const Json json, ParseModelJson(text, kIndexFile));
  MRS_ASSIGN_OR_RETURN(const Json* entries, GetObject(json, "weight_map", kIndexFile));
  WeightIndex index;
  for (const auto& [tensor, file] : *entries->get_ptr<const Json::object_t*>()) {
    const auto* name = file.get_ptr<const Json::string_t*>();
    if (name == nullptr || !IsPlainName(*name)) {
      return Refuse("{}: tensor {}: expected the plain name of a .safetensors file in the same folder, got {}",
                    kIndexFile, DescribeJson(Json(tensor)), DescribeJson(file));
    }
    index.file_of.emplace(tensor, *name);
    index.file_names.insert(*name);
    if (index.file_names.size() > kMaxFiles) return Refuse("{}: more than {} files", kIndexFile, kMaxFiles);
  }
  index.total_bytes = TotalBytes(json);
  return index;
}

Result<Checkpoint> ReadCheckpoint(const std::string& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return Unavailable("{}: is not a folder; give the folder of a Hugging Face checkpoint", folder);
  }
  if (IsNamed(fmt::format("{}/{}", folder, kSingleFile))) {
    Checkpoint checkpoint;
    MRS_RETURN_IF_ERROR(AddFile(folder, kSingleFile, nullptr, checkpoint));
    return checkpoint;
  }
  if (!IsNamed(fmt::format("{}/{}", folder, kIndexFile))) {
    return Unavailable(
        "{}: has neither {} nor {}{}; give the folder of a Hugging Face checkpoint in safetensors format", folder,
        kSingleFile, kIndexFile, OtherWeights(folder));
  }
  return ReadIndexed(folder);
}

}  // namespace mrs
