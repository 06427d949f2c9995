#include "formats/safetensors.h"

#include <algorithm>
#include <tuple>

#include "formats/input_file.h"
#include "formats/json.h"
#include "formats/model_json.h"
#include "formats/sha256_of.h"

namespace mrs {
namespace {

constexpr uint64_t kLengthBytes = 8;

struct Dtype {
  std::string_view name;
  uint64_t bits;
};

// safetensors 0.6, enum Dtype.
constexpr Dtype kDtypes[] = {{"BOOL", 8},        {"F4", 4},         {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
                             {"I8", 8},          {"I16", 16},       {"U16", 16},    {"F16", 16},    {"BF16", 16},
                             {"I32", 32},        {"U32", 32},       {"F32", 32},    {"F64", 64},    {"I64", 64},
                             {"U64", 64},        {"C64", 64},       {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
                             {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};

const Dtype* FindDtype(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return d.name == name; });
  return found == std::end(kDtypes) ? nullptr : found;
}

uint64_t LittleEndian64(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) value |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return value;
}

// The header's JSON length, checked against the file's size and the cap.
Result<uint64_t> HeaderLength(std::string_view start, uint64_t file_bytes, std::string_view where) {
  if (file_bytes < kLengthBytes || start.size() < kLengthBytes) {
    return Refuse("{}: {} bytes, but a safetensors file starts with an 8-byte header length; download it again", where,
                  file_bytes);
  }
  const uint64_t length = LittleEndian64(start);
  if (length > file_bytes - kLengthBytes) {
    return Refuse(
        "{}: its first 8 bytes announce a header of {} bytes, but only {} bytes follow; the file is truncated or not "
        "safetensors: download it again",
        where, length, file_bytes - kLengthBytes);
  }
  if (length > kMaxSafetensorsHeaderBytes) {
    return Refuse("{}: header of {} bytes; at most {} are accepted", where, length, kMaxSafetensorsHeaderBytes);
  }
  return length;
}

// The integers of an array, all from 0 to 2^63-1.
Result<std::vector<int64_t>> Integers(const Json& entry, std::string_view key, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const Json* array, GetArray(entry, key, where));
  std::vector<int64_t> values;
  values.reserve(array->size());
  for (const Json& item : *array) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > static_cast<uint64_t>(kAnyMax)) {
      return Refuse("{}: '{}': expected integers from 0 to {}, got {}", where, key, kAnyMax, DescribeJson(item));
    }
    values.push_back(static_cast<int64_t>(item.get<uint64_t>()));
  }
  return values;
}

// One entry of the header, with begin and end still relative to the data.
Result<SafetensorsTensor> ParseTensor(const std::string& name, const Json& entry, std::string_view where) {
  const std::string place = fmt::format("{}: tensor {}", where, DescribeJson(Json(name)));
  SafetensorsTensor tensor;
  tensor.name = name;
  MRS_ASSIGN_OR_RETURN(const std::string dtype_name, GetString(entry, "dtype", place));
  const Dtype* dtype = FindDtype(dtype_name);
  if (dtype == nullptr) return Refuse("{}: dtype {} is unknown", place, DescribeJson(Json(dtype_name)));
  tensor.dtype = dtype->name;
  MRS_ASSIGN_OR_RETURN(tensor.shape, Integers(entry, "shape", place));
  MRS_ASSIGN_OR_RETURN(const std::vector<int64_t> offsets, Integers(entry, "data_offsets", place));
  if (offsets.size() != 2) return Refuse("{}: 'data_offsets': expected 2 integers, got {}", place, offsets.size());
  if (offsets[0] > offsets[1]) {
    return Refuse("{}: 'data_offsets': begin {} is past end {}", place, offsets[0], offsets[1]);
  }
  tensor.begin = static_cast<uint64_t>(offsets[0]);
  tensor.end = static_cast<uint64_t>(offsets[1]);

  uint64_t bits = dtype->bits;
  bool overflow = false;
  for (const int64_t extent : tensor.shape) {
    overflow |= __builtin_mul_overflow(bits, static_cast<uint64_t>(extent), &bits);
  }
  if (overflow) return Refuse("{}: shape [{}] is too large", place, fmt::join(tensor.shape, ", "));
  if (bits % 8 != 0 || bits / 8 != tensor.end - tensor.begin) {
    return Refuse("{}: {} [{}] is {} bytes, but 'data_offsets' span {}", place, tensor.dtype,
                  fmt::join(tensor.shape, ", "), (bits + 7) / 8, tensor.end - tensor.begin);
  }
  return tensor;
}

