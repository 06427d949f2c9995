// Which tensors a .safetensors file holds, and where: its header, checked in full, never its data.
//
//   [u64 header length][JSON header][data]
//   {"w": {"dtype": "BF16", "shape": [2, 4], "data_offsets": [0, 16]}}  ->  {"w", "BF16", {2, 4}, begin 8 + n, end 24 +
//   n}
//
// What is accepted is consistent: offsets inside the file, bytes = shape x dtype, no overlap, no byte without an owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plans/status.h"

namespace mrs {

// As the reference implementation has it (safetensors MAX_HEADER_SIZE).
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

struct SafetensorsTensor {
  std::string name;
  std::string_view dtype;      // as the format spells it: "F32", "BF16", "F8_E4M3"; points to static text
  std::vector<int64_t> shape;  // {}: a scalar
  uint64_t begin = 0;          // absolute offsets in the file, [begin, end)
  uint64_t end = 0;
};

struct SafetensorsHeader {
  uint64_t file_bytes = 0;
  uint64_t header_bytes = 0;  // the length field and the JSON: what `sha256` covers, and where the data begins
  std::string sha256;         // 32 raw bytes
  std::vector<SafetensorsTensor> tensors;  // by begin, together they cover the data exactly
};

// Reads 8 bytes and the JSON header of the file.
Result<SafetensorsHeader> ReadSafetensorsHeader(const std::string& path);

// The same from memory: `start` is the file's beginning, at least all of its header where there is one;
// `file_bytes` is the size of the whole file, `where` its name in errors.
Result<SafetensorsHeader> ParseSafetensorsHeader(std::string_view start, uint64_t file_bytes, std::string_view where);

}  // namespace mrs
