// What a plan says of one file of the checkpoint: its size, its header's hash, and each tensor that is read from it.
//
//   RecordedFilesOf(plan)[0]  ->  {"model.safetensors", 35123400 bytes, header 8312, {"l0.q", "BF16", at 8312, 64 x
//   32}, ...}
//
// Plain facts, borrowed from the plan: formats/checkpoint_file.h holds them against the file itself.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mrs {

namespace plan {
struct Plan;
}

// A tensor as a weight source states it: rows x columns in row-major order, a vector as rows x 1.
struct RecordedTensor {
  std::string_view name;
  std::string_view dtype;  // as safetensors spells it: "F32", "BF16", "F16"
  uint64_t file_offset = 0;
  uint64_t rows = 0;
  uint64_t columns = 0;
};

struct RecordedFile {
  std::string_view name;  // relative to the model folder
  uint64_t size_bytes = 0;
  uint64_t header_bytes = 0;  // what header_sha256 covers, from the start of the file
  std::span<const uint8_t> header_sha256;
  std::vector<RecordedTensor> tensors;  // one a source, of all stages
};

// One for each of Plan.files. The plan is verified, and outlives them.
std::vector<RecordedFile> RecordedFilesOf(const plan::Plan& plan);

}  // namespace mrs