// Sorted by begin, each tensor must start where the one before it ends, and the last must end where the file does.
Status CheckCoverage(const std::vector<SafetensorsTensor>& tensors, uint64_t header_bytes, uint64_t file_bytes,
                     std::string_view where) {
  uint64_t data_bytes = 0;
  for (const SafetensorsTensor& tensor : tensors) data_bytes = std::max(data_bytes, tensor.end);
  if (data_bytes > file_bytes - header_bytes) {
    // Below 2^64: offsets are below 2^63 and the header is no longer than its cap.
    return Refuse("{}: expected {} bytes by its header, the file has {}; it is truncated: download it again", where,
                  header_bytes + data_bytes, file_bytes);
  }
  uint64_t next = 0;
  const std::string* owner = nullptr;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.begin < next) {
      return Refuse("{}: tensors {} and {} overlap: [{}, {}) begins before {}", where, DescribeJson(Json(*owner)),
                    DescribeJson(Json(tensor.name)), tensor.begin, tensor.end, next);
    }
    if (tensor.begin > next) {
      return Refuse("{}: data [{}, {}) before tensor {} belongs to no tensor", where, next, tensor.begin,
                    DescribeJson(Json(tensor.name)));
    }
    next = tensor.end;
    owner = &tensor.name;
  }
  if (next != file_bytes - header_bytes) {
    return Refuse("{}: expected {} bytes by its header, the file has {}; the last {} belong to no tensor", where,
                  header_bytes + next, file_bytes, file_bytes - header_bytes - next);
  }
  return {};
}

}  // namespace

Result<SafetensorsHeader> ParseSafetensorsHeader(std::string_view start, uint64_t file_bytes, std::string_view where) {
  MRS_ASSIGN_OR_RETURN(const uint64_t length, HeaderLength(start, file_bytes, where));
  SafetensorsHeader header;
  header.file_bytes = file_bytes;
  header.header_bytes = kLengthBytes + length;
  if (start.size() < header.header_bytes) {
    return Refuse("{}: header of {} bytes, {} given", where, header.header_bytes, start.size());
  }
  start = start.substr(0, header.header_bytes);
  header.sha256 = Sha256Of(start);

  const std::string json_where = fmt::format("{}: header", where);
  JsonLimits limits;
  limits.max_bytes = kMaxSafetensorsHeaderBytes;
  limits.max_depth = 8;
  MRS_ASSIGN_OR_RETURN(const Json root, ParseModelJson(start.substr(kLengthBytes), json_where, limits));
  const auto* entries = root.get_ptr<const Json::object_t*>();
  if (entries == nullptr) return Refuse("{}: expected an object, got {}", json_where, DescribeJson(root));
  header.tensors.reserve(entries->size());
  for (const auto& [name, entry] : *entries) {
    if (name == "__metadata__") continue;
    MRS_ASSIGN_OR_RETURN(SafetensorsTensor tensor, ParseTensor(name, entry, where));
    header.tensors.push_back(std::move(tensor));
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  MRS_RETURN_IF_ERROR(CheckCoverage(header.tensors, header.header_bytes, file_bytes, where));
  for (SafetensorsTensor& tensor : header.tensors) {
    tensor.begin += header.header_bytes;
    tensor.end += header.header_bytes;
  }
  return header;
}

Result<SafetensorsHeader> ReadSafetensorsHeader(const std::string& path) {
  MRS_ASSIGN_OR_RETURN(const InputFile file,
                       InputFile::Open(path, "the checkpoint is incomplete: download this file too"));
  std::string start(std::min<uint64_t>(kGitLfsPointerStart, file.bytes()), '\0');
  MRS_RETURN_IF_ERROR(file.ReadAt(0, start.data(), start.size()));
  if (IsGitLfsPointer(start)) return GitLfsPointer(path);
  MRS_ASSIGN_OR_RETURN(const uint64_t length, HeaderLength(start, file.bytes(), path));
  start.resize(kLengthBytes + length);
  MRS_RETURN_IF_ERROR(file.ReadAt(kLengthBytes, start.data() + kLengthBytes, length));
  return ParseSafetensorsHeader(start, file.bytes(), path);
}

}  // namespace mrs
