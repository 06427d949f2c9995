#include "formats/checkpoint_file.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "formats/json.h"
#include "formats/sha256_of.h"

namespace mrs {
namespace {

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned>(static_cast<uint8_t>(byte)));
  return hex;
}

std::string Quoted(std::string_view name) { return DescribeJson(Json(std::string(name))); }

// rows x columns of a shape as the header has it. Its product fits: the parser saw to it.
std::pair<uint64_t, uint64_t> RowsAndColumns(const std::vector<int64_t>& shape) {
  if (shape.size() <= 1) return {shape.empty() ? 1 : shape[0], 1};
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= static_cast<uint64_t>(shape[i]);
  return {rows, static_cast<uint64_t>(shape.back())};
}

}  // namespace

Status CheckRecordedTensors(const SafetensorsHeader& header, const RecordedFile& recorded, std::string_view where) {
  std::unordered_map<std::string_view, const SafetensorsTensor*> by_name;
  for (const SafetensorsTensor& tensor : header.tensors) by_name.emplace(tensor.name, &tensor);
  constexpr std::string_view kNext = "this plan is not this checkpoint's: rebuild it with mrs-plan build";
  for (const RecordedTensor& expected : recorded.tensors) {
    const auto found = by_name.find(expected.name);
    if (found == by_name.end()) {
      return Refuse("{}: the plan reads tensor {}, which the file's header has not; {}", where, Quoted(expected.name),
                    kNext);
    }
    const SafetensorsTensor& actual = *found->second;
    if (expected.dtype != actual.dtype) {
      return Refuse("{}: tensor {}: the plan reads it as {}, the file's header says {}; {}", where,
                    Quoted(expected.name), expected.dtype, actual.dtype, kNext);
    }
    if (std::pair(expected.rows, expected.columns) != RowsAndColumns(actual.shape)) {
      return Refuse("{}: tensor {}: the plan reads it as {} x {}, the file's header says [{}]; {}", where,
                    Quoted(expected.name), expected.rows, expected.columns, fmt::join(actual.shape, ", "), kNext);
    }
    if (expected.file_offset != actual.begin) {
      return Refuse("{}: tensor {}: the plan reads it at byte {}, by the file's header it begins at {}; {}", where,
                    Quoted(expected.name), expected.file_offset, actual.begin, kNext);
    }
  }
  return {};
}

Status CheckCheckpointFile(const InputFile& file, const std::string& path, const RecordedFile& recorded) {
  constexpr uint64_t kMaxHeaderBytes = kMaxSafetensorsHeaderBytes + 8;  // with the length field
  if (recorded.header_bytes > kMaxHeaderBytes) {
    return Refuse("{}: the plan expects a header of {} bytes; at most {} are accepted", path, recorded.header_bytes,
                  kMaxHeaderBytes);
  }
  // The header first: another checkpoint differs in size, too.
  const uint64_t size_bytes = file.bytes();
  std::string start(std::min<uint64_t>(kGitLfsPointerStart, size_bytes), '\0');
  MRS_RETURN_IF_ERROR(file.ReadAt(0, start.data(), start.size()));
  if (IsGitLfsPointer(start)) return GitLfsPointer(path);
  if (size_bytes >= recorded.header_bytes) {
    start.resize(recorded.header_bytes);
    MRS_RETURN_IF_ERROR(file.ReadAt(0, start.data(), start.size()));
    const std::string_view expected(reinterpret_cast<const char*>(recorded.header_sha256.data()),
                                    recorded.header_sha256.size());
    if (const std::string actual = Sha256Of(start); actual != expected) {
      return Refuse(
          "{}: its header does not match the plan (expected sha256 {}, actual {}): this plan was made for another "
          "checkpoint; rebuild it with mrs-plan build",
          path, Hex(expected), Hex(actual));
    }
  }
  if (size_bytes < recorded.size_bytes) {
    return Refuse("{}: truncated: the plan expects {} bytes, the file has {}; copy it again", path, recorded.size_bytes,
                  size_bytes);
  }
  if (size_bytes != recorded.size_bytes) {
    return Refuse(
        "{}: the plan expects {} bytes, the file has {}; copy it again, or rebuild the plan with mrs-plan build", path,
        recorded.size_bytes, size_bytes);
  }
  MRS_ASSIGN_OR_RETURN(const SafetensorsHeader header, ParseSafetensorsHeader(start, size_bytes, path));
  if (header.header_bytes != recorded.header_bytes) {
    return Refuse("{}: the plan expects a header of {} bytes, the file has {}; rebuild the plan with mrs-plan build",
                  path, recorded.header_bytes, header.header_bytes);
  }
  return CheckRecordedTensors(header, recorded, path);
}

Result<int> OpenCheckpointFile(const std::string& path, const RecordedFile& recorded) {
  MRS_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path, "--model must name the folder the plan was built from"));
  MRS_RETURN_IF_ERROR(CheckCheckpointFile(file, path, recorded));
  return file.Release();
}

}  // namespace mrs
