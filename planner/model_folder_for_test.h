// A model folder that a test writes, gone with it.
//
//   ModelFolder folder;
//   folder.Write("model.safetensors", SafetensorsFile({{"a", "BF16", {2, 4}}}));
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "formats/json.h"

namespace mrs {

class ModelFolder {
 public:
  ModelFolder() : path_(std::filesystem::temp_directory_path() / "mrs_model_XXXXXX") {
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }
  void Remove(const std::string& name) const { std::filesystem::remove(path_ + "/" + name); }

 private:
  std::string path_;
};

struct TestTensor {
  std::string name;
  std::string dtype;  // F32, or one of 16 bits, or F8_E4M3
  std::vector<int64_t> shape;
};

// A whole file of zeros.
inline std::string SafetensorsFile(const std::vector<TestTensor>& tensors) {
  Json header = Json::object();
  int64_t offset = 0;
  for (const TestTensor& tensor : tensors) {
    int64_t bytes = tensor.dtype == "F32" ? 4 : tensor.dtype == "F8_E4M3" ? 1 : 2;
    for (const int64_t extent : tensor.shape) bytes *= extent;
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  const std::string json = header.dump();
  std::string file(8, '\0');
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(json.size() >> (8 * i));
  return file + json + std::string(static_cast<size_t>(offset), '\0');
}

}  // namespace mrs
